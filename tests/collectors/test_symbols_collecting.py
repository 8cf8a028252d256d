"""Are modules of symbols collected each for itself, and what is missing told?"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from fakes.counting import opened
from forge.counting import PAGE, Counting
from forge.world import OBJECT

from kvm_exporter.collectors.symbols import COLLECTOR, files
from kvm_exporter.collectors.symbols.collecting import Module, Symbols
from kvm_exporter.collectors.symbols.files import SymbolsOptions
from kvm_exporter.kvm import AccessDenied, KvmError
from kvm_exporter.kvm.objects.freebsd.copies import FreeBSDCopies
from kvm_exporter.kvm.objects.sysctls import Setting, Sysctl
from kvm_exporter.snapshot import check
from kvm_exporter.typed_yaml.option import File

GOOD = """
metrics:
  - {name: packets_total, symbol: packets, help: Packets.}
  - {name: packets_by_cpu_total, symbol: packets, cpu: each}
  - {name: nothing, symbol: pakets}
  - {name: about_info, labels: {word: "=a"}}
lists:
  - each: devices
    labels: {name: d_name}
    metrics: [{name: device_bytes, symbol: d_size, unit: bytes}]
"""
OTHER = """
kernel: FreeBSD
metrics:
  - {name: packets_total, symbol: "packets * 2"}
  - {name: doubled, symbol: "packets * 2"}
"""


SETTINGS = [
    Setting(Sysctl(("vm", "swtch"), ("", ""), description="Switches"), 7),
    Setting(Sysctl(("dev", "cpu", "1", "freq"), ("", "", "core", "")), 2400),
]


@pytest.fixture
def kernel():
    """A kernel with a counter and a list."""
    kernel = Counting("amd64", cpus=(0, 3))
    kernel.declare("struct device { char d_name[8]; u_long d_size; SLIST_ENTRY(device) d_link; };")
    kernel.declare("SLIST_HEAD(devices, device);")
    kernel.variable("counter_u64_t packets", kernel.counter([10, 20]))
    devices = [
        kernel.new("struct device", d_name=b"a", d_size=5),
        kernel.new("struct device", d_name=b"b", d_size=7),
    ]
    kernel.link_list("SLIST", kernel.variable("struct devices devices"), devices, "d_link")
    return kernel


def as_kvm(kernel, name="freebsd"):
    """The forged kernel as the collector is given one."""
    target = opened(kernel)
    return SimpleNamespace(
        target=target,
        copies=FreeBSDCopies(target, PAGE),
        system=SimpleNamespace(name=name),
        sysctls=lambda prefixes, without: iter(
            one for one in SETTINGS if one.sysctl.name.startswith(tuple(prefixes))
        ),
        sysctl=lambda name: next((one for one in SETTINGS if one.sysctl.name == name), None),
    )


def module(tmp_path, text, name="module"):
    """A module from its text."""
    path = tmp_path / f"{name}.yml"
    path.write_text(text, encoding="utf-8")
    return File(name, files.load(path))


def collected(symbols, kvm):
    """The families of a collection that have samples, as dicts of samples."""
    families = list(symbols.collect(kvm))
    for family in families:
        check(family)
    return {family.metric.name: dict(family.samples) for family in families if family.samples}


def test_a_module_gives_its_metrics(kernel, tmp_path):
    """Numbers, copies, lists and infos come out under their names, with their labels."""
    found = collected(Symbols(SymbolsOptions((module(tmp_path, GOOD),))), as_kvm(kernel))
    own = {name: samples for name, samples in found.items() if name.startswith("kvm_symbol_")}
    assert own == {
        "kvm_symbol_packets_total": {(): 30},
        "kvm_symbol_packets_by_cpu_total": {("0",): 10, ("3",): 20},
        "kvm_symbol_about_info": {("a",): 1},
        "kvm_symbol_device_bytes": {("a",): 5, ("b",): 7},
    }


def test_what_is_missing_is_told(kernel, tmp_path):
    """A metric that the kernel cannot have has a reason, with a name that is spelled nearly so."""
    found = collected(Symbols(SymbolsOptions((module(tmp_path, GOOD),))), as_kvm(kernel))
    [(of_module, metric, reason)] = found["kvm_symbols_missing"]
    assert (of_module, metric) == ("module", "nothing")
    assert "pakets" in reason
    assert "packets" in reason.replace("pakets", "")
    assert found["kvm_symbols_module_success"] == {("module",): 1}
    assert found["kvm_symbols_compilations_total"] == {("module",): 1}
    assert found["kvm_symbols_read_bytes_total"]["module",] > 0


def test_the_same_is_missed_once(kernel, tmp_path):
    """Lists that are called the same and lack the same are one series, as an exposition wants."""
    twice = "".join(
        f"  - {{each: devises, metrics: [{{name: {name}, symbol: d_size}}]}}\n" for name in "ab"
    )
    symbols = Symbols(SymbolsOptions((module(tmp_path, f"lists:\n{twice}"),)))
    [family] = [
        each
        for each in symbols.collect(as_kvm(kernel))
        if each.metric.name == "kvm_symbols_missing"
    ]
    [((_, of_list, reason), value)] = family.samples
    assert (of_list, value) == ("devises", 1)
    assert "devises" in reason


def test_the_accounts_come_before_what_may_be_too_much(kernel, tmp_path):
    """Of more series than the collector may have, the last are dropped: not why some lack."""
    symbols = Symbols(SymbolsOptions((module(tmp_path, GOOD),)))
    names = [each.metric.name for each in symbols.collect(as_kvm(kernel))]
    assert names.index("kvm_symbols_missing") < names.index("kvm_symbol_packets_total")


def test_it_is_compiled_once(kernel, tmp_path):
    """Later collections of a kernel use the first one's plan; another handle gets its own."""
    symbols, kvm = Symbols(SymbolsOptions((module(tmp_path, GOOD),))), as_kvm(kernel)
    first, second = collected(symbols, kvm), collected(symbols, kvm)
    assert second["kvm_symbol_packets_total"] == first["kvm_symbol_packets_total"]
    assert second["kvm_symbols_compilations_total"] == {("module",): 1}
    third = collected(symbols, as_kvm(kernel))
    assert third["kvm_symbols_compilations_total"] == {("module",): 2}


def test_the_kernel_is_asked_once_whether_it_changed(kernel, tmp_path):
    """However many modules there are, and when it did, all of them are compiled and read again."""
    texts = {name: f"metrics: [{{name: {name}, symbol: packets}}]" for name in "abc"}
    modules = tuple(module(tmp_path, text, name) for name, text in texts.items())
    symbols, kvm = Symbols(SymbolsOptions(modules)), as_kvm(kernel)
    answers = iter([1, 1, 1, 2, 2, 2])
    kvm.copies.generation = lambda: next(answers)
    collected(symbols, kvm)  # 1 before and after
    found = collected(symbols, kvm)  # 1 before, 2 after: all again
    assert found["kvm_symbols_compilations_total"] == dict.fromkeys([("a",), ("b",), ("c",)], 2)
    found = collected(symbols, kvm)
    assert found["kvm_symbols_compilations_total"] == dict.fromkeys([("a",), ("b",), ("c",)], 2)
    assert list(answers) == []


def test_a_name_has_one_owner(kernel, tmp_path, caplog):
    """Of two modules with a metric of one name the first gives it, and a warning tells."""
    modules = (module(tmp_path, GOOD, "first"), module(tmp_path, OTHER, "second"))
    found = collected(Symbols(SymbolsOptions(modules)), as_kvm(kernel))
    assert found["kvm_symbol_packets_total"] == {(): 30}
    assert found["kvm_symbol_doubled"] == {(): 60}
    assert "module second: module first has packets already" in caplog.text


def test_another_kernel_s_module_is_left_out(kernel, tmp_path):
    """A module for FreeBSD asks nothing of Linux, and is in no account."""
    symbols = Symbols(SymbolsOptions((module(tmp_path, OTHER),)))
    assert collected(symbols, as_kvm(kernel, "linux")) == {}


def test_a_module_that_needs_a_variable(kernel, tmp_path):
    """Without the variable that it needs a module is missing as a whole, told once."""
    absent = module(tmp_path, f"needs: pf_status\n{OTHER}", "absent")
    there = module(tmp_path, f"needs: packets\n{GOOD}", "there")
    found = collected(Symbols(SymbolsOptions((absent, there))), as_kvm(kernel))
    missing = {of: (name, reason) for of, name, reason in found["kvm_symbols_missing"]}
    assert missing["absent"] == ("*", "this kernel has no pf_status")
    assert missing["there"][0] == "nothing"
    assert "kvm_symbol_doubled" not in found
    assert found["kvm_symbol_device_bytes"] == {("a",): 5, ("b",): 7}


def test_sysctls(kernel, tmp_path):
    """A sysctl is a metric by a name of one's own, or by its tree's; trees may overlap."""
    text = """
    metrics:
      - {name: switches_total, sysctl: vm.swtch}
      - {name: nothing, sysctl: vm.zzz}
    sysctls: [{tree: dev}]
    """
    modules = (module(tmp_path, text), module(tmp_path, "sysctls: [{tree: ''}]", "all"))
    found = collected(Symbols(SymbolsOptions(modules)), as_kvm(kernel))
    assert found["kvm_symbol_switches_total"] == {(): 7}
    assert found["sysctl_dev_cpu_freq"] == {("1",): 2400}
    assert found["sysctl_vm_swtch"] == {(): 7}
    [(_, metric, reason)] = found["kvm_symbols_missing"]
    assert (metric, "no such sysctl" in reason) == ("nothing", True)


def test_what_is_missing_is_told_once_however_often_it_is_looked_for(kernel, tmp_path):
    """A sysctl that is not there takes no more room with each collection; nor does one that comes
    stay missing."""
    text = "metrics: [{name: nothing, sysctl: vm.zzz}, {name: late, sysctl: vm.late}]"
    one, kvm = Module("m", module(tmp_path, text).content, lambda: 0.0), as_kvm(kernel)
    for _ in range(3):
        one.collect(kvm, None)
    assert [name for name, _ in one.account.missing] == ["nothing", "late"]
    kvm.sysctl = {"vm.late": SETTINGS[0]}.get
    one.collect(kvm, None)
    assert [name for name, _ in one.account.missing] == ["nothing"]


def test_no_reason_tells_an_address(kernel, tmp_path):
    """What is missing of a running kernel does not tell where that is in memory."""
    kernel.world.symbol("pcpu_entry_odd", 0xFFFFFFFF8123_4560, 4, OBJECT)
    text = "{metrics: [{name: odd, symbol: (int)odd}]}"
    found = collected(Symbols(SymbolsOptions((module(tmp_path, text),))), as_kvm(kernel))
    [(_, metric, reason)] = found["kvm_symbols_missing"]
    assert (metric, "8123" in reason) == ("odd", False)
    assert "0x… is in no linker set" in reason


def test_what_fails_costs_only_its_own_part(kernel, tmp_path, caplog):
    """Sysctls that are refused leave the symbols' metrics; the module says that it failed."""
    kvm = as_kvm(kernel)

    def refused(*_):
        raise AccessDenied("sysctl: Operation not permitted")

    kvm.sysctls = refused
    symbols = Symbols(SymbolsOptions((module(tmp_path, GOOD + "sysctls: [{tree: dev}]"),)))
    found = collected(symbols, kvm)
    assert found["kvm_symbol_packets_total"] == {(): 30}
    assert found["kvm_symbols_module_success"] == {("module",): 0}
    assert collected(symbols, kvm)
    assert caplog.text.count("module module failed: sysctl: Operation not permitted") == 1


def test_metrics_of_the_configuration_itself(kernel, tmp_path):
    """What stands beside ``modules`` is the module ``own``."""
    path = tmp_path / "own.yml"
    path.write_text(GOOD, encoding="utf-8")
    content = files.load(path)
    options = SymbolsOptions((), metrics=content.metrics, lists=content.lists)
    found = collected(Symbols(options), as_kvm(kernel))
    assert found["kvm_symbol_packets_total"] == {(): 30}
    assert found["kvm_symbols_module_success"] == {("own",): 1}


def test_a_budget_that_is_exceeded_is_counted(kernel, tmp_path):
    """What is over the budget is missing, and counted by what it exceeded."""
    short = module(tmp_path, f"budget: {{elements: 1}}\n{GOOD}")
    symbols, kvm = Symbols(SymbolsOptions((short,))), as_kvm(kernel)
    collected(symbols, kvm)
    found = collected(symbols, kvm)
    assert found["kvm_symbols_budget_exceeded_total"]["module", "elements"] == 2
    assert found["kvm_symbols_budget_exceeded_total"]["module", "bytes"] == 0
    assert found["kvm_symbol_packets_total"] == {(): 30}


def test_time_is_a_budget(kernel, tmp_path):
    """A collection that takes longer than it may ends, and says so."""
    many = [kernel.new("struct device", d_name=b"x", d_size=1) for _ in range(200)]
    kernel.link_list("SLIST", kernel.variable("struct devices many"), many, "d_link")
    ticks = iter(range(10**9))
    slow = module(tmp_path, f"budget: {{time: 1ms}}\n{GOOD.replace('each: devices', 'each: many')}")
    found = collected(Symbols(SymbolsOptions((slow,)), lambda: next(ticks)), as_kvm(kernel))
    assert found["kvm_symbols_budget_exceeded_total"]["module", "time"] == 1
    assert found["kvm_symbols_module_duration_seconds"]["module",] >= 1


def test_compiling_has_no_part_in_the_budget(kernel, tmp_path):
    """However long a module was compiled, the first collection has all of it."""
    time, kvm = SimpleNamespace(now=0.0), as_kvm(kernel)
    variable = kvm.copies.variable

    def slowly(name):
        time.now += 5
        return variable(name)

    kvm.copies.variable = slowly
    symbols = Symbols(SymbolsOptions((module(tmp_path, GOOD),)), lambda: time.now)
    found = collected(symbols, kvm)
    assert time.now >= 5
    assert found["kvm_symbol_packets_total"] == {(): 30}
    assert found["kvm_symbols_budget_exceeded_total"]["module", "time"] == 0


def test_compiling_is_spread_over_collections(kernel, tmp_path):
    """Where compiling takes long, modules are compiled a few at a time, and all in the end."""
    seconds = [0.0]

    def slow_clock():
        seconds[0] += 0.5
        return seconds[0]

    names = [f"m{number}" for number in range(8)]
    modules = tuple(
        module(tmp_path, f"metrics: [{{name: {name}, symbol: packets}}]", name) for name in names
    )
    symbols, kvm = Symbols(SymbolsOptions(modules), slow_clock), as_kvm(kernel)
    seen = [set(collected(symbols, kvm)) & {f"kvm_symbol_{one}" for one in names}
            for _ in range(8)]  # fmt: skip
    assert 0 < len(seen[0]) < 8
    assert seen[0] < seen[1]
    assert len(seen[-1]) == 8


def test_no_memory_no_collection(kernel, tmp_path):
    """Where not one module can be collected, the collector fails with the reason."""

    class Refused:
        system = SimpleNamespace(name="freebsd")

        @property
        def target(self):
            raise AccessDenied("/dev/kmem: Permission denied")

        copies = target

    symbols = Symbols(SymbolsOptions((module(tmp_path, GOOD),)))
    with pytest.raises(KvmError, match="/dev/kmem"):
        symbols.collect(Refused())


def test_all_that_are_shipped_for_the_kernel(kernel):
    """Without ``modules`` those that come with the exporter are collected, of this kernel only.

    Whole trees of sysctls are not: they would be half of the series.
    """
    found = collected(Symbols(SymbolsOptions()), as_kvm(kernel))
    of = {name for (name,) in found["kvm_symbols_module_success"]}
    freebsd = {name for name in files.shipped() if name.startswith("freebsd-")}
    assert of == freebsd - {"freebsd-sysctl"}
    assert set(found["kvm_symbols_module_success"].values()) == {1}


def test_it_is_off_by_default():
    """Reading kernel memory is asked for, not assumed."""
    assert not COLLECTOR.enabled
