"""The rules of `deploy/prometheus`: each alert fires when it must, and names real metrics."""

import re
import subprocess
from functools import cache

import pytest
import yaml

from testing.prometheus import program
from testing.service import ROOT
from tests.deploy.queries import labels_of, unknown_names

RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
CASES = sorted((ROOT / "tests" / "deploy").glob("alerts*.yml"))
ALERTS = [
    pytest.param(rule, id=rule["alert"])
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
]


def promtool(*arguments):
    done = subprocess.run(
        [program("promtool"), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_are_valid():
    promtool("check", "rules", str(RULES))


def configurations():
    """Return the configurations of Prometheus on the page and in the Compose file."""
    page = (ROOT / "docs" / "metrics.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    compose = yaml.safe_load((ROOT / "deploy" / "compose.cluster.yaml").read_text())
    return [block, compose["configs"]["prometheus"]["content"]]


@pytest.mark.parametrize("written", configurations(), ids=["page", "compose"])
def test_shown_configuration_is_valid_with_the_rules(written, tmp_path):
    (tmp_path / "prometheus.yml").write_text(written)
    (tmp_path / "rules.yml").write_text(RULES.read_text())
    promtool("check", "config", str(tmp_path / "prometheus.yml"))


@cache
def cases():
    return [case for path in CASES for case in yaml.safe_load(path.read_text())["tests"]]


def test_each_alert_is_quiet_first_and_fires_in_its_case():
    promtool("test", "rules", *map(str, CASES))


@pytest.mark.parametrize("rule", ALERTS)
def test_alert_has_a_case_in_which_it_is_quiet_and_one_in_which_it_fires(rule):
    numbers = [
        len(case["exp_alerts"])
        for test in cases()
        for case in test["alert_rule_test"]
        if case["alertname"] == rule["alert"]
    ]
    assert {0, 1} <= set(numbers)


@pytest.mark.parametrize("rule", ALERTS)
def test_alert_names_only_metrics_and_labels_that_the_service_has(rule):
    assert unknown_names(rule["expr"]) == []


@pytest.mark.parametrize("rule", ALERTS)
def test_alert_has_a_severity_a_summary_and_a_runbook(rule):
    """
    The summary uses only labels that the alert has.

    The first case of `alerts.yml` shows the link that the setting of Prometheus makes.
    """
    assert set(rule["labels"]) == {"severity"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "runbook_url"}
    folder = '{{ or $externalLabels.runbooks "docs" }}'
    page = f"{folder}/operations.md#{rule['alert'].lower()}"
    assert rule["annotations"]["runbook_url"] == page
    kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", rule["expr"]))))
    if rule["alert"] == "TokensvcDown":
        kept = {"instance", "job"}
    used = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert used <= kept


@pytest.mark.parametrize(
    ("expression", "unknown"),
    [
        ('sum by (code) (rate(tokensvc_refusals_total{code="a", instance="b"}[5m]))', []),
        ("sum by (le) (rate(tokensvc_request_seconds_bucket[5m]))", []),
        ("tokensvc_refusals", ["tokensvc_refusals"]),
        ("tokensvc_request_seconds", ["tokensvc_request_seconds"]),
        ('tokensvc_refusals_total{codes=~"a"}', ["codes"]),
        ("sum by (kind) (tokensvc_refusals_total)", ["kind"]),
        ("a unless on (instances) tokensvc_database_up", ["instances"]),
    ],
)
def test_unknown_names_of_a_query_are_found(expression, unknown):
    """The check itself."""
    assert unknown_names(expression) == unknown
    assert labels_of("tokensvc_refusals_total") == {"code", "instance", "job"}
