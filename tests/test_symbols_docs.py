"""Does every example of docs/symbols.md hold?  The exporter reads each from a forged kernel."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from fakes.counting import opened
from forge.counting import PAGE, Counting
from forge.crashed import BASES, crash
from forge.world import Thing

from kvm_exporter import cli, config
from kvm_exporter.collectors.symbols import files
from kvm_exporter.collectors.symbols.collecting import Symbols
from kvm_exporter.collectors.symbols.files import SymbolsOptions
from kvm_exporter.collectors.symbols.options import (
    BudgetOptions,
    ListOptions,
    MetricOptions,
    ModuleOptions,
    StepOptions,
    SysctlOptions,
)
from kvm_exporter.kvm.objects.freebsd.copies import FreeBSDCopies
from kvm_exporter.outputs.exposition import render
from kvm_exporter.typed_yaml import document
from kvm_exporter.typed_yaml.decode import options
from kvm_exporter.typed_yaml.option import File

DOCS = (Path(__file__).parents[1] / "docs" / "symbols.md").read_text(encoding="utf-8")

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^kvm_exporter (?:explain|symbols) .*$", DOCS + README, re.MULTILINE)

DECLARATIONS = """
struct loadavg { uint32_t ldavg[3]; long fscale; };
struct cdev { char *si_name; };
struct vnode { int v_usecount; struct cdev *v_rdev; };
struct tcpstat { uint64_t tcps_connattempt; uint64_t tcps_connects; };
struct vmmeter { counter_u64_t v_swtch; counter_u64_t v_trap; u_int v_page_size; };
struct vm_domain { u_int vmd_free_count; };
struct hits { uint64_t hits; };
struct swdevt { int sw_nblks; struct vnode *sw_vp; TAILQ_ENTRY(swdevt) sw_list; };
TAILQ_HEAD(swdevhead, swdevt);
struct uma_zone { char *uz_name; LIST_ENTRY(uma_zone) uz_link; };
LIST_HEAD(zones, uma_zone);
struct uma_keg { uint32_t uk_size; struct zones uk_zones; LIST_ENTRY(uma_keg) uk_link; };
LIST_HEAD(kegs, uma_keg);
enum zone_stat_item { NR_FREE_PAGES, NR_ZONE_INACTIVE_ANON };
enum p_state { PRS_NEW, PRS_NORMAL, PRS_ZOMBIE };
struct proc { enum p_state p_state; int p_pid; };
struct list_head { struct list_head *next, *prev; };
"""

EXPRESSIONS: Mapping[str, object] = {
    # as it stands in the table: its value, or its values by label
    "nprocs": 24,
    "averunnable.ldavg[0]": 1024,
    "averunnable.ldavg[*]": {"0": 1024, "1": 512, "2": 256},
    "averunnable.ldavg[0:2]": {"0": 1024, "1": 512},
    "vm_dom[0:vm_ndomains].vmd_free_count": {"0": 7, "1": 8},
    "averunnable.ldavg[0] / averunnable.fscale": 0.5,
    "rootvnode->v_usecount": 9,
    "(*rootvnode).v_usecount": 9,
    "(&averunnable)->fscale": 2048,
    "((struct tcpstat)tcpstat).tcps_connects": 33,
    "(int)nr_threads": 77,
    "vm_cnt.*": {"v_swtch": 30, "v_trap": 3, "v_page_size": 4096},
    "cpuid_to_pcpu[cpu]->pc_cpuid": 7,
    "percpu(pcpu_zone_4)->hits": 12,
    "sum(averunnable.ldavg[*])": 1792,
    "ntohs(port)": 443,
    "ntohl(address)": 0x7F000001,
    "sizeof(struct proc)": 8,
    "vm_zone_stat[NR_FREE_PAGES]": 6,
    "vm_zone_stat[(enum zone_stat_item)NR_FREE_PAGES]": 6,
    "`scan.recorded`": 5,
    "nprocs * 1024": 24576,
    "nprocs + 0x10": 40,
    "nprocs * 1e-3": 0.024,
}
"""What stands in the table of expressions, and the forged kernel's answers."""


def forged():
    """The kernel of the examples: CPUs 0, 2 and 5, a jail, and no type for two variables."""
    kernel = Counting("amd64", jails={"web": 3}, base=BASES["amd64"])
    kernel.declare(DECLARATIONS)
    for declaration, value in {
        "int nprocs": 24,
        "struct loadavg averunnable": {"ldavg": [1024, 512, 256], "fscale": 2048},
        "int vm_ndomains": 2,
        "int maxproc": 1000,
        "int port": 0xBB01,
        "int address": 0x0100007F,
        "long vm_zone_stat[2]": [6, 7],
        "char version[24]": b"FreeBSD 15.1\n",
        "u_long pagesizes[2]": [4096, 0],
        "struct proc proc0": {"p_state": 1, "p_pid": 0},
    }.items():
        kernel.variable(declaration, value)
    kernel.variable("struct vm_domain vm_dom[4]", [{"vmd_free_count": at} for at in (7, 8, 9, 9)])
    device = kernel.new("struct cdev", si_name=kernel.text("da0p2"))
    vnode = kernel.new("struct vnode", v_usecount=9, v_rdev=device)
    kernel.variable("struct vnode *rootvnode", vnode)
    counts = {"v_swtch": [5, 10, 15], "v_trap": [1, 1, 1]}
    counters = {name: kernel.counter(values) for name, values in counts.items()}
    kernel.variable("struct vmmeter vm_cnt", counters | {"v_page_size": 4096})
    connects = kernel.counters([[1, 1, 1], [10, 11, 12]])
    kernel.vnet("counter_u64_t tcpstat[2]", {"": connects, "web": connects})
    hits = kernel.allocation("struct hits", [{"hits": 3}, {"hits": 4}, {"hits": 5}])
    kernel.variable("struct hits *pcpu_zone_4", hits)
    for name, value in {"nr_threads": 77, "scan.recorded": 5}.items():
        hidden = kernel.variable(f"int hidden_{value}", value)
        kernel.world.symbol(name, hidden.address, 4)
    swap = [kernel.new("struct swdevt", sw_nblks=100, sw_vp=vnode)]
    kernel.link_list("TAILQ", kernel.variable("struct swdevhead swtailq"), swap, "sw_list")
    zone = kernel.new("struct uma_zone", uz_name=kernel.text("mbuf"))
    keg = kernel.new("struct uma_keg", uk_size=256)
    kernel.link_list("LIST", Thing(kernel.world, "struct zones", keg.at("uk_zones")), [zone],
                     "uz_link")  # fmt: skip
    kernel.link_list("LIST", kernel.variable("struct kegs uma_kegs"), [keg], "uk_link")
    kernel.modules([])
    return kernel


@pytest.fixture(scope="module")
def kvm():
    """That kernel, as the collector is given one."""
    target = opened(forged())
    system = SimpleNamespace(name="freebsd")
    return SimpleNamespace(target=target, copies=FreeBSDCopies(target, PAGE), system=system)


def collected(kvm, module):
    """The samples of a module by name, and what is missing of it."""
    found = {one.metric.name: dict(one.samples) for one in Symbols(module).collect(kvm)}
    missing = {name: reason for _, name, reason in found["kvm_symbols_missing"]}
    return {name: values for name, values in found.items() if name[:11] == "kvm_symbol_"}, missing


def blocks(language):
    """The examples of a language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == language]


def table(heading):
    """The first cells of the table behind a heading, without its head; a cell may list several."""
    section = DOCS.partition(f"{heading}\n")[2]
    [_, _, *rows] = re.search(r"(?:^\|.*\|\n)+", section, re.MULTILINE)[0].splitlines()
    cells = [re.split(r"(?<!\\)\|", row)[1].replace("\\|", "|") for row in rows]
    return [text for cell in cells for text in re.findall(r"`` `.*?` ``|`[^`]+`", cell)]


def test_the_table_holds_what_is_tried():
    """Every expression of the table is in EXPRESSIONS, and none else."""
    shown = {text.strip("` ") for text in table("## Expressions")}
    assert shown == {text.strip("`") for text in EXPRESSIONS}


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_expressions(kvm, text):
    """An expression gives what the kernel has."""
    metric = MetricOptions("x", (text,))
    types = {"scan.recorded": "int", "cpuid_to_pcpu": "struct pcpu *[6]"}
    found, missing = collected(kvm, SymbolsOptions((), types=types, metrics=(metric,)))
    assert missing == {}
    expected = EXPRESSIONS[text]
    wanted = expected if isinstance(expected, Mapping) else {None: expected}
    assert {(label[0] if label else None): value for label, value in
            found["kvm_symbol_x"].items()} == wanted  # fmt: skip


@pytest.mark.parametrize("text", [text for text in blocks("yaml") if "sysctl" not in text])
def test_modules(kvm, text, tmp_path):
    """Each example of a module, or of a part of one, gives all of its metrics."""
    if text.startswith("collectors:"):
        (settings,) = config.decode(document.parse(text, "docs.yml")).collectors
        options_ = SymbolsOptions((), metrics=settings.options.metrics)
    else:
        path = tmp_path / "docs.yml"
        path.write_text(text, encoding="utf-8")
        module = files.load(path)
        options_ = SymbolsOptions((File("docs", module),))
    found, missing = collected(kvm, options_)
    assert missing == {}
    assert all(found.values())


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    """That kernel's dump, as command line flags."""
    kernel, core = crash(forged().world, tmp_path_factory.mktemp("crash"), "amd64", version=3)
    return ["--core", str(core), "--kernel", str(kernel)]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands(line, dump, capsys):
    """Each command of this page, and of the README, tells something of the kernel."""
    assert cli.main([*shlex.split(line, comments=True)[1:], *dump]) == 0
    assert capsys.readouterr().out


def test_what_the_first_example_prints(kvm):
    """The text behind the first example is what the exporter prints of it."""
    (settings,) = config.decode(document.parse(blocks("yaml")[0], "docs.yml")).collectors
    families = Symbols(SymbolsOptions((), metrics=settings.options.metrics)).collect(kvm)
    text = render([one for one in families if one.metric.name.startswith("kvm_symbol_")]).decode()
    assert text.strip() == blocks("")[0].strip()


def test_sysctls_are_good(tmp_path):
    """The example of sysctls is one that the exporter takes."""
    [text] = [text for text in blocks("yaml") if "sysctl" in text]
    path = tmp_path / "docs.yml"
    path.write_text(text, encoding="utf-8")
    module = files.load(path)
    assert [one.tree for one in module.sysctls] == ["vm.stats", "dev"]
    assert [one.sysctl for one in module.metrics] == ["vm.stats.sys.v_swtch"]


@pytest.mark.parametrize(
    ("heading", "cls"), [("## Metrics", MetricOptions), ("## Module files", ModuleOptions)]
)
def test_every_key_is_explained(heading, cls):
    """The tables of keys have all that there are, and none else."""
    told = {text.strip("`") for text in table(heading)}
    assert told == set(options(cls))


def test_every_key_of_lists_is_told():
    """What lists, steps, trees and budgets may have is in the text."""
    for cls in (ListOptions, StepOptions, SysctlOptions, BudgetOptions):
        for key in options(cls):
            assert re.search(rf"\b{key}\b", DOCS), key
