"""Views of what real compilers put in memory, and of what a forge packed, in every architecture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from fakes.compilers import TARGETS
from fakes.zeros import Endless
from forge import cdecl, ctf

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import Fault, FormatError, TypeMissing
from kvm_exporter.kvm.source import File
from kvm_exporter.kvm.types.ctf import Ctf
from kvm_exporter.kvm.types.dwarf import Dwarf
from kvm_exporter.kvm.types.dwarf_file import DwarfFile
from kvm_exporter.kvm.types.dwarf_scan import scan
from kvm_exporter.kvm.types.view import View

AT = 0x1000

DECLARED = """
enum color { RED = -1, GREEN = 4 };
struct inner { short s; union { int i; struct { char lo, hi; }; }; };
struct bits { unsigned a:3; unsigned b:30; int c:5; unsigned long long d:40; unsigned char e:2;
    _Bool f:1; unsigned :0; unsigned h:32; signed char i:7; long long j:33; };
struct all { char c; unsigned long long q; struct inner in[2]; struct all *next; char *text;
    double d; float f; char name[20]; unsigned char raw[3]; int grid[2][3]; _Bool ok;
    enum color col; struct bits bf; long numbers[3]; char tight[2]; };
"""
VALUES = {
    "c": -7,
    "q": 0xFEDCBA9876543210,
    "d": -2.5,
    "f": 0.75,
    "name": "a name",
    "raw": b"\1\2\xff",
    "grid": [[1, -2, 3], [4, 5, -6]],
    "ok": True,
    "col": -1,
    "bf": {"a": 5, "b": 0x2AAAAAAA, "c": -9, "d": 0xA5A5A5A5A5, "e": 2, "f": True, "h": 0xDEADBEEF,
           "i": -33, "j": -(1 << 32)},
    "numbers": [1, -1, 0x7FFFFFFF],
    "tight": "ab",
}  # fmt: skip
INITIALISED = (
    DECLARED
    + """
char word[] = "pointed at";
struct all all = { .c = -7, .q = 0xfedcba9876543210, .in = {{-2, {-70000}}, {3, {4}}},
    .next = &all, .text = word, .d = -2.5, .f = 0.75, .name = "a name", .raw = {1, 2, 255},
    .grid = {{1, -2, 3}, {4, 5, -6}}, .ok = 1, .col = RED,
    .bf = {5, 0x2aaaaaaa, -9, 0xa5a5a5a5a5, 2, 1, 0xdeadbeef, -33, -(1LL << 32)},
    .numbers = {1, -1, 0x7fffffff}, .tight = "ab" };
"""
)


class Image:
    """The memory of a linked file, as pyelftools finds it."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self.elf = ELFFile(file)
            loads = [one for one in self.elf.iter_segments() if one["p_type"] == "PT_LOAD"]
            self.parts = [(one["p_vaddr"], one.data()) for one in loads]
            table = self.elf.get_section_by_name(".symtab")
            self.symbols = {one.name: one["st_value"] for one in table.iter_symbols()}

    def read(self, address: int, length: int) -> bytes:
        for start, data in self.parts:
            if start <= address < start + len(data):
                return data[address - start : address - start + length]
        raise Fault(address, "nothing there")

    def write(self, address: int, data: bytes) -> int:
        raise AssertionError

    def close(self) -> None:
        pass


class Memory:
    """``data`` at AT."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, address: int, length: int) -> bytes:
        if not AT <= address < AT + len(self.data):
            raise Fault(address, "nothing there")
        return self.data[address - AT : address - AT + length]

    def write(self, address: int, data: bytes) -> int:
        raise AssertionError

    def close(self) -> None:
        pass


def abi_of(forged: cdecl.Abi) -> Abi:
    """The product's of the forge's."""
    return Abi(forged.order, forged.pointer)


def packed(forged: cdecl.Abi, struct: str, values: dict[str, object], text: str = DECLARED) -> View:
    """A view of a struct that the forge packed, through the forge's CTF."""
    declared = cdecl.Declarations(text, forged)
    types = Ctf(ctf.Ctf(declared).data, forged.pointer)
    memory = Memory(declared.pack(struct, values))
    return View(memory, abi_of(forged), types.find(f"struct {struct}"), AT)


@pytest.mark.parametrize("target", TARGETS)
def test_a_compilers_values_are_read(
    compiler: Callable[[str, str, str], Path], target: str
) -> None:
    """Every kind of member, bit-fields above all, has the value that C text gave it."""
    path = compiler(target, "-gdwarf-4 -Wl,-Bsymbolic", INITIALISED)
    image, file = Image(path), DwarfFile(File(str(path)))
    dwarf = Dwarf(file, scan(file))
    view = View(image, abi_of(TARGETS[target]), dwarf.find("struct all"), image.symbols["all"])
    values = view.value()
    assert isinstance(values, dict)
    bits = VALUES["bf"]
    assert {name: values[name] for name in VALUES if name != "c"} == {
        name: value for name, value in VALUES.items() if name != "c"
    }
    assert {name: int(view[f"bf.{name}"]) for name in bits} == bits
    # char is unsigned on some of them
    assert values["c"] in (-7, 249)
    assert int(view["in"][0]["s"]) == -2
    assert int(view["in"][0]["i"]) == -70000


@pytest.mark.parametrize("abi", [cdecl.AMD64, cdecl.I386, cdecl.POWERPC64, cdecl.POWERPC])
def test_a_forges_values_are_read(abi: cdecl.Abi) -> None:
    """The same through CTF, of words of both sizes and orders; members by path, in structs, too."""
    whole = {**VALUES, "d": 0, "f": 0, "in[1].i": 0x1234, "in[1].s": -3}
    view = packed(abi, "all", whole)
    values = view.value()
    assert isinstance(values, dict)
    for name in ("q", "name", "raw", "grid", "ok", "col", "bf", "numbers", "tight"):
        assert values[name] == VALUES[name], name
    assert int(view["in"][1]["i"]) == 0x1234
    # both in the union, wherever its bytes are
    pair = {int(view["in"][1]["lo"]), int(view["in"][1]["hi"])}
    assert pair == ({0x34, 0x12} if abi.order == "<" else {0})


def test_pointers_lead_on() -> None:
    """Deref and an index follow a pointer; a null pointer is a fault at 0."""
    text = "struct node { struct node *next; int n; char *text; };"
    declared = cdecl.Declarations(text)
    types = Ctf(ctf.Ctf(declared).data, 8)
    first = declared.pack("node", {"next": AT + 24, "n": 1, "text": AT + 48})
    second = declared.pack("node", {"n": 2})
    view = View(Memory(first + second + b"hello\0no"), Abi("<", 8), types.find("struct node"), AT)
    assert int(view["next"]) == AT + 24
    assert int(view["next"].deref()["n"]) == 2
    assert int(view["next"][0]["n"]) == 2
    assert view["text"].string() == "hello"
    assert view["text"].string(2) == "he"
    null = view["next"].deref()["next"]
    with pytest.raises(Fault, match="null") as fault:
        null.deref()
    assert fault.value.address == 0
    with pytest.raises(Fault):
        view["text"][100].read()


def test_pointers_stay_within_the_address_space() -> None:
    """An index behind the highest address starts again at 0, as pointers do."""
    text = "struct s { long *p; };"
    view = packed(cdecl.I386, "s", {"p": 0xFFFFFFFC}, text)
    assert view["p"][0].address == 0xFFFFFFFC
    assert view["p"][1].address == 0


def test_an_index_past_the_end_is_told() -> None:
    """An array's elements are those that it has; a flexible one does not tell."""
    view = packed(cdecl.AMD64, "s", {"a": [1, 2, 3]}, "struct s { int a[3]; int more[]; };")
    assert [int(one) for one in view["a"].elements()] == [1, 2, 3]
    for index in (3, -1, 1 << 40):
        with pytest.raises(TypeMissing, match=str(index)):
            view["a"][index]
    assert view["more"][5].address == AT + 12 + 20
    assert list(view["more"].elements()) == []


def test_text_ends_at_its_nul_or_with_its_array() -> None:
    """A full array has no NUL; bytes that are no UTF-8 survive as surrogates."""
    text = "struct s { char full[3]; char part[8]; };"
    view = packed(cdecl.AMD64, "s", {"full": "abc", "part": b"\xff\0junk"}, text)
    assert view["full"].string() == "abc"
    assert view["part"].string().encode("utf-8", "surrogateescape") == b"\xff"


def test_enumerators_are_named() -> None:
    """The name of a value; None for one without; of unsigned ones with their highest bit too."""
    text = "enum e { A = 1, TOP = 0xf0000000 }; struct s { enum e x, y, z; enum e b:4; int c:28; };"
    view = packed(cdecl.AMD64, "s", {"x": 1, "y": 0xF0000000, "z": 9, "b": 1}, text)
    names = [view[name].enumerator() for name in ("x", "y", "z", "b")]
    assert names == ["A", "TOP", None, "A"]


def test_what_a_type_does_not_allow_is_told() -> None:
    """A member of an int, an index of a struct, the size of void: TypeMissing, with the type."""
    text = "struct s { int i; void *v; struct none *n; char *t; };"
    view = packed(cdecl.AMD64, "s", {"v": AT, "n": AT}, text)
    for wrong in (
        lambda: view["i"]["x"],
        lambda: view["none"],
        lambda: view[0],
        view["i"].deref,
        view["i"].string,
        view["i"].enumerator,
        lambda: list(view["i"].members()),
        view["i"].elements,
        lambda: int(view),
        lambda: view["v"][1],
        lambda: view["n"].deref().read(),
        lambda: view["v"].deref().value(),
    ):
        with pytest.raises(TypeMissing):
            wrong()
    assert not view["i"].has("x")
    assert view.has("i")
    assert repr(view["n"]) == f"struct none * at {AT + 16:#x}"


def test_memory_that_ends_within_a_value_is_a_fault() -> None:
    """The fault names the first byte that is missing."""
    view = packed(cdecl.AMD64, "s", {}, "struct s { long a; long b; };")
    short = View(Memory(bytes(12)), Abi("<", 8), view.type, AT)
    assert int(short["a"]) == 0
    with pytest.raises(Fault) as fault:
        short.read()
    assert fault.value.address == AT + 12


def test_huge_types_are_not_read() -> None:
    """An array of all memory is refused before anything is read."""
    memory = Endless()
    declared = cdecl.Declarations("struct big { char a[0x4000000]; char b[0x4000000]; };")
    view = View(memory, Abi("<", 8), Ctf(ctf.Ctf(declared).data, 8).find("struct big"), AT)
    with pytest.raises(FormatError, match="134217728"):
        view.read()
    assert memory.bytes_read == 0
