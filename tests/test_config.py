"""Does a configuration mean what it says, and does a wrong one say where and why?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kvm_exporter import config
from kvm_exporter.collectors import names
from kvm_exporter.typed_yaml import document
from kvm_exporter.typed_yaml.scalar import MAX_SECONDS, duration, span

SHIPPED = Path(__file__).parents[1] / "config" / "kvm_exporter.yml"


def decoded(text: str) -> config.Config:
    """The configuration in a text."""
    return config.decode(document.parse(text, "test.yml"))


def refused(text: str) -> list[str]:
    """The lines of the error that a text gives."""
    with pytest.raises(config.ConfigError) as caught:
        decoded(text)
    return str(caught.value).splitlines()


GOOD = {
    "nothing set": "{}",
    "numbers are seconds": "interval: 15\ndeadline: 0.5",
    "durations": "interval: 1m30s\ndeadline: 500ms",
    "no collector": "collectors: {}",
    "collector named only": "collectors:\n  loadavg:\n  swap: {}\n  cpu: null",
    "own schedule": "collectors: {swap: {interval: 30s, deadline: 1s, max_series: 7}}",
    "node names": "compat: [node_exporter]",
    "no push": "otlp: null",
    "push": "otlp: {endpoint: 'https://h:1/v1/metrics', headers: {a: b}, semconv: hostmetrics}",
    "quoted number is a text": "otlp: {endpoint: 'http://h', resource: {'host.id': '15'}}",
    "rules": (
        "collectors: {process: {groups: [{name: '{comm} {x}', cmdline: ['(?P<x>a+)'], jail: [0],"
        " kernel: false, per_pid: true, user: [root, '0']}], labels: [user, jail]}}"
    ),
    "anchor and alias": "interval: &t 2s\ndeadline: *t",
    "quoted duration": "interval: '15s'",
    "block text": "collectors: {process: {groups: [{name: |-\n  a\n }]}}".replace(
        "|-\n  a\n ", "a"
    ),
}

BAD = {
    # name: (text, place, path, what the message holds)
    "unknown key": ("intervall: 1", "1:1", "intervall", "did you mean interval?"),
    "nothing near": ("zzz: 1", "1:1", "zzz", "known: interval, deadline"),
    "text for a number": ("max_series: '15'", "1:13", "max_series", "found the text '15'"),
    "fraction for a whole": ("max_series: 1.5", "1:13", "max_series", "a whole number"),
    "octal": ("max_series: 010", "1:13", "max_series", "plain decimal"),
    "base sixty": ("interval: 1:30", "1:11", "interval", "a duration such as 15s"),
    "too small": ("max_series: 0", "1:13", "max_series", "at least 1"),
    "too many digits": ("max_series: " + "9" * 5000, "1:13", "max_series", "plain decimal"),
    "no duration": ("interval: 5 minutes", "1:11", "interval", "found the text '5 minutes'"),
    "zero duration": ("interval: 0", "1:11", "interval", "more than 0"),
    "zero duration with unit": ("interval: 0s", "1:11", "interval", "more than 0"),
    "negative duration": ("interval: -1", "1:11", "interval", "more than 0"),
    "eternal duration": ("interval: 1e9", "1:11", "interval", "at most 366d"),
    "not a number": ("interval: .nan", "1:11", "interval", "a duration"),
    "null interval": ("interval:", "1:10", "interval", "found nothing"),
    "list for a value": ("interval: [1]", "1:11", "interval", "found a list"),
    "mapping for a list": ("compat: {}", "1:9", "compat", "expected a list, found a mapping"),
    "text for a list": ("compat: node_exporter", "1:9", "compat", "expected a list"),
    "unknown word": ("compat: [node_exportr]", "1:10", "compat[0]", "did you mean node_exporter?"),
    "list for the file": ("- a", "1:1", "", "expected a mapping"),
    "text for the file": ("a", "1:1", "", "expected a mapping"),
    "no such collector": ("collectors:\n  swapp: {}", "2:3", "collectors.swapp", "mean swap?"),
    "null collectors": ("collectors:", "1:12", "collectors", "found nothing"),
    "collector as a list": ("collectors: {cpu: []}", "1:19", "collectors.cpu", "found a list"),
    "unknown option": (
        "collectors: {cpu: {intervall: 1}}",
        "1:20",
        "collectors.cpu.intervall",
        "did you mean interval?",
    ),
    "wrong schedule": (
        "collectors: {cpu: {interval: x}}",
        "1:30",
        "collectors.cpu.interval",
        "a duration",
    ),
    "missing key": ("otlp: {interval: 1s}", "1:7", "otlp", "the key endpoint is missing"),
    "not a URL": ("otlp: {endpoint: localhost}", "1:18", "otlp.endpoint", "expected a URL"),
    "no port": ("otlp: {endpoint: 'http://h:65536/'}", "1:18", "otlp.endpoint", "not a URL: Port"),
    "header name": (
        "otlp: {endpoint: 'http://h', headers: {'a b': c}}",
        "1:39",
        "otlp.headers",
        "'a b' cannot be a header's name",
    ),
    "header value": (
        "otlp: {endpoint: 'http://h', headers: {a: \"b\\nc\"}}",
        "1:39",
        "otlp.headers",
        "the value of a is not printable ASCII",
    ),
    "YAML 1.1 boolean": (
        "collectors: {process: {threads: yes}}",
        "1:33",
        "collectors.process.threads",
        "expected true or false, found the YAML 1.1 boolean 'yes'",
    ),
    "boolean for a text": (
        "collectors: {process: {groups: [{name: on}]}}",
        "1:40",
        "collectors.process.groups[0].name",
        "put it in quotes",
    ),
    "number for a text": (
        "collectors: {process: {groups: [{name: a, user: [0]}]}}",
        "1:50",
        "collectors.process.groups[0].user[0]",
        "expected a text, found the number '0'; put it in quotes",
    ),
    "deep in a list": (
        "collectors:\n process:\n  groups:\n  - name: a\n  - name: b\n  - name: c\n    com: [x]",
        "7:5",
        "collectors.process.groups[2].com",
        "did you mean comm?",
    ),
    "regular expression": (
        "collectors: {process: {groups: [{name: a, cmdline: ['a(']}]}}",
        "1:53",
        "collectors.process.groups[0].cmdline[0]",
        "unterminated subpattern at its character 2",
    ),
    "placeholder": (
        "collectors: {process: {groups: [{name: '{com}'}]}}",
        "1:40",
        "collectors.process.groups[0].name",
        "unknown placeholder {com}; did you mean {comm}?",
    ),
    "pid as a placeholder": (
        "collectors: {process: {groups: [{name: '{pid}'}]}}",
        "1:40",
        "collectors.process.groups[0].name",
        "per_pid: true",
    ),
    "format": (
        "collectors: {process: {groups: [{name: '{comm!r:>9}'}]}}",
        "1:40",
        "collectors.process.groups[0].name",
        "takes no format",
    ),
    "lone brace": (
        "collectors: {process: {groups: [{name: 'a}'}]}}",
        "1:40",
        "collectors.process.groups[0].name",
        "write {{ or }} for a brace",
    ),
    "no name": (
        "collectors: {process: {groups: [{name: ''}]}}",
        "1:40",
        "collectors.process.groups[0].name",
        "needs a name",
    ),
    "capture hides a fact": (
        "collectors: {process: {groups: [{name: a, cmdline: ['(?P<comm>x)']}]}}",
        "1:33",
        "collectors.process.groups[0]",
        "hides the placeholder",
    ),
    "label twice": (
        "collectors: {process: {labels: [user, user]}}",
        "1:32",
        "collectors.process.labels",
        "twice",
    ),
    "key twice": ("interval: 1\ninterval: 2", "2:1", "", "already there, in line 1"),
    "merge key": ("a: &a {}\n<<: *a", "2:1", "", "merge keys"),
    "tag": ("interval: !!python/name:os.system x", "1:11", "", "tags such as"),
    "key that is a list": ("[a]: 1", "1:1", "", "a key must be a single word"),
    "alias of nothing": ("interval: *x", "1:11", "", "named &x"),
    "two documents": ("interval: 1\n---\ninterval: 2", "2:1", "", "a second document"),
    "empty": ("# only a comment\n", "2:1", "", "the file is empty"),
    "control character": ("interval: 1\na: \x07", "2:4", "", "U+0007"),
    "syntax": ("interval: [1\ncollectors: 1", "2:11", "", "not YAML"),
    "tab": ("collectors:\n\tcpu:", "2:1", "", "not YAML"),
    "too deep": ("interval: " + "[" * 200_000, "1:43", "", "nested deeper than 32"),
}


@pytest.mark.parametrize("name", GOOD)
def test_good(name: str) -> None:
    """A good configuration is understood."""
    assert isinstance(decoded(GOOD[name]), config.Config)


@pytest.mark.parametrize("name", BAD)
def test_bad(name: str) -> None:
    """A wrong one is an error with file, line, column, the key's path and what to do."""
    text, place, path, what = BAD[name]
    found = [line for line in refused(text) if line.startswith(f"test.yml:{place}: {path}")]
    assert any(what in line for line in found), refused(text)


def test_all_at_once() -> None:
    """Every error of a file is told at once, in the file's order."""
    lines = refused("intervall: 1\ncompat: [x]\ncollectors: {cpu: {a: 1}, b: {}}\nmax_series: x\n")
    assert [line.split(": ")[1] for line in lines] == [
        "intervall",
        "compat[0]",
        "collectors.cpu.a",
        "collectors.b",
        "max_series",
    ]


def test_values() -> None:
    """Values arrive as they were written; a collector's schedule falls back on the file's."""
    found = decoded(
        "interval: 1m30s\nmax_series: 5\ncollectors: {cpu: {}, swap: {interval: 500ms}}\n"
        "otlp: {endpoint: 'http://h/x', headers: {k: v}, timeout: 2}\ncompat: [node_exporter]"
    )
    assert [
        (one.name, one.interval_seconds, one.deadline_seconds, one.max_series)
        for one in found.collectors
    ] == [("cpu", 90, 5, 5), ("swap", 0.5, 5, 5)]
    assert found.compat == ("node_exporter",)
    assert found.otlp == config.Otlp("http://h/x", {"k": "v"}, 30.0, 2.0, "current", {})


def test_options_reach_their_collector() -> None:
    """A collector's options are decoded into its own dataclass."""
    found = decoded("collectors: {process: {max_groups: 3, group_ttl: 2m, groups: [{name: x}]}}")
    options = found.collectors[0].options
    assert (options.max_groups, options.group_ttl_seconds) == (3, 120)
    assert options.groups[0].name == "x"


def test_without_the_key_all_collectors() -> None:
    """Without ``collectors`` every one that is on by default runs, on the file's schedule."""
    found = decoded("interval: 3s").collectors
    assert {one.name for one in found} == set(names()) - {"symbols"}
    assert {one.interval_seconds for one in found} == {3.0}


def test_shipped_file_is_the_default() -> None:
    """The shipped file says what holds without a file."""
    shipped = config.load(SHIPPED)
    assert sorted(shipped.collectors, key=lambda one: one.name) == list(config.default().collectors)
    assert (shipped.compat, shipped.otlp, shipped.schedule) == ((), None, config.Schedule())


def test_shipped_file_teaches_every_key() -> None:
    """The shipped file names every key there is, and its examples are good ones."""
    text = SHIPPED.read_text(encoding="utf-8")
    taught = decoded(re.sub(r"(?m)^( *)#: ", r"\1", text))
    assert taught.otlp is not None
    assert len(taught.collectors) == len(names())
    keys = re.findall(r"(?m)^[ -]*(\w+):", config.redacted(taught))
    assert {key for key in keys if not re.search(rf"\b{key}\b", text)} == set()


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: None, "cannot read it: No such file"),
        (lambda path: path.mkdir(), "cannot read it: Is a directory"),
        (lambda path: path.write_bytes(b"a: 1\nb: \xff"), "2:4: byte 0xff is not UTF-8"),
        (lambda path: path.write_bytes(b"#" * (document.MAX_BYTES + 1)), "larger than"),
        (lambda path: path.write_bytes(b""), "1:1: the file is empty"),
    ],
)
def test_unreadable_file(tmp_path: Path, make: object, what: str) -> None:
    """A file that cannot be read is an error with its name and the reason."""
    path = tmp_path / "kvm.yml"
    make(path)
    with pytest.raises(config.ConfigError, match=re.escape(str(path))) as caught:
        config.load(path)
    assert what in str(caught.value)


def test_byte_order_mark(tmp_path: Path) -> None:
    """An editor's byte order mark does no harm."""
    path = tmp_path / "kvm.yml"
    path.write_bytes(b"\xef\xbb\xbfinterval: 2")
    assert config.load(path).schedule.interval_seconds == 2


def test_alias_bomb() -> None:
    """A few lines of aliases of aliases are refused before they are unfolded."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    assert "more than 100000 values" in refused("\n".join(lines))[0]


@given(st.text(alphabet="abc:{}[]-\n #'\"&*!|>%@\t,?0", max_size=60))
def test_any_text(text: str) -> None:
    """Any text is a configuration or a ConfigError, never another exception."""
    try:
        decoded(text)
    except config.ConfigError as error:
        assert error.problems  # noqa: PT017 - both outcomes are good


@given(st.integers(1, MAX_SECONDS * 1000))
def test_durations_come_back(milliseconds: int) -> None:
    """A duration that is written out is read as the same."""
    written = str(span(milliseconds / 1000))
    scalar = document.Scalar(document.Mark(1, 1), written, plain=True)
    assert duration(scalar) == pytest.approx(milliseconds / 1000)


@pytest.mark.parametrize("name", GOOD)
def test_redacted_is_the_same_configuration(name: str) -> None:
    """What /config shows is YAML that says the same, secrets aside."""
    found = decoded(GOOD[name])
    again = decoded(config.redacted(found))
    assert again.collectors == found.collectors
    assert again.schedule == found.schedule
    assert (again.otlp is None) == (found.otlp is None)


def test_secrets_are_not_shown() -> None:
    """Header values, passwords and query strings never reach /config, header names do."""
    shown = config.redacted(
        decoded("otlp: {endpoint: 'http://me:pw1@h/v1?key=pw2', headers: {Auth: 'Bearer pw3'}}")
    )
    assert yaml.safe_load(shown)["otlp"]["headers"] == {"Auth": "<redacted>"}
    assert not re.search(r"pw\d|me", shown.partition("endpoint")[2].partition("timeout")[0])


def test_secrets_are_not_in_errors() -> None:
    """An error about a secret does not repeat it."""
    lines = refused("otlp: {endpoint: pw4, headers: {a: 12345, b: [pw5]}}")
    assert len(lines) == 3
    assert not re.search(r"12345|pw\d", "".join(lines))


def test_with_collectors() -> None:
    """Flags add collectors at the file's schedule and their defaults, and take some away."""
    base = decoded("interval: 3s\ncollectors: {cpu: {interval: 1s}, swap: {}}")
    found = config.with_collectors(base, {"cpu", "loadavg"}, {"swap"})
    assert [(one.name, one.interval_seconds) for one in found.collectors] == [
        ("cpu", 1.0),
        ("loadavg", 3.0),
    ]


def test_with_unknown_collectors() -> None:
    """Every flag that names no collector is told, with the nearest name."""
    with pytest.raises(config.ConfigError) as caught:
        config.with_collectors(config.default(), ["swapp"], ["cpux"])
    assert [str(one) for one in caught.value.problems] == [
        "--collector.swapp: there is no such collector; did you mean swap?",
        "--collector.cpux: there is no such collector; did you mean cpu?",
    ]


def test_a_fields_own_mistakes_are_told_beside_others() -> None:
    """A bad URL and a bad header are told together, and with a wrong type next to them."""
    lines = refused("otlp: {endpoint: localhost, headers: {'a b': \"c\\nd\"}, timeout: x}")
    told = [line.split(": ", 2)[1] for line in lines]
    assert told == ["otlp.endpoint", "otlp.headers", "otlp.headers", "otlp.timeout"]
