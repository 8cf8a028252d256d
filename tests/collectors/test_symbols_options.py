"""Does a module of symbols mean what it says, and does a wrong one say where and why?"""

from __future__ import annotations

from functools import partial

import pytest

from kvm_exporter import config
from kvm_exporter.collectors.symbols import asking, files
from kvm_exporter.collectors.symbols.files import SymbolsOptions
from kvm_exporter.kvm.expressions import wanted
from kvm_exporter.metric import Metric
from kvm_exporter.typed_yaml import document

MODULE = """\
kernel: FreeBSD
vnet: all
help: An example.
types: {tcpstat: struct tcpstat}
budget: {bytes: 1000, elements: 10, time: 100ms}
metrics:
  - {name: connects_total, symbol: tcpstat.tcps_connects, help: "Connections."}
  - {name: either, symbol: [new.count, old_count], unit: things, cpu: each, vnet: jail}
  - {name: swtch_total, sysctl: vm.stats.sys.v_swtch}
  - {name: about_info, labels: {version: version, word: "=a b"}}
  - {name: state, symbol: "proc0.p_state", type: stateset, index: other}
lists:
  - each: swtailq
    via: sw_list
    element: struct swdevt
    where: sw_nblks
    labels: {device: [sw_name, sw_unit]}
    metrics:
      - {name: size_bytes, symbol: "sw_nblks * 4096", unit: bytes}
      - {name: parts, symbol: "parts[*]", index: part, names: enum part}
  - steps: [{each: [uma_kegs, old_kegs], via: uk_link}, {each: uk_zones}]
    metrics: [{name: items, symbol: "1"}]
sysctls: [{tree: vm.stats, without: vm.stats.vm}]
"""


@pytest.fixture
def path(tmp_path):
    """Where a module's file is."""
    return tmp_path / "own.yml"


def load(path, text):
    """The module in a text."""
    path.write_text(text, encoding="utf-8")
    return files.load(path)


def refused(path, text):
    """The lines of the error that a text gives, without the file's name."""
    with pytest.raises(config.ConfigError) as caught:
        load(path, text)
    return [line.removeprefix(f"{path}:") for line in str(caught.value).splitlines()]


def configured(text, file="test.yml"):
    """The collector's options in a configuration."""
    (settings,) = config.decode(document.parse(f"collectors: {{symbols: {text}}}", file)).collectors
    return settings.options


def test_a_module_asks_what_it_says(path):
    """Each key of a file comes out in the words of the library."""
    module = load(path, MODULE)
    asked = asking.asked(module)
    metric = partial(wanted.Metric, vnet="all")
    assert asked.types == {"tcpstat": "struct tcpstat"}
    assert asked.metrics == [
        metric("connects_total", ("tcpstat.tcps_connects",)),
        metric("either", ("new.count", "old_count"), cpu="each", vnet="jail"),
        metric("about_info", (), {"version": "version", "word": "=a b"}),
        metric("state", ("proc0.p_state",), index=("kvm_symbol_state", "other"), states=True),
    ]
    assert asked.lists == [
        wanted.List(
            "swtailq",
            (wanted.Step(("swtailq",), "sw_list", "struct swdevt"),),
            (
                metric("size_bytes", ("sw_nblks * 4096",)),
                metric("parts", ("parts[*]",), index=("part",), names="enum part"),
            ),
            {"device": ("sw_name", "sw_unit")},
            "sw_nblks",
            "all",
        ),
        wanted.List(
            "uk_zones",
            (wanted.Step(("uma_kegs", "old_kegs"), "uk_link"), wanted.Step(("uk_zones",))),
            (metric("items", ("1",)),),
            vnet="all",
        ),
    ]


def test_metrics_are_numbered_as_they_are_compiled(path):
    """Those of symbols first, then those of lists: that is how samples find their metric."""
    names = [one.name for one in asking.numbered(load(path, MODULE))]
    assert names == [
        "connects_total", "either", "about_info", "state", "size_bytes", "parts", "items",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        ('["1"]', ("1",)),
        ('["1", "5"]', ("1", "5")),
        ("enum states", "enum states"),
        ("[titles]", "titles"),
    ],
)
def test_names_of_an_index(path, names, meant):
    """A text alone is an enum or an array of texts, unless it begins with a digit."""
    text = f"metrics: [{{name: loads, symbol: 'load[*]', names: {names}}}]"
    path.write_text(text, encoding="utf-8")
    [metric] = asking.asked(files.load(path)).metrics
    assert metric.names == meant


def test_what_is_published(path):
    """Names have the prefix, kinds follow from names, and the help tells the source."""
    found = {one.name: asking.metric(one, ("a",)) for one in load(path, MODULE).metrics}
    assert found["connects_total"] == Metric(
        "kvm_symbol_connects_total",
        "counter",
        "Connections. From kvm(3): tcpstat.tcps_connects.",
        ("a",),
    )
    assert found["either"].kind == "gauge"
    assert found["either"].help == "From kvm(3): new.count or old_count."
    assert found["swtch_total"].help == "From kvm(3): sysctl vm.stats.sys.v_swtch."
    assert (found["about_info"].kind, found["about_info"].help) == ("info", "By kvm(3).")
    assert found["state"].kind == "stateset"


BAD = {
    # name: (text, line and column, path, what the message holds)
    "bad syntax": ("metrics: [{name: a, symbol: 'b[['}]", "1:29", "symbol: ", "column "),
    "second": ("metrics: [{name: a, symbol: [b, 'c..d']}]", "1:33", "symbol[1]: ", "'c..d'"),
    "name": ("metrics: [{name: A-b, symbol: b}]", "1:18", "name", "small letters"),
    "prefix": ("metrics: [{name: kvm_symbol_b, symbol: b}]", "1:18", "name", "leave kvm_symbol_"),
    "nothing to count": ("metrics: [{name: a}]", "1:18", "name", "symbol or sysctl is missing"),
    "both": ("metrics: [{name: a, symbol: b, sysctl: c}]", "1:40", "sysctl", "not both"),
    "index twice": (
        "metrics: [{name: a, symbol: 'b[*]', index: [c, c]}]", "1:44", "index", "twice",
    ),
    "a sysctl's label": (
        "metrics: [{name: a, sysctl: b, labels: {c: d}}]", "1:40", "labels", "no labels",
    ),
    "a sysctl's CPU": ("metrics: [{name: a, sysctl: b, cpu: each}]", "1:37", "cpu", "no CPU's"),
    "a sysctl's info": ("metrics: [{name: a_info, sysctl: b}]", "1:34", "sysctl", "no info"),
    "counter's name": ("metrics: [{name: a, symbol: b, type: counter}]", "1:18", "name", "_total"),
    "label's name": ("metrics: [{name: a, symbol: b, labels: {A: c}}]", "1:40", "labels", "'A'"),
    "label": ("metrics: [{name: a, symbol: b, labels: {c: '['}}]", "1:44", "labels.c: ", "'['"),
    "index": ("metrics: [{name: a, symbol: 'b[*]', index: C}]", "1:44", "index", "'C'"),
    "one family": (
        "metrics: [{name: a, symbol: b}, {name: a_total, symbol: b}]", "1:10", "metrics",
        "a (gauge) and a_total (counter) are one family",
    ),
    "two units": (
        "metrics: [{name: a, symbol: b}, {name: a, symbol: c, unit: bytes}]", "1:10", "metrics",
        "one type and unit",
    ),
    "nowhere": ("lists: [{metrics: [{name: a, symbol: b}]}]", "1:19", "metrics", "each or the key"),
    "steps and via": (
        "lists: [{steps: [{each: c}], via: d, metrics: [{name: a, symbol: b}]}]",
        "1:17", "steps", "belong to each",
    ),
    "sysctl of an element": (
        "lists: [{each: c, metrics: [{name: a, sysctl: b}]}]", "1:28", "metrics", "no sysctl",
    ),
    "where": ("lists: [{each: c, where: '(', metrics: [{name: a, symbol: b}]}]", "1:26", "where",
              "column"),
    "kernel": ("kernel: Solaris", "1:9", "kernel", "'Solaris' is not allowed"),
    "budget": ("budget: {bytes: 0}", "1:17", "budget.bytes", "at least 1"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "place", "path_of_key", "what"), BAD.values(), ids=BAD)
def test_a_mistake_has_its_place(path, text, place, path_of_key, what):
    """A wrong value is told with line, column and key, and what is wrong with it."""
    (line,) = refused(path, text)
    assert line.startswith(f"{place}: ")
    assert path_of_key in line
    assert what in line


def test_files_are_found_beside_the_configuration(path):
    """A path is looked for from the configuration's folder on, whatever the working directory."""
    path.write_text(MODULE, encoding="utf-8")
    options = configured("{modules: ./own.yml}", str(path.with_name("kvm.yml")))
    assert [one.name for one in options.modules] == ["./own.yml"]
    assert options.modules[0].content == load(path, MODULE)


def test_mistakes_of_a_module_are_the_configuration_s(path):
    """What is wrong in a module's file is told beside what is wrong in the configuration."""
    path.write_text("metrics: 1", encoding="utf-8")
    with pytest.raises(config.ConfigError) as caught:
        configured("{modules: [own.yml], zzz: 1}", str(path.with_name("kvm.yml")))
    places = [str(one).partition(": ")[0] for one in caught.value.problems]
    assert places == [f"{path.with_name('kvm.yml')}:1:44", f"{path}:1:10"]


def test_a_changed_file_is_another_configuration(path):
    """Options differ when a file's content does: a reload compiles it anew."""
    path.write_text(MODULE, encoding="utf-8")
    beside = str(path.with_name("kvm.yml"))
    before = configured("{modules: own.yml}", beside)
    assert configured("{modules: own.yml}", beside) == before
    path.write_text(MODULE.replace("Connections", "Calls"), encoding="utf-8")
    assert configured("{modules: own.yml}", beside) != before


def test_an_unknown_module_has_near_names():
    """A name that no shipped module has gives the nearest that there is."""
    with pytest.raises(config.ConfigError, match="did you mean freebsd-tcp"):
        configured("{modules: [freebsd-tpc]}")


def test_a_module_is_named_once():
    """Twice the same would be two accounts that Prometheus cannot tell apart."""
    with pytest.raises(config.ConfigError, match="freebsd-tcp is named twice"):
        configured("{modules: [freebsd-tcp, freebsd-udp, freebsd-tcp]}")


def test_what_stands_in_the_configuration_is_a_module_too():
    """Metrics beside ``modules`` are asked for like those of a file."""
    options = configured("{types: {a: int}, metrics: [{name: b, symbol: a}]}")
    assert options.modules is None
    assert asking.asked(options.own).types == {"a": "int"}
    assert [one.name for one in asking.numbered(options.own)] == ["b"]
    assert asking.numbered(SymbolsOptions().own) == []


def test_one_family_in_the_configuration_too():
    """What stands beside ``modules`` is checked as a module is."""
    with pytest.raises(config.ConfigError, match="are one family"):
        configured("{metrics: [{name: a, symbol: b}, {name: a_info, labels: {c: d}}]}")


def test_metrics_can_be_left_out(path):
    """A module without some families has all others, those of lists too."""
    module = asking.without(load(path, MODULE), {"either", "items", "zzz"})
    assert [one.name for one in asking.numbered(module)] == [
        "connects_total", "about_info", "state", "size_bytes", "parts",
    ]  # fmt: skip


def test_the_configuration_is_shown_with_the_module_s_name(path):
    """What /config shows names a file, as the user wrote it."""
    path.write_text(MODULE, encoding="utf-8")
    text = "collectors: {symbols: {modules: ./own.yml}}"
    chosen = config.decode(document.parse(text, str(path.with_name("kvm.yml"))))
    assert "- ./own.yml" in config.redacted(chosen)
