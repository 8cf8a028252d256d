"""Do the dashboard and the alerts ask only for what the exporter gives?

Their PromQL is parsed by promql-parser, a port of Prometheus's own; Grafana itself is not here.
"""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from kvm_exporter import collectors, self_metrics

promql = pytest.importorskip("promql_parser", reason="promql-parser has no wheel for this system")

FOLDER = Path(__file__).parents[1] / "dashboards"
DASHBOARD = json.loads((FOLDER / "kvm_exporter.json").read_text(encoding="utf-8"))
PANELS = DASHBOARD["panels"]
RULES = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
TARGET_LABELS = {"job", "instance"}
PROMETHEUS = {"up": set()}
"""What Prometheus itself adds to every target."""


def known():
    """Every metric's name with its labels."""
    tables = [collectors.find(name).metrics for name in collectors.names()]
    tables.append(self_metrics.METRICS)
    return PROMETHEUS | {metric.name: set(metric.labels) for rows in tables for metric in rows}


def queries():
    """Every PromQL expression with a name to tell it by."""
    for panel in PANELS:
        for target in panel.get("targets", ()):
            text = target["expr"].replace("$__rate_interval", "5m")
            yield pytest.param(
                text, target["legendFormat"], id=f"{panel['title']}-{target['refId']}"
            )
    for rule in RULES:
        yield pytest.param(rule["expr"], json.dumps(rule["annotations"]), id=rule["alert"])


QUERIES = list(queries())


def nodes(expression):
    """An expression's parts, itself included."""
    yield expression
    for name in ("expr", "lhs", "rhs", "vector_selector"):
        if (part := getattr(expression, name, None)) is not None:
            yield from nodes(part)
    for part in getattr(expression, "args", ()):
        yield from nodes(part)


def selectors(expression):
    """The metrics that an expression reads."""
    return [node for node in nodes(expression) if isinstance(node, promql.VectorSelector)]


@pytest.mark.parametrize(("text", "_legend"), QUERIES)
def test_a_query_names_metrics_that_exist(text, _legend):
    """Metrics in a query, and the labels that choose among them, are in the metric tables."""
    metrics = known()
    found = selectors(promql.parse(text))
    assert found
    for selector in found:
        assert selector.name in metrics
        chosen_by = {matcher.name for matcher in selector.matchers.matchers}
        assert chosen_by <= metrics[selector.name] | TARGET_LABELS


@pytest.mark.parametrize(("text", "legend"), QUERIES)
def test_labels_that_are_grouped_by_or_shown_exist(text, legend):
    """``by (label)`` and ``{{label}}`` name labels of the metrics in the query."""
    metrics = known()
    expression = promql.parse(text)
    there = set().union(*(metrics[selector.name] for selector in selectors(expression)))
    grouped = {
        label
        for node in nodes(expression)
        if isinstance(node, promql.AggregateExpr) and node.modifier
        for label in node.modifier.labels
    }
    shown = set(re.findall(r"{{\s*(?:\$labels\.)?(\w+)\s*}}", legend))
    assert grouped | shown <= there | TARGET_LABELS


@pytest.mark.parametrize(("text", "_legend"), QUERIES)
def test_counters_are_read_as_rates_and_gauges_are_not(text, _legend):
    """rate() and increase() are of counters; a counter is never shown, only its series counted."""
    expression = promql.parse(text)
    rated, counted = set(), set()
    for node in nodes(expression):
        if isinstance(node, promql.Call) and node.func.name in {"rate", "increase"}:
            rated |= {selector.name for selector in selectors(node)}
        if isinstance(node, promql.AggregateExpr) and str(node.op) == "count":
            counted |= {selector.name for selector in selectors(node)}
    counters = {each.name for each in selectors(expression) if each.name.endswith("_total")}
    assert rated <= counters <= rated | counted


def test_panels_have_their_own_ids_and_places():
    """No two panels share an id or overlap, and none is wider than Grafana's 24 columns."""
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    places = [panel["gridPos"] for panel in PANELS]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y, (one, other)


def test_panels_say_their_title_and_unit():
    """Every panel with data has a title and a unit, and reads the chosen data source."""
    for panel in PANELS:
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["targets"]


def test_variables_are_defined_and_used():
    """The dashboard's variables are exactly those that its queries use."""
    text = json.dumps([PANELS, DASHBOARD["templating"]])
    used = set(re.findall(r"\$\{?(?!__)(\w+)", text))
    assert {variable["name"] for variable in DASHBOARD["templating"]["list"]} == used


def test_variables_are_filled_from_metrics_that_exist():
    """label_values() asks for metrics in the tables."""
    names = {
        re.match(r"label_values\((\w+)", variable["query"]["query"])[1]
        for variable in DASHBOARD["templating"]["list"]
        if variable["type"] == "query"
    }
    assert names
    assert names <= known().keys()


def test_alerts_tell_how_bad_and_what_to_do():
    """Every alert waits before it fires, has a known severity, a summary and a description."""
    for rule in RULES:
        assert rule["for"]
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert {"summary", "description"} <= rule["annotations"].keys()


def test_the_advice_in_an_alert_is_a_query_that_works():
    """The query in the swap alert's text parses and reads a metric that exists."""
    [rule] = [rule for rule in RULES if rule["alert"] == "KvmSwapExhaustion"]
    text = re.search(r"topk\(.*\)\)", rule["annotations"]["description"])[0]
    [selector] = selectors(promql.parse(text))
    assert selector.name in known()
