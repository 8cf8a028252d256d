"""BTF as the forge writes it: every kind, both byte orders and word sizes, old and new flags."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from fakes import shapes
from forge import btf, cdecl

from kvm_exporter.kvm.errors import FormatError, TypeMissing
from kvm_exporter.kvm.types.btf import BtfTypes
from kvm_exporter.kvm.types.declare import spell
from kvm_exporter.kvm.types.model import (
    Array,
    Composite,
    Enum,
    Function,
    Pointer,
    Type,
    Void,
    resolve,
)

TEXT = """
enum color { RED = -1, GREEN = 4 }; enum plain { ZERO, BIG = 0x7fffffff };
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
    *("enum plain", "point", "uint64_t", "uint8_t", "int", "unsigned long", "pid_t", "double"),
)
PERCPU = {".data..percpu": {"everything": 0, "counter": 4096}, ".data": {"wide": 8}}

ABIS = {
    "amd64": cdecl.AMD64,
    "i386": cdecl.I386,
    "powerpc64": cdecl.POWERPC64,
    "powerpc": cdecl.POWERPC,
}


def read(text: str, abi: cdecl.Abi = cdecl.AMD64, **options: object) -> BtfTypes:
    """The types of a C text."""
    return BtfTypes(btf.Btf(cdecl.Declarations(text, abi), **options).data)


def records(order: str = "<", base: btf.Records | None = None) -> btf.Records:
    """A section that knows ``long``, from which on records are added."""
    made = btf.Records(order, base)
    if base is None:
        made.add(btf.INT, "long int", 8, [1 << 24 | 64])
    return made


Compiler = Callable[[str, str, str], Path]

COMPILED = """
typedef unsigned long long u64; typedef unsigned char u8;
enum color { RED = -1, GREEN = 4 }; enum plain { ZERO, BIG = 0xfffffffe };
struct forward;
struct inner { short s; union { int i; float f; struct { char lo, hi; }; }; };
struct bits { unsigned a:3; unsigned b:30; int c:5; u64 d:40; unsigned char e:2; _Bool f:1;
    unsigned :0; unsigned h:32; signed char i:7; long long j:33; };
struct all { char c; u64 q; struct inner in[2]; struct forward *fwd; struct all *next;
    int (*fn)(int, const char *, ...); void (*none)(void); long l; double d; char name[20];
    u8 raw[3]; int grid[2][3]; _Bool ok; enum color col; struct bits bf; enum plain pl;
    const volatile int *cv; char flex[]; };
struct all *one;
"""
TARGETS = {
    "bpfel-freestanding": cdecl.AMD64,
    "bpfeb-freestanding": replace(cdecl.POWERPC64, plain_char_signed=True),
}


@pytest.mark.parametrize("target", TARGETS)
def test_a_compilers_types_are_those_declared(compiler: Compiler, target: str) -> None:
    """What clang writes for BPF, of either byte order, is what the forge lays out."""
    declared = cdecl.Declarations(COMPILED, TARGETS[target])
    with compiler(target, "", COMPILED).open("rb") as file:
        types = BtfTypes(ELFFile(file).get_section_by_name(".BTF").data(), pointer_size=8)
    for name in ("struct all", "struct bits", "enum plain", "u64"):
        assert shapes.ours(types.find(name)) == shapes.forged(declared.type(name)), name


def test_a_compilers_variables_and_tags_are_known(compiler: Compiler) -> None:
    """A variable of the per-CPU section, enums of 64 bits and of none, a pointer's tag."""
    text = """
    enum wide { LOW = -1, HIGH = 0x100000000ULL };
    struct s { int __attribute__((btf_type_tag("percpu"))) *there; enum wide w; } one;
    int counter __attribute__((section(".data..percpu"))) = 3; struct s *two = &one;
    """
    with compiler("bpfel-freestanding", "", text).open("rb") as file:
        types = BtfTypes(ELFFile(file).get_section_by_name(".BTF").data(), pointer_size=8)
    assert spell(types.variable("counter")) == "int"
    assert spell(types.variable("two")) == "struct s *"
    found = types.find("struct s")
    assert isinstance(found, Composite)
    assert spell(found.members[0].type(), "there") == "__percpu int *there"
    assert resolve(found.members[1].type()) == Enum("wide", 8, (("LOW", -1), ("HIGH", 1 << 32)))


def members(type_: Type) -> list[tuple[str, int, int | None]]:
    """(name, bit, width) of each member."""
    found = resolve(type_)
    assert isinstance(found, Composite)
    return [(one.name, one.bit_offset, one.bit_size) for one in found.members]


@pytest.mark.parametrize(("abi", "flagged"), list(product(ABIS, (True, False))))
def test_types_are_those_declared(abi: str, flagged: bool) -> None:
    """Same sizes, offsets, widths and names as were declared; of structs with the flag or not."""
    declared = cdecl.Declarations(TEXT, ABIS[abi])
    types = BtfTypes(btf.Btf(declared, flagged=flagged).data)
    for name in NAMES:
        assert shapes.ours(types.find(name)) == shapes.forged(declared.type(name)), name


@pytest.mark.parametrize("abi", list(ABIS))
def test_variables_are_those_of_sections(abi: str) -> None:
    """A section's variables have types; one that is in none is missing, as a function is."""
    declared = cdecl.Declarations(TEXT, ABIS[abi])
    types = BtfTypes(btf.Btf(declared, variables=PERCPU).data)
    for name in ("everything", "counter", "wide"):
        assert shapes.ours(types.variable(name)) == shapes.forged(declared.variables[name])
    for name in ("here", "function", ".data..percpu"):
        with pytest.raises(TypeMissing, match=name):
            types.variable(name)


def test_names_are_all_that_can_be_found() -> None:
    """Names has tags with their kind and plain names, no variables and no functions."""
    types = read(TEXT, variables=PERCPU)
    names = set(types.names())
    assert names >= set(NAMES)
    assert not names & {"struct forward", "function", "everything", ".data..percpu", ""}
    for name in names:
        types.find(name)


@pytest.mark.parametrize("name", ["struct nothing", "nothing", "struct int", "color", "", "a\0b",
                                  "struct ", "\udc80", "x" * 4096, "all"])  # fmt: skip
def test_an_unknown_name_is_missing(name: str) -> None:
    """TypeMissing says which name; a tag is no plain name."""
    with pytest.raises(TypeMissing, match="does not know"):
        read(TEXT).find(name)


def test_a_forward_declaration_is_its_definition() -> None:
    """A pointer to what is only declared leads to the definition of its own kind, if any."""
    made = records()
    declared = made.add(btf.FWD, "a")
    union = made.add(btf.FWD, "a", flag=True)
    nobody = made.add(btf.FWD, "b")
    pointers = [made.add(btf.PTR, last=one) for one in (declared, union, nobody)]
    made.add(btf.STRUCT, "a", 8, [made.name("s"), 1, 0], 1)
    made.add(btf.UNION, "a", 8, [made.name("u"), 1, 0], 1)
    types = BtfTypes(made.data)
    targets = [types.type(one).target() for one in pointers]
    assert targets == [types.find("struct a"), types.find("union a"), Void("struct b")]
    with pytest.raises(TypeMissing, match="struct b"):
        types.find("struct b")


def test_the_first_complete_type_of_a_name_is_found() -> None:
    """Of several of one name the first; one without members, or an enum declared only, is last."""
    made = records()
    made.add(btf.STRUCT, "s")
    made.add(btf.STRUCT, "s", 4, [made.name("first"), 1, 0], 1)
    made.add(btf.STRUCT, "s", 8, [made.name("second"), 1, 0], 1)
    made.add(btf.STRUCT, "empty")
    made.add(btf.ENUM, "e", 4)
    made.add(btf.ENUM64, "e", 8, [made.name("HIGH"), 0, 1], 1)
    types = BtfTypes(made.data)
    assert members(types.find("struct s")) == [("first", 0, None)]
    assert types.find("struct empty") == Composite("struct", "empty", 0, ())
    assert types.find("enum e") == Enum("e", 8, (("HIGH", 1 << 32),))
    assert len(list(types.find_all("struct s"))) == 3


def test_a_name_that_is_written_twice_is_found_at_both_places() -> None:
    """Strings need not be written once only: the type may have the second copy."""
    made = records()
    made.name("twice")
    made._known.pop("twice")
    made.add(btf.TYPEDEF, "twice", 1)
    assert spell(BtfTypes(made.data).find("twice")) == "twice"


ENUMS = {
    "of Linux 6.0, without a sign": (btf.ENUM, [1, 0xFFFFFFFF], False, True, (1, 0xFFFFFFFF)),
    "of Linux 6.0, with one": (btf.ENUM, [1, 0xFFFFFFFF], True, True, (1, -1)),
    "older": (btf.ENUM, [1, 0xFFFFFFFF], False, False, (1, -1)),
    "of 64 bits": (btf.ENUM64, [1, 1 << 63], False, False, (1, 1 << 63)),
    "of 64 bits, with a sign": (btf.ENUM64, [1, 1 << 63], True, False, (1, -(1 << 63))),
}


@pytest.mark.parametrize(
    ("kind", "values", "flag", "marked", "expected"), ENUMS.values(), ids=ENUMS
)
def test_enums_have_their_values_signs(
    kind: int, values: list[int], flag: bool, marked: bool, expected: tuple[int, int]
) -> None:
    """The flag tells a sign where any enum has one; before there was one, all values had signs."""
    made = records()
    rows: list[int] = []
    for name, value in zip(("A", "B"), values, strict=True):
        rows += [made.name(name), value, *([value >> 32] if kind == btf.ENUM64 else [])]
    made.add(kind, "e", 4, rows, 2, flag)
    if marked:
        made.add(btf.ENUM, "other", 4, [made.name("MINUS"), -1], 1, flag=True)
    found = BtfTypes(made.data).find("enum e")
    assert isinstance(found, Enum)
    assert tuple(value for _, value in found.values) == expected


@pytest.mark.parametrize("marked", [True, False])
def test_a_modules_enums_have_signs_as_the_kernels(marked: bool) -> None:
    """Whether a flag would tell a sign is known of the kernel, where the module has none."""
    base = records()
    base.add(btf.ENUM, "k", 4, [base.name("MINUS"), -1], 1, flag=marked)
    module = records("<", base)
    module.add(btf.ENUM, "m", 4, [module.name("ALL"), 0xFFFFFFFF], 1)
    found = BtfTypes(module.data, BtfTypes(base.data)).find("enum m")
    assert found == Enum("m", 4, (("ALL", 0xFFFFFFFF if marked else -1),))


def test_tags_of_pointers_are_shown_and_do_not_hide_types() -> None:
    """__percpu, __rcu and __user stay in the declaration; other tags, of either kind, vanish."""
    made = records()
    for word in ("percpu", "rcu", "user", "nonsense"):
        tag = made.add(btf.TYPE_TAG, word, 1)
        over = made.add(btf.TYPE_TAG, "another", tag)
        made.add(btf.TYPEDEF, f"{word}_t", made.add(btf.PTR, last=over))
    made.add(btf.DECL_TAG, "percpu_t", 2, [0xFFFFFFFF])
    types = BtfTypes(made.data)
    spelled = [spell(types.find(f"{w}_t").target()) for w in ("percpu", "rcu", "user", "nonsense")]
    assert spelled == ["__percpu long int *", "__rcu long int *", "__user long int *", "long int *"]
    pointer = resolve(types.find("percpu_t"))
    assert isinstance(pointer, Pointer)
    assert resolve(pointer.target()) == types.find("long int")


def test_functions_have_arguments() -> None:
    """A prototype's result, arguments and dots; a function itself is no type of data."""
    types = read("typedef int (*f_t)(const char *, long, ...); typedef void g_t(void);")
    assert spell(types.find("f_t").target(), "f") == "int (*f)(const char *, long, ...)"
    found = resolve(types.find("g_t"))
    assert found == Function(found.returns, (), variadic=False)
    assert found.returns() == Void()


def test_arrays_of_anonymous_structs_and_flexible_ones() -> None:
    """Elements are types of their own; a flexible array has no elements."""
    types = read("struct s { int n; struct { char a; short b; } rows[3]; struct s *flex[]; };")
    found = types.find("struct s")
    assert isinstance(found, Composite)
    rows, flexible = (resolve(one.type()) for one in found.members[1:])
    assert isinstance(rows, Array)
    assert members(rows.element()) == [("a", 0, None), ("b", 16, None)]
    assert isinstance(flexible, Array)
    assert (rows.count, flexible.count) == (3, 0)


def test_a_bit_field_behind_a_typedef_has_its_integers_width() -> None:
    """Without the struct's flag the integer behind names tells first bit and width."""
    made = records()
    narrow = made.add(btf.INT, "unsigned int", 4, [3 << 16 | 5])
    named = made.add(btf.TYPEDEF, "five_t", made.add(btf.CONST, last=narrow))
    made.add(btf.STRUCT, "s", 8, [made.name("a"), named, 32, made.name("b"), 1, 0], 2)
    assert members(BtfTypes(made.data).find("struct s")) == [("a", 35, 5), ("b", 0, None)]


@pytest.mark.parametrize("abi", list(ABIS))
def test_a_modules_types_continue_the_kernels(abi: str) -> None:
    """Ids and strings go on where the kernel's end; own types are found before the kernel's."""
    kernel = cdecl.Declarations("struct task { int pid; }; enum e { A, B }; int shared;", ABIS[abi])
    text = "struct mine { struct task *owner; struct later *l; }; struct later { long z; };"
    module = cdecl.Declarations("struct task { int pid; }; " + text, ABIS[abi])
    forged = btf.Btf(kernel, variables={".data..percpu": {"shared": 0}})
    base = BtfTypes(forged.data)
    types = BtfTypes(btf.Btf(module, base=forged).data, base)
    mine = types.find("struct mine")
    assert shapes.ours(mine) == shapes.forged(module.type("struct mine"))
    assert isinstance(mine, Composite)
    assert mine.members[0].type().target() is base.find("struct task")
    assert types.find("enum e") == base.find("enum e")
    assert spell(types.variable("shared")) == "int"
    assert set(types.names()) == {"struct mine", "struct later"}
    for missing in ("struct nothing", "struct mine"):
        with pytest.raises(TypeMissing):
            base.find(missing)
    assert types.pointer_size == base.pointer_size == ABIS[abi].pointer


def test_the_first_name_of_a_module_s_strings() -> None:
    """The kernel's strings begin with a NUL, a module's with a name (libbpf): it is found, too."""
    base = records()
    base.add(btf.STRUCT, "kernels", 8, [base.name("a"), 1, 0], 1)
    split = records("<", base)
    assert split.name("first") == base.strings_end
    split.add(btf.STRUCT, "first", 8, [split.name("b"), 1, 0], 1)
    module = BtfTypes(split.data, BtfTypes(base.data))
    assert members(module.find("struct first")) == [("b", 0, None)]
    assert members(module.find("struct kernels")) == [("a", 0, None)]


def test_a_module_may_name_its_types_as_the_kernel_does() -> None:
    """A module's own struct of a name that the kernel's strings have is the module's."""
    base = records()
    base.add(btf.STRUCT, "same", 8, [base.name("kernels"), 1, 0], 1)
    split = records("<", base)
    split.add(btf.STRUCT, "same", 8, [split.name("modules"), 1, 0], 1)
    kernel = BtfTypes(base.data)
    module = BtfTypes(split.data, kernel)
    assert members(module.find("struct same")) == [("modules", 0, None)]
    assert members(kernel.find("struct same")) == [("kernels", 0, None)]


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_longer_header_and_a_gap_are_passed_over(order: str) -> None:
    """What a newer header has behind, and what lies between types and strings, is nobody's."""
    made = records(order)
    made.add(btf.TYPEDEF, "long_t", 1)
    data = made.section(header=bytes(12), gap=b"\xff" * 20) + b"behind"
    assert spell(BtfTypes(data).find("long_t").target()) == "long int"


@pytest.mark.parametrize(("names", "size"), [(("long unsigned int",), 8), (("long",), 4),
                                             (("int", "unsigned long"), 4)])  # fmt: skip
def test_a_pointer_is_as_wide_as_a_long(names: tuple[str, ...], size: int) -> None:
    """Whatever the compiler calls it."""
    made = btf.Records("<")
    for name in names:
        made.add(btf.INT, name, 2 if name == "int" else size, [16])
    assert BtfTypes(made.data).pointer_size == size


def test_a_pointers_size_may_be_given() -> None:
    """A section without a long needs it; without it the message says so."""
    made = btf.Records("<")
    made.add(btf.TYPEDEF, "p", made.add(btf.PTR))
    assert resolve(BtfTypes(made.data, pointer_size=4).find("p")).size == 4
    with pytest.raises(FormatError, match="long"):
        BtfTypes(made.data)
