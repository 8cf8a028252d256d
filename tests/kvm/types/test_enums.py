"""Every enum of a kernel, those without a name too: BTF, CTF, DWARF, tables, modules."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from forge import btf, cdecl, ctf

from kvm_exporter.kvm.source import File
from kvm_exporter.kvm.types.btf import BtfTypes
from kvm_exporter.kvm.types.ctf import Ctf
from kvm_exporter.kvm.types.dwarf import Dwarf
from kvm_exporter.kvm.types.dwarf_cache import kept_names
from kvm_exporter.kvm.types.dwarf_file import DwarfFile
from kvm_exporter.kvm.types.dwarf_scan import scan
from kvm_exporter.kvm.types.lazy import LazyTypes
from kvm_exporter.kvm.types.linux_types import LinuxTypes, of_btf
from kvm_exporter.kvm.types.model import Types
from kvm_exporter.kvm.types.tables import Tables

Compiler = Callable[[str, str, str], Path]

TEXT = """
enum color { RED = -1, GREEN = 4 };
enum plain { ZERO, BIG = 0x7fffffff };
struct uses { enum color one; enum plain two; enum { BARE = 3, OTHER } three;
    struct { enum { INSIDE = 7 } four; } five; };
struct uses used; enum { LONELY = 9 } variable;
"""
ENUMS = {
    "color": {"RED": -1, "GREEN": 4},
    "plain": {"ZERO": 0, "BIG": 0x7FFFFFFF},
    "BARE": {"BARE": 3, "OTHER": 4},
    "INSIDE": {"INSIDE": 7},
    "LONELY": {"LONELY": 9},
}


def told(types: Types) -> dict[str, dict[str, int]]:
    """The values of each enum, by its name or its first constant's."""
    found = [(enum.name or enum.values[0][0], dict(enum.values)) for enum in types.enums()]
    assert len(found) == len(dict(found))
    return dict(found)


@pytest.mark.parametrize("version", [2, 3])
def test_ctf(version: int) -> None:
    """All of a section, each once."""
    forged = ctf.Ctf(cdecl.Declarations(TEXT), version, objects=("used", "variable"))
    assert told(Ctf(forged.data, 8)) == ENUMS


def records() -> btf.Records:
    """A kernel's: one with a name, one of 64 bits without."""
    made = btf.Records("<")
    made.add(btf.INT, "long", 8, [0x01000040])
    made.add(btf.ENUM, "named", 4, [made.name("ONE"), 1], 1)
    made.add(btf.ENUM64, "", 8, [made.name("HIGH"), 0, 1], 1)
    return made


KERNELS = {"named": {"ONE": 1}, "HIGH": {"HIGH": 1 << 32}}


def test_btf_with_a_module() -> None:
    """The kernel's own first, then each module's own, which does not repeat the kernel's."""
    kernel = records()
    own = BtfTypes(kernel.data)
    module = btf.Records("<", kernel)
    module.add(btf.ENUM, "", 4, [module.name("MODULES"), 5], 1)
    others = BtfTypes(module.data, own)
    assert told(own) == KERNELS
    assert told(others) == {"MODULES": {"MODULES": 5}}
    both = LinuxTypes(own, lambda: iter([others]))
    assert list(told(both)) == ["named", "HIGH", "MODULES"]


def test_types_that_are_opened_late(tmp_path: Path) -> None:
    """As those of who is asked."""
    (tmp_path / "btf").write_bytes(b"")
    with File(str(tmp_path / "btf")) as file:
        late = LazyTypes(lambda: of_btf(BtfTypes(records().data), "a test", file))
        assert told(late) == KERNELS


FORMS = [
    ("x86_64-freebsd", "-gdwarf-4"),
    ("powerpc64-freebsd", "-gdwarf-2 -gstrict-dwarf"),
    ("gcc", "-gdwarf-2"),
    ("gcc", "-gdwarf-5"),
]


@pytest.mark.parametrize(("target", "flags"), FORMS)
def test_dwarf(compiler: Compiler, target: str, flags: str) -> None:
    """All of a compiler's, wherever they are declared."""
    file = DwarfFile(File(str(compiler(target, flags, TEXT))))
    assert told(Dwarf(file, scan(file))) == ENUMS


def test_dwarf_of_several_units(compiler: Compiler, tmp_path: Path) -> None:
    """What each unit repeats is told once."""
    (tmp_path / "other.c").write_text(TEXT.replace("used;", "again;").replace("variable;", "more;"))
    path = compiler("x86_64-freebsd", f"-gdwarf-4 {tmp_path}/other.c", TEXT)
    file = DwarfFile(File(str(path)))
    assert told(Dwarf(file, scan(file))) == ENUMS


def test_dwarf_that_is_kept(compiler: Compiler, tmp_path: Path) -> None:
    """An index that is kept has them, too; an older one, which has not, is made anew."""
    file = DwarfFile(File(str(compiler("gcc", "-gdwarf-5", TEXT))))
    directory = str(tmp_path)
    first = kept_names(file, directory)
    [kept] = tmp_path.glob("*.kvmidx")
    assert first.bare.keys() == {"BARE", "INSIDE", "LONELY"}
    assert kept_names(file, directory) == first
    kept.write_bytes(json.dumps(["kvm_exporter DWARF index 1", {}, {}]).encode())
    assert kept_names(file, directory) == first


def test_tables() -> None:
    """All of a shipped table."""
    text = "enum color 4\n -1 RED\n 4 GREEN\nstruct uses 4\n 0 one enum color\nenum x.1 4\n 7 IN\n"
    assert told(Tables(text, 8)) == {"color": ENUMS["color"], "IN": {"IN": 7}}
