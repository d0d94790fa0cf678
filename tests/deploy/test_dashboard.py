"""The dashboard of `deploy/grafana`: valid, and each panel has data of a running service."""

import json
import math
import re

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from testing.account_world import running_account_world
from testing.metric_definitions import definitions
from testing.prometheus import running_prometheus
from testing.service import ROOT, free_port
from testing.waiting import wait_until
from tests.deploy.queries import unknown_names
from tests.deploy.test_alerts import RULES

DASHBOARD = ROOT / "deploy" / "grafana" / "tokensvc.json"
SOURCE = json.loads(DASHBOARD.read_text())
EVERYTHING = SOURCE["panels"]
PANELS = [pytest.param(panel, id=panel["title"]) for panel in EVERYTHING if panel["type"] != "row"]
QUERIES = [(panel.id, target["expr"]) for panel in PANELS for target in panel.values[0]["targets"]]
ALERTS = 'sum (ALERTS{alertname=~"Tokensvc.+", alertstate="firing"})'
"""The panel of all alerts, which has no data while all is well."""
EXPRESSIONS = {
    rule["alert"]: rule["expr"]
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
}
DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def lost_members(before, after, path=""):
    """Yield the path of each member that another form of a value does not have, or has changed."""
    if isinstance(before, dict):
        for name, value in before.items():
            if name not in after:
                yield f"{path}.{name}"
            else:
                yield from lost_members(value, after[name], f"{path}.{name}")
    elif isinstance(before, list) and len(before) == len(after):
        for old, new in zip(before, after, strict=True):
            yield from lost_members(old, new, f"{path}[]")
    elif before != after:
        yield path


def test_dashboard_has_only_members_of_the_schemas_of_grafana():
    """Grafana publishes them as a package. The members of its Prometheus plugin are in none."""
    register_default_plugins()
    known = json.loads(JSONEncoder().encode(Dashboard.from_json(SOURCE)))
    plugin = "step", "tagKeys", "textFormat", "titleFormat"
    expected = {f".annotations.list[].{name}" for name in plugin}
    assert {*lost_members(SOURCE, known)} == {*expected, ".templating.list[].definition"}


def test_dashboard_has_a_variable_for_the_data_source():
    variable = SOURCE["templating"]["list"][0]
    assert (variable["name"], variable["type"]) == ("datasource", "datasource")
    assert variable["query"] == "prometheus"


def test_ids_and_titles_are_unique_and_no_panel_overlaps_another():
    ids = [panel["id"] for panel in EVERYTHING]
    assert len(set(ids)) == len(ids)
    titles = [panel["title"] for panel in EVERYTHING]
    assert len(set(titles)) == len(titles)
    cells = [
        (column, line)
        for place in (panel["gridPos"] for panel in EVERYTHING)
        for column in range(place["x"], place["x"] + place["w"])
        for line in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(column for column, _ in cells) < 24


@pytest.mark.parametrize("panel", PANELS)
def test_panel_is_complete(panel):
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == DATA_SOURCE
    references = [target["refId"] for target in panel["targets"]]
    assert references
    assert len(set(references)) == len(references)
    for target in panel["targets"]:
        assert target["datasource"] == DATA_SOURCE
        assert 'instance=~"$instance"' in target["expr"] or target["expr"].startswith(ALERTS)
        kept = re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target["expr"])))
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= set(kept)


@pytest.mark.parametrize("panel", PANELS)
def test_panel_names_only_metrics_and_labels_that_the_service_has(panel):
    for target in panel["targets"]:
        assert unknown_names(target["expr"]) == []


@pytest.mark.parametrize("panel", PANELS)
def test_panel_names_only_alerts_that_exist(panel):
    named = set(re.findall(r"\bTokensvc\w+", panel["description"]))
    assert named <= set(re.findall(r"alert: (\w+)", RULES.read_text()))


def steps(panel):
    """Return the colour of a panel's lowest values, and the limits above it with theirs."""
    first, *others = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert first["value"] is None
    limits = [step["value"] for step in others]
    assert limits == sorted(limits)
    return first["color"], {step["value"]: step["color"] for step in others}


@pytest.mark.parametrize("panel", PANELS)
def test_colour_changes_where_an_alert_fires(panel):
    """A panel without an alert is all green."""
    lowest, limits = steps(panel)
    assert "green" in {lowest, *limits.values()}
    if panel["type"] != "timeseries":
        return
    if panel["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"]["mode"] == "off":
        assert lowest == "green"
        return
    named = re.findall(r"\bTokensvc\w+", panel["description"])
    alerting = re.findall(r"(?:[<>=]|,) (\d[\d.]*)", " ".join(EXPRESSIONS[name] for name in named))
    assert {abs(limit) for limit in limits} <= {float(number) for number in alerting}
    assert limits


def test_first_row_says_whether_all_is_well():
    first, second = [panel for panel in EVERYTHING if panel["type"] == "row"][:2]
    assert first["title"] == "Is it well?"
    row = [
        p for p in EVERYTHING if first["gridPos"]["y"] < p["gridPos"]["y"] < second["gridPos"]["y"]
    ]
    assert {panel["type"] for panel in row} == {"stat"}
    assert sum(panel["gridPos"]["w"] for panel in row) == 24
    (annotation,) = SOURCE["annotations"]["list"]
    assert annotation["expr"] in row[0]["targets"][0]["expr"]


def test_every_metric_is_on_the_dashboard():
    shown = " ".join(expression for _, expression in QUERIES)
    assert [m.name for m in definitions() if not re.search(rf"\b{m.name}(_bucket)?\b", shown)] == []


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Yield a service in which each metric has a reason to change."""
    settings = {
        "TOKENSVC_METRICS__BIND": f"127.0.0.1:{free_port()}",
        "TOKENSVC_STREAM__DELIVERY": "on",
        "TOKENSVC_LIMITS__FAILURES": "1/hour",
    }
    with running_account_world(tmp_path_factory.mktemp("scraped"), **settings) as running:
        running.make_stream_user("ada")
        yield running


def use(world):
    """Mint, refuse, sign in, revoke; mint while the revocation takes effect, which is 503."""
    world.vouching.post("/v1/token", json={"user_id": "bob"})
    world.signed_in("cyd").post("/v1/token", json={"api_key": "test-api-key"})
    world.with_token("e30.e30.e30").get("/v1/me", valid=False)
    world.anonymous.post("/v1/sessions", json={"user_id": "eve", "password": "x" * 20})
    world.revoke("ada")
    world.vouching.post("/v1/token", json={"user_id": "ada"})


@pytest.mark.slow
def test_each_query_has_data_and_each_rule_is_evaluated(world, tmp_path):
    """Stopping the service then raises the alert of its absence."""
    target = world.settings["TOKENSVC_METRICS__BIND"]
    with running_prometheus(tmp_path, RULES, target) as prometheus:
        missing = dict.fromkeys(query for query in QUERIES if not query[1].startswith(ALERTS))

        def has_data(query):
            # What a panel shows without data is not data.
            expression = query[1].removesuffix(" or vector(0)")
            expression = expression.replace("$instance", ".*").replace("$__rate_interval", "1m")
            values = [float(series["value"][1]) for series in prometheus.query(expression)]
            return any(not math.isnan(value) for value in values)

        def all_have_data():
            use(world)
            for query in list(missing):
                if has_data(query):
                    del missing[query]
            return not missing

        wait_until(all_have_data, f"data for {missing}", pause=0.2)
        wait_until(lambda: prometheus.rule_states() == {"ok"}, "all rules have been evaluated")
        assert "TokensvcDown" not in prometheus.alerts()
        world.service.stop()
        wait_until(lambda: "TokensvcDown" in prometheus.alerts(), "the absence is noticed")
