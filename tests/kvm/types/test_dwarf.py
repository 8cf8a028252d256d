"""DWARF of real compilers, for six architectures, against the forge's layout of the same C."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import shapes
from fakes.compilers import TARGETS
from forge import cdecl

from kvm_exporter.kvm.errors import TypeMissing
from kvm_exporter.kvm.source import File
from kvm_exporter.kvm.types.declare import spell
from kvm_exporter.kvm.types.dwarf import Dwarf
from kvm_exporter.kvm.types.dwarf_file import DwarfFile
from kvm_exporter.kvm.types.dwarf_scan import scan
from kvm_exporter.kvm.types.model import Composite, Integer, Void, resolve

Compiler = Callable[[str, str, str], Path]

TEXT = """
typedef unsigned char octet; typedef unsigned long long u64;
enum color { RED = -1, GREEN = 4 };
enum large { LARGE = 0x7fffffff };
struct forward;
struct inner { short s; union { int i; float f; struct { char lo, hi; }; }; };
struct bits { unsigned a:3; unsigned b:30; int c:5; u64 d:40; unsigned char e:2; _Bool f:1;
    unsigned :0; unsigned h:32; signed char i:7; long long j:33; enum color k:4; };
struct all { char c; u64 q; struct inner in[2]; struct forward *fwd; struct all *next;
    int (*fn)(int, const char *, ...); long l; double d; char name[20]; octet raw[3];
    int grid[2][3]; _Bool ok; enum color col; struct bits bf; const volatile int *cv;
    char flex[]; };
struct packed { char c; int i; short s:9; int t:7; } __attribute__((packed));
struct apart { char c; struct { int x; } __attribute__((aligned(32))) y; };
union either { int i; char b[7]; };
typedef struct { int x, y; } point;
struct nesting { struct nested { int deep; } one; };
struct all everything; struct packed pk; union either u; enum large le; enum color *cp;
struct apart ap; point pt; struct nesting nest;
"""
NAMES = (
    *("struct all", "struct bits", "struct inner", "struct packed", "struct apart", "union either"),
    *("enum color", "enum large", "point", "octet", "u64", "struct nesting", "struct nested"),
)
FORMS = [
    *((target, f"-gdwarf-{version}") for target in TARGETS for version in (4, 5)),
    ("x86_64-freebsd", "-gdwarf-3 -gstrict-dwarf"),
    ("x86_64-freebsd", "-gdwarf-2 -gstrict-dwarf"),
    ("powerpc64-freebsd", "-gdwarf-2 -gstrict-dwarf"),
    ("x86_64-freebsd", "-gdwarf-5 -gz=zlib"),
    ("x86_64-freebsd", "-gdwarf-5 -gdwarf64"),
    *(("gcc", f"-gdwarf-{version}") for version in (2, 3, 4, 5)),
    ("gcc", "-gdwarf-5 -O2 -flto"),
]


def read(path: Path) -> Dwarf:
    """The types in a file."""
    file = DwarfFile(File(str(path)))
    return Dwarf(file, scan(file))


@pytest.mark.parametrize(("target", "flags"), FORMS)
def test_a_compilers_types_are_the_forges(compiler: Compiler, target: str, flags: str) -> None:
    """Every struct, bit-field, array, enum and typedef of a compiler, as the C rules lay it out."""
    declared = cdecl.Declarations(TEXT, TARGETS.get(target, cdecl.AMD64))
    dwarf = read(compiler(target, flags, TEXT))
    for name in NAMES:
        assert shapes.ours(dwarf.find(name)) == shapes.forged(declared.type(name)), name


@pytest.mark.parametrize("target", ["x86_64-freebsd", "powerpc64-freebsd", "gcc"])
def test_variables_have_their_types(compiler: Compiler, target: str) -> None:
    """A variable's type is the one that it was declared with; one that is not there is missing."""
    declared = cdecl.Declarations(TEXT, TARGETS.get(target, cdecl.AMD64))
    dwarf = read(compiler(target, "-gdwarf-4", TEXT))
    for name, type_ in declared.variables.items():
        assert shapes.ours(dwarf.variable(name)) == shapes.forged(type_), name
    with pytest.raises(TypeMissing, match="nothing_like_it"):
        dwarf.variable("nothing_like_it")


def test_what_is_only_declared_is_void(compiler: Compiler) -> None:
    """A struct without a definition has no size; asking for it says that it is missing."""
    dwarf = read(compiler("x86_64-freebsd", "-gdwarf-4", TEXT))
    whole = dwarf.find("struct all")
    assert isinstance(whole, Composite)
    pointer = {one.name: one.type() for one in whole.members}["fwd"]
    assert resolve(pointer.target()) == Void("struct forward")
    with pytest.raises(TypeMissing, match="struct forward"):
        dwarf.find("struct forward")


def test_a_declaration_becomes_the_definition_of_another_unit(
    compiler: Compiler, tmp_path: Path
) -> None:
    """What one file only declares another one defines: the pointer's target is that."""
    (tmp_path / "other.c").write_text("struct forward { short found; }; struct forward f;")
    text = "struct forward; struct user { struct forward *there; }; struct user user;"
    dwarf = read(compiler("x86_64-freebsd", f"-gdwarf-4 {tmp_path}/other.c", text))
    user = dwarf.find("struct user")
    assert isinstance(user, Composite)
    target = resolve(user.members[0].type()).target()
    assert target == dwarf.find("struct forward")
    assert target.members[0].name == "found"


def test_names_are_those_of_types(compiler: Compiler) -> None:
    """Names lists tags with their kind, typedefs and base types; no variables, no declarations."""
    names = set(read(compiler("x86_64-freebsd", "-gdwarf-5", TEXT)).names())
    assert names >= {*NAMES, "int", "char", "struct nested"}
    assert not names & {"struct forward", "everything", "struct everything"}


def test_a_functions_type_is_told(compiler: Compiler) -> None:
    """A pointer to a function has its result and arguments."""
    whole = read(compiler("x86_64-freebsd", "-gdwarf-4", TEXT)).find("struct all")
    assert isinstance(whole, Composite)
    one = next(one for one in whole.members if one.name == "fn")
    assert spell(one.type(), "fn") == "int (*fn)(int, const char *, ...)"


def test_types_within_functions_are_nobodys(compiler: Compiler) -> None:
    """A struct of a function's own does not stand for one of that name elsewhere."""
    text = """
    int f(int x) { struct hidden { char c[3]; } h = {{x}}; return h.c[0]; }
    int g(int x) { struct shown { int i; } s = {x}; return s.i; }
    struct shown { long l; }; struct shown shown;
    """
    dwarf = read(compiler("x86_64-freebsd", "-gdwarf-4 -O0", text))
    shown = dwarf.find("struct shown")
    assert isinstance(shown, Composite)
    assert isinstance(resolve(shown.members[0].type()), Integer)
    assert [one.name for one in shown.members] == ["l"]
    with pytest.raises(TypeMissing):
        dwarf.find("struct hidden")
