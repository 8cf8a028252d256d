"""Exposition text: prometheus_client's parsers read from it what was put in."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import exposition as peer_text
from prometheus_client.metrics_core import Metric as PeerMetric
from prometheus_client.openmetrics import exposition as peer_openmetrics
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from kvm_exporter.metric import Metric
from kvm_exporter.outputs.exposition import (
    OPENMETRICS_CONTENT_TYPE,
    OPENMETRICS_END,
    TEXT_CONTENT_TYPE,
    render,
)

SUFFIX = {"counter": "_total", "info": "_info", "gauge": ""}
CHARACTERS = st.characters(codec="utf-8") | st.sampled_from('\\"\n\r\t{},=# \0\x7f\x85\u2028')
TEXTS = st.text(CHARACTERS, max_size=12)
LABEL_NAMES = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]{0,6}", fullmatch=True)
INTEGERS = st.integers(0, 2**200)
VALUES = {
    "info": st.just(1),
    "counter": INTEGERS | st.floats(0, allow_nan=False),
    "gauge": INTEGERS | st.integers(-(2**70), 0) | st.floats(),
}


@st.composite
def families(draw):
    """Any families that a collector may give, with distinct names and distinct series."""
    drawn = []
    for number in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(sorted(SUFFIX)))
        unit = "" if kind == "info" else draw(st.sampled_from(["", "bytes", "seconds"]))
        name = f"kvm_f{number}" + (f"_{unit}" if unit else "") + SUFFIX[kind]
        labels = tuple(draw(st.lists(LABEL_NAMES, unique=True, max_size=3)))
        values = st.tuples(st.tuples(*[TEXTS] * len(labels)), VALUES[kind])
        samples = draw(st.lists(values, min_size=1, max_size=6, unique_by=lambda s: s[0]))
        metric = Metric(name, kind, draw(TEXTS.map(str.strip)), labels, unit)
        drawn.append(metric.family(samples))
    return drawn


def peer(drawn):
    """The same families as prometheus_client holds them."""
    for family in drawn:
        metric = family.metric
        name = metric.name.removesuffix(SUFFIX[metric.kind])
        result = PeerMetric(name, metric.help, metric.kind, metric.unit)
        for labels, value in family.samples:
            result.add_sample(metric.name, dict(zip(metric.labels, labels, strict=True)), value)
        yield result


def meaning(parsed):
    """Parsed families as comparable values: numbers as floats, NaN equal to itself."""
    return [
        (
            family.name,
            family.type,
            family.documentation,
            family.unit,
            [(s.name, s.labels, repr(float(s.value))) for s in family.samples],
        )
        for family in parsed
    ]


def expected(drawn, openmetrics):
    """What the families mean, said without any exposition."""
    wanted = []
    for family in drawn:
        metric = family.metric
        kind = metric.kind
        name = metric.name.removesuffix(SUFFIX[kind])
        if kind == "info" and not openmetrics:
            name, kind = metric.name, "gauge"
        samples = [
            (metric.name, dict(zip(metric.labels, labels, strict=True)), repr(float(value)))
            for labels, value in family.samples
        ]
        wanted.append((name, kind, metric.help, metric.unit if openmetrics else "", samples))
    return wanted


@given(families())
@settings(deadline=None)
def test_text_means_what_was_put_in_and_what_the_peer_says(drawn):
    """Any families come back from text 0.0.4 whole, and as from prometheus_client's own text."""
    ours = meaning(parse_text(render(drawn).decode()))
    registry = SimpleNamespace(collect=lambda: peer(drawn))
    assert ours == meaning(parse_text(peer_text.generate_latest(registry).decode()))
    assert ours == expected(drawn, openmetrics=False)


@given(families())
@settings(deadline=None)
def test_openmetrics_means_what_was_put_in_and_what_the_peer_says(drawn):
    """Any families come back from OpenMetrics whole, and as from prometheus_client's own."""
    ours = meaning(parse_openmetrics((render(drawn, openmetrics=True) + OPENMETRICS_END).decode()))
    registry = SimpleNamespace(collect=lambda: peer(drawn))
    theirs = peer_openmetrics.generate_latest(registry).decode()
    assert ours == meaning(parse_openmetrics(theirs))
    assert ours == expected(drawn, openmetrics=True)


@given(st.lists(st.binary(max_size=8), min_size=1, unique=True))
@settings(deadline=None)
def test_bytes_that_are_not_utf8_read_as_hexadecimal(names):
    """A process name of any bytes is served, undecodable ones as \\xNN."""
    metric = Metric("kvm_x", "gauge", "Help.", ("comm",))
    family = metric.family(((name.decode("utf-8", "surrogateescape"),), 1) for name in names)
    for openmetrics, parse in ((False, parse_text), (True, parse_openmetrics)):
        end = OPENMETRICS_END if openmetrics else b""
        text = (render([family], openmetrics=openmetrics) + end).decode()
        got = [sample.labels["comm"] for sample in next(iter(parse(text))).samples]
        assert set(got) == {name.decode("utf-8", "backslashreplace") for name in names}


@pytest.mark.parametrize("openmetrics", [False, True])
def test_other_surrogates_do_not_break_a_scrape(openmetrics):
    """A surrogate that stands for no byte reads as its code point, in labels and in help."""
    family = Metric("kvm_x", "gauge", "Help \ud800.", ("comm",)).family([(("a\udfffb",), 1)])
    text = render([family], openmetrics=openmetrics).decode()
    assert 'kvm_x{comm="a\\\\udfffb"} 1\n' in text
    assert "# HELP kvm_x Help \\\\ud800.\n" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
        (2**63 + 1, "9223372036854775809"),
        (-0.0, "-0.0"),
        (1e16, "1e+16"),
        (0.1, "0.1"),
        (True, "1"),
        (False, "0"),
    ],
)
def test_values_are_spelled_as_the_formats_want(value, text):
    """Integers stay exact, infinities and NaN have Prometheus's spelling, a bool is a number."""
    metric = Metric("kvm_x", "gauge", "Help.", ("a",))
    drawn = [metric.family([(("inf",), 1), (("nan",), value)])]
    for openmetrics in (False, True):
        lines = render(drawn, openmetrics=openmetrics).decode().splitlines()
        assert lines[2:] == ['kvm_x{a="inf"} 1', f'kvm_x{{a="nan"}} {text}']


def test_headers_of_both_formats():
    """TYPE, HELP and UNIT name the family as each format wants it, with their escapes."""
    drawn = [
        Metric("kvm_a_bytes_total", "counter", 'A "\\"\n.', (), "bytes").single(3),
        Metric("kvm_b_info", "info", "B.", ("v",)).family([(("1",), 1)]),
        Metric("kvm_c", "gauge", "C.", (), "seconds").single(4),
        Metric("kvm_d", "stateset", "D.", ("kvm_d",)).family([(("up",), 1), (("down",), 0)]),
    ]
    assert render(drawn).decode() == (
        '# HELP kvm_a_bytes_total A "\\\\"\\n.\n# TYPE kvm_a_bytes_total counter\n'
        "kvm_a_bytes_total 3\n"
        '# HELP kvm_b_info B.\n# TYPE kvm_b_info gauge\nkvm_b_info{v="1"} 1\n'
        "# HELP kvm_c C.\n# TYPE kvm_c gauge\nkvm_c 4\n"
        '# HELP kvm_d D.\n# TYPE kvm_d gauge\nkvm_d{kvm_d="up"} 1\nkvm_d{kvm_d="down"} 0\n'
    )
    assert render(drawn, openmetrics=True).decode() == (
        "# TYPE kvm_a_bytes counter\n"
        '# HELP kvm_a_bytes A \\"\\\\\\"\\n.\n'
        "# UNIT kvm_a_bytes bytes\n"
        "kvm_a_bytes_total 3\n"
        '# TYPE kvm_b info\n# HELP kvm_b B.\nkvm_b_info{v="1"} 1\n'
        "# TYPE kvm_c gauge\n# HELP kvm_c C.\nkvm_c 4\n"
        "# TYPE kvm_d stateset\n# HELP kvm_d D.\n"
        'kvm_d{kvm_d="up"} 1\nkvm_d{kvm_d="down"} 0\n'
    )


@pytest.mark.parametrize("openmetrics", [False, True])
def test_a_family_without_samples_is_left_out(openmetrics):
    """Unknown is absent: no header announces a family that has no sample."""
    empty = Metric("kvm_x", "gauge", "Help.").single(None)
    known = Metric("kvm_y", "gauge", "Help.").single(0)
    assert render([empty], openmetrics=openmetrics) == b""
    assert render([empty, known], openmetrics=openmetrics) == render(
        [known], openmetrics=openmetrics
    )


@given(families())
@settings(deadline=None)
def test_parts_join_by_concatenation(drawn):
    """Rendering families apart and joining the bytes is rendering them together."""
    for openmetrics in (False, True):
        apart = [render([family], openmetrics=openmetrics) for family in drawn]
        assert b"".join(apart) == render(drawn, openmetrics=openmetrics)


@pytest.mark.parametrize("count", [1, 255, 256, 257, 513])
@pytest.mark.parametrize("odd", [0, -1])
def test_long_families_keep_every_sample_in_order(count, odd):
    """No sample is lost or moved, however many there are and wherever one needs escapes."""
    metric = Metric("kvm_x", "gauge", "Help.", ("a", "b"))
    samples = [((f"a{number}", f"b{number}"), number) for number in range(count)]
    samples[odd] = (('"', "\n"), float("inf"))
    lines = [f'kvm_x{{a="{a}",b="{b}"}} {value}' for (a, b), value in samples]
    lines[odd] = r'kvm_x{a="\"",b="\n"} +Inf'
    assert render([metric.family(samples)]).decode().splitlines()[2:] == lines


@pytest.mark.parametrize(
    ("labels", "samples"),
    [
        (("a", "b"), [(("1", "2"), 0), (("1",), 0)]),
        (("a",), [(("1", "2"), 0)]),
        (("a",), [((), 0)]),
        ((), [(("1",), 0)]),
        ((), [((), 0), (("1",), 0)]),
    ],
)
def test_label_values_that_do_not_fit_are_an_error(labels, samples):
    """Too few or too many label values never shift into another label: the metric is named."""
    with pytest.raises(ValueError, match="kvm_x: a sample's label values do not fit"):
        render([Metric("kvm_x", "gauge", "Help.", labels).family(samples)])


def test_content_types_are_those_of_the_formats():
    """Prometheus chooses its parser by these."""
    assert TEXT_CONTENT_TYPE == peer_text.CONTENT_TYPE_PLAIN_0_0_4
    assert OPENMETRICS_CONTENT_TYPE == peer_openmetrics.CONTENT_TYPE_LATEST
