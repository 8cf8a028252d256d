"""CTF as the forge writes it, of both versions, byte orders and word sizes, compressed or not."""

from __future__ import annotations

from itertools import product

import pytest
from fakes import shapes
from forge import cdecl, ctf

from kvm_exporter.kvm.errors import FormatError, TypeMissing
from kvm_exporter.kvm.types.ctf import Ctf
from kvm_exporter.kvm.types.declare import spell
from kvm_exporter.kvm.types.model import Composite, Enum, Pointer, Void, resolve

TEXT = """
enum color { RED = -1, GREEN = 4 };
struct forward; union later;
struct inner { short s; union { int i; float f; struct { char lo, hi; }; }; };
struct bits { unsigned a:3; unsigned b:30; int c:5; uint64_t d:40; unsigned char e:2; _Bool f:1;
    unsigned :0; unsigned h:32; signed char i:7; long long j:33; };
struct all { char c; uint64_t q; struct inner in[2]; struct forward *fwd; struct all *next;
    int (*fn)(int, const char *, ...); void (*none)(void); long l; double d; char name[20];
    uint8_t raw[3]; int grid[2][3]; _Bool ok; enum color col; struct bits bf;
    const volatile int *cv; union later *soon; char flex[]; };
union later { int x; };
struct wide { char pad[9000]; int behind; char big[70000]; unsigned bit:1; };
typedef struct { int x, y; } point;
struct all everything; struct wide *wide; extern point here; int counter;
int function(struct all *, point);
"""
NAMES = (
    *("struct all", "struct bits", "struct inner", "struct wide", "union later", "enum color"),
    *("point", "uint64_t", "uint8_t", "int", "unsigned long", "pid_t"),
)
OBJECTS = ("everything", None, "wide", "counter")
SYMBOLS = ("everything", "untold", "wide", "counter")
"""Data symbols; of ``untold`` nothing is known."""

ABIS = {"amd64": cdecl.AMD64, "i386": cdecl.I386, "powerpc64": cdecl.POWERPC64}
FORMS = list(product((2, 3), ABIS, (True, False)))


def section(version: int, abi: str, compress: bool, text: str = TEXT) -> ctf.Ctf:
    """A forged section of TEXT."""
    declared = cdecl.Declarations(text, ABIS[abi])
    objects = OBJECTS if text is TEXT else ()
    functions = ("function", None) if text is TEXT else ()
    return ctf.Ctf(declared, version, compress=compress, objects=objects, functions=functions)


def decoded(forged: ctf.Ctf, abi: str, parent: Ctf | None = None) -> Ctf:
    """The types of a section."""
    return Ctf(
        forged.data,
        ABIS[abi].pointer,
        parent,
        lambda: SYMBOLS,
        signed_char=ABIS[abi].plain_char_signed,
    )


def read(text: str, version: int = 3, **options: object) -> Ctf:
    """The types of a C text, for amd64."""
    return Ctf(ctf.Ctf(cdecl.Declarations(text), version, **options).data, 8)


@pytest.mark.parametrize(("version", "abi", "compress"), FORMS)
def test_types_are_those_declared(version: int, abi: str, compress: bool) -> None:
    """Every kind of type: same sizes, offsets, widths and names as were declared."""
    declared = cdecl.Declarations(TEXT, ABIS[abi])
    types = decoded(section(version, abi, compress), abi)
    for name in NAMES:
        assert shapes.ours(types.find(name)) == shapes.forged(declared.type(name)), name


@pytest.mark.parametrize(("version", "abi", "compress"), FORMS)
def test_variables_follow_the_symbol_table(version: int, abi: str, compress: bool) -> None:
    """The n-th data symbol has the n-th type; one with type 0 and one not listed are missing."""
    declared = cdecl.Declarations(TEXT, ABIS[abi])
    types = decoded(section(version, abi, compress), abi)
    for name in filter(None, OBJECTS):
        assert shapes.ours(types.variable(name)) == shapes.forged(declared.variables[name])
    for name in ("untold", "here", "function"):
        with pytest.raises(TypeMissing, match=name):
            types.variable(name)


@pytest.mark.parametrize("symbols", [SYMBOLS[:-1], (*SYMBOLS, "one_more"), ()])
def test_another_symbol_table_tells_no_types(symbols: tuple[str, ...]) -> None:
    """With one symbol more or less than types nobody knows whose type is whose: none is told."""
    types = Ctf(section(3, "amd64", True).data, 8, None, lambda: symbols)
    with pytest.raises(TypeMissing, match="everything"):
        types.variable("everything")


def test_a_global_variable_comes_before_a_local_one() -> None:
    """Of two symbols of one name the global one, which the table has later, has the name."""
    declared = cdecl.Declarations("int local; long global;")
    data = ctf.Ctf(declared, objects=("local", "global")).data
    types = Ctf(data, 8, None, lambda: ("same", "same"))
    assert spell(types.variable("same")) == "long"


@pytest.mark.parametrize("version", [2, 3])
def test_names_are_all_that_can_be_found(version: int) -> None:
    """Names has tags with their kind and plain names, and find knows each of them."""
    types = read(TEXT, version)
    names = set(types.names())
    assert names >= set(NAMES)
    assert "struct forward" not in names
    for name in names:
        types.find(name)


def test_a_forward_declaration_is_its_definition() -> None:
    """A pointer to what is only declared at first leads to the definition, of whatever kind."""
    types = read("struct user { struct a *s; union b *u; struct c *n; };"
                 "struct a { int in_a; }; union b { int in_b; };")  # fmt: skip
    user = types.find("struct user")
    assert isinstance(user, Composite)
    targets = [resolve(one.type().target()) for one in user.members]
    assert targets == [types.find("struct a"), types.find("union b"), Void("struct c")]
    with pytest.raises(TypeMissing, match="struct c"):
        types.find("struct c")


@pytest.mark.parametrize("version", [2, 3])
def test_a_definition_in_another_file_completes_a_declaration(version: int) -> None:
    """What one file declares and a later one defines is the same struct."""
    first = cdecl.Declarations("struct later; struct user { struct later *there; };")
    second = cdecl.Declarations("struct later { short found; };")
    types = Ctf(ctf.Ctf(first, version, more=[second]).data, 8)
    user = types.find("struct user")
    assert isinstance(user, Composite)
    pointer = user.members[0].type()
    assert isinstance(pointer, Pointer)
    assert shapes.ours(pointer.target()) == shapes.forged(second.type("struct later"))


def test_structs_of_one_name_are_all_found() -> None:
    """Two drivers' ``struct softc`` are both there; find gives the first that has members."""
    files = [
        cdecl.Declarations(f"struct softc {{ {body} }};") for body in ("", "int a;", "long b;")
    ]
    types = Ctf(ctf.Ctf(files[0], more=files[1:]).data, 8)
    found = [shapes.ours(one) for one in types.find_all("struct softc")]
    assert found == [shapes.forged(one.type("struct softc")) for one in files]
    assert shapes.ours(types.find("struct softc")) == found[1]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("abi", ABIS)
def test_a_module_refers_to_the_kernels_types(version: int, abi: str) -> None:
    """A module's struct of the kernel's structs; its own types first, then the kernel's."""
    kernel = section(version, abi, True)
    module = cdecl.Declarations(TEXT + "struct softc { struct all *all; int own; };", ABIS[abi])
    parent = decoded(kernel, abi)
    types = decoded(ctf.Ctf(module, version, parent=kernel), abi, parent)
    for name in ("struct softc", "struct all", "struct bits"):
        assert shapes.ours(types.find(name)) == shapes.forged(module.type(name))
    assert "struct softc" in set(types.names())
    with pytest.raises(TypeMissing):
        parent.find("struct softc")


def test_a_module_without_its_kernel_is_refused() -> None:
    """Its ids mean nothing without the parent's: the message names it."""
    kernel = section(3, "amd64", True)
    data = ctf.Ctf(cdecl.Declarations("struct softc { int x; };"), parent=kernel).data
    with pytest.raises(FormatError, match="kernel"):
        Ctf(data, 8)


def test_an_enums_bit_field_ends_at_the_next_member() -> None:
    """CTF loses its width: what follows, and the struct's end, bound it."""
    types = read("enum e { A, B = 7 }; struct s { enum e a:3; unsigned b:5; enum e c; "
                 "struct { enum e d:8; enum e f:24; }; };")  # fmt: skip
    found = types.find("struct s")
    assert isinstance(found, Composite)
    inner = resolve(found.members[3].type())
    assert isinstance(inner, Composite)
    assert [one.bit_size for one in found.members[:3]] == [3, 5, None]
    assert [one.bit_size for one in inner.members] == [8, 24]


def test_functions_have_results_and_arguments() -> None:
    """A pointer to a function is spelled as it was declared, with ``...``."""
    whole = read(TEXT).find("struct all")
    assert isinstance(whole, Composite)
    spelled = {one.name: spell(one.type(), one.name) for one in whole.members}
    assert spelled["fn"] == "int (*fn)(int, const char *, ...)"
    assert spelled["none"] == "void (*none)(void)"


@pytest.mark.parametrize("version", [2, 3])
def test_values_of_enums_are_signed(version: int) -> None:
    """CTF keeps 32 bits of each value."""
    found = read(TEXT, version).find("enum color")
    assert isinstance(found, Enum)
    assert found.values == (("RED", -1), ("GREEN", 4))
