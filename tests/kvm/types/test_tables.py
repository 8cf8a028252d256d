"""Tables shipped for releases: what was written is read again, and a release's facts are right."""

from __future__ import annotations

import json
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest
from fakes import shapes
from forge import cdecl, ctf, elf

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import TypeMissing
from kvm_exporter.kvm.source import File
from kvm_exporter.kvm.types.ctf import Ctf
from kvm_exporter.kvm.types.flatten import layout, size_of
from kvm_exporter.kvm.types.model import Composite
from kvm_exporter.kvm.types.opening import TABLES, open_types
from kvm_exporter.kvm.types.tables import Tables, render

FACTS = Path(__file__).parents[4] / "shared" / "facts" / "freebsd-15.1" / "layouts.json"
GENERIC = "FreeBSD 15.1-RELEASE-p1 releng/15.1-n1 GENERIC\n"

TEXT = """
enum color { RED = -1, GREEN = 4 };
struct unknown; struct inner { short s; union { int i; float f; struct { char lo, hi; }; }; };
struct all { char c; uint64_t q; struct inner in[2]; struct unknown *un; struct all *next;
    int (*fn)(int); long l; double d; char name[20]; uint8_t raw[3]; int grid[2][3]; _Bool ok;
    enum color col; unsigned a:3; unsigned b:7; struct { int deep; } named; int *table[4];
    char (*behind)[8]; void *v; signed char sc; char flex[]; };
struct all everything; int counter;
"""


def shipped(name: str) -> Tables:
    """A table of the package's."""
    text = files("kvm_exporter.kvm.types").joinpath("releases", name).read_text("ascii")
    return Tables(text, 8)


@pytest.mark.parametrize("abi", [cdecl.AMD64, cdecl.I386])
def test_what_is_rendered_is_read_again(abi: cdecl.Abi) -> None:
    """Every kind of type and variable, the unnamed structs within, what is not known."""
    declared = cdecl.Declarations(TEXT, abi)
    types = Ctf(ctf.Ctf(declared, objects=("counter", "everything")).data, abi.pointer, None,
                lambda: ("counter", "everything"))  # fmt: skip
    text = render(types, ["struct all"], ["counter", "everything"])
    tables = Tables("# a remark\n" + text, abi.pointer)
    assert shapes.ours(tables.find("struct all")) == shapes.forged(declared.type("struct all"))
    assert set(tables.names()) == {"struct all", "struct inner", "enum color"}
    for name, type_ in declared.variables.items():
        assert shapes.ours(tables.variable(name)) == shapes.forged(type_)
    for missing in ("struct unknown", "all", ""):
        with pytest.raises(TypeMissing):
            tables.find(missing)
    with pytest.raises(TypeMissing, match="unknown"):
        tables.variable("unknown")


@pytest.mark.parametrize("name", TABLES.values())
def test_a_shipped_tables_members_lie_in_their_structs(name: str) -> None:
    """None past the end; a struct's in rising order, the next one behind the one before it."""
    table = shipped(name)
    for one in table.names():
        found = table.find(one)
        if not isinstance(found, Composite):
            continue
        ends = [
            m.bit_offset + (8 * (size_of(m.type()) or 0) if m.bit_size is None else m.bit_size)
            for m in found.members
        ]
        assert all(end <= found.size * 8 for end in ends), one
        if found.kind == "struct":
            starts = [m.bit_offset for m in found.members]
            assert all(end <= start for end, start in zip(ends, starts[1:], strict=False)), one
            assert all(a <= b for a, b in pairwise(starts)), one


def test_a_shipped_table_has_the_recorded_facts() -> None:
    """Structs that userland knows too lie there as the recorded machine's headers have them."""
    if not FACTS.exists():
        pytest.skip("needs the facts recorded on FreeBSD 15.1")
    facts = json.loads(FACTS.read_text())["amd64"]
    table = shipped("freebsd-15.1-amd64.txt")
    for struct in ("timeval", "timespec", "loadavg", "rusage", "statfs"):
        wanted = {
            path: field["off"]
            for path, field in facts[struct]["fields"].items()
            if "[" not in path and "." not in path
        }
        found = layout(table, Abi("<", 8), f"struct {struct}", wanted)
        assert found.size == facts[struct]["sizeof"]
        assert {path: row.offset for path, row in found.members.items()} == wanted


def kernel(tmp_path: Path, machine: str = "amd64") -> File:
    """A kernel file without any type information."""
    path = tmp_path / "kernel"
    path.write_bytes(elf.kernel(machine))
    return File(str(path))


def test_a_kernel_without_type_information_has_its_releases(tmp_path: Path) -> None:
    """By its version string and architecture; where they are from is told."""
    with kernel(tmp_path) as file:
        origin = open_types(file, version=lambda: GENERIC)
        found = layout(origin.types, Abi("<", 8), "struct proc", ["p_pid", "p_comm"])
        assert found.members["p_comm"].code == "20s"
        assert "shipped" in origin.words


@pytest.mark.parametrize(
    ("machine", "version"),
    [
        ("amd64", "FreeBSD 15.1-RELEASE releng/15.1-n1 CUSTOM\n"),
        ("amd64", "FreeBSD 15.1-STABLE stable/15-n1 GENERIC\n"),
        ("amd64", "FreeBSD 15.0-RELEASE releng/15.0-n1 GENERIC\n"),
        ("amd64", "FreeBSD 15.1-RELEASE releng/15.1-n1 GENERICDEBUG\n"),
        ("amd64", ""),
        ("i386", GENERIC),
    ],
)
def test_a_table_is_for_no_other_kernel(tmp_path: Path, machine: str, version: str) -> None:
    """Of another release, configuration or architecture nothing is believed."""
    with kernel(tmp_path, machine) as file, pytest.raises(TypeMissing, match="not known"):
        open_types(file, version=lambda: version)
