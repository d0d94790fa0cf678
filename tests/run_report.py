"""The report of a whole run: whether tests saw every error code, and the number of tests."""

from typing import Any

import pytest

from testing.http_client import SEEN_CODES
from tokensvc.core.errors import Code

SEEN = "seen_codes"
CHECK = "tests/http/test_contract.py::every_code_was_seen"


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add the codes that an xdist process has seen."""
    SEEN_CODES.update(getattr(node, "workeroutput", {}).get(SEEN, ()))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Any:
    """Check the codes before pytest writes its summary, and count the tests after it."""
    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput[SEEN] = sorted(SEEN_CODES)
        return (yield)
    if _is_whole(session):
        _check_codes(session)
    result = yield
    if not config.option.collectonly:
        _write_count(config)
    return result


def _is_whole(session: pytest.Session) -> bool:
    """Return whether every test has run. A part of them cannot see every code."""
    option = session.config.option
    narrowing = ("keyword", "markexpr", "deselect", "lf", "collectonly")
    chosen = any(getattr(option, name, None) for name in narrowing)
    ran = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    is_of_all = session.config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return is_of_all and ran and not chosen and not session.shouldfail


def _check_codes(session: pytest.Session) -> None:
    """Report one more test: running services have sent each code at least once."""
    unseen = sorted(set(Code) - SEEN_CODES)
    if unseen:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    report = pytest.TestReport(
        nodeid=CHECK,
        location=(CHECK.partition("::")[0], None, CHECK.rpartition("::")[2]),
        keywords={},
        outcome="failed" if unseen else "passed",
        longrepr=f"no test has seen these codes: {', '.join(unseen)}" if unseen else None,
        when="call",
    )
    session.config.hook.pytest_runtest_logreport(report=report)


def _write_count(config: pytest.Config) -> None:
    """Write the last line of a run. An error outside of a test's body is a failure too."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    count = {name: len(reports) for name, reports in reporter.stats.items()}
    failed = count.get("failed", 0) + count.get("error", 0)
    line = f"{count.get('passed', 0)} passed, {failed} failed"
    if "skipped" in count:
        line += f", {count['skipped']} skipped"
    reporter.ensure_newline()
    reporter.write_line(line)
