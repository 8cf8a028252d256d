"""Rows of the wanted members: what layout.py compiles, against the forge's offsets and bytes."""

from __future__ import annotations

import pytest
from forge import cdecl, ctf

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import FormatError, TypeMissing
from kvm_exporter.kvm.types.ctf import Ctf
from kvm_exporter.kvm.types.flatten import composite, layout, member, member_offset, size_of
from kvm_exporter.kvm.types.model import Array, Composite, Integer, Member, Void

TEXT = """
enum e { A, B }; enum n { M = -1 };
struct inner { short s; long l; };
struct all { char name[12]; u_char u; int i; unsigned v; uint64_t q; struct inner in;
    union { int either; struct { short lo, hi; }; }; struct { int deep; } named;
    enum e plain; enum n negative; _Bool ok; double d; float f; void *p; int array[3];
    unsigned bit:3; int whole:32; };
typedef struct all all_t;
"""
VALUES = {
    "name": b"text",
    "u": 200,
    "i": -5,
    "v": 0xFFFFFFFE,
    "q": 1 << 63,
    "in.s": -2,
    "in.l": -3,
    "either": 0x30002,
    "named.deep": 7,
    "plain": 1,
    "negative": -1,
    "ok": 1,
    "p": 0xFFFFF000,
}
ABIS = [cdecl.AMD64, cdecl.I386, cdecl.ARMV7, cdecl.POWERPC64, cdecl.POWERPC]


def read(forged: cdecl.Abi, text: str = TEXT) -> tuple[cdecl.Declarations, Ctf, Abi]:
    """Declarations, their types, and the product's ABI."""
    declared = cdecl.Declarations(text, forged)
    types = Ctf(ctf.Ctf(declared).data, forged.pointer)
    return declared, types, Abi(forged.order, forged.pointer)


@pytest.mark.parametrize("forged", ABIS)
def test_wanted_members_are_decoded(forged: cdecl.Abi) -> None:
    """Numbers by their sign and width, arrays as raw bytes, nested and anonymous ones by path."""
    declared, types, abi = read(forged)
    data = declared.pack("all", VALUES)
    compiled = layout(types, abi, "struct all", VALUES).compile(VALUES)
    found = dict(zip(compiled.names, compiled.decoder.unpack(data), strict=True))
    assert found == {**VALUES, "name": b"text".ljust(12, b"\0")}


@pytest.mark.parametrize("forged", ABIS)
def test_offsets_are_the_forges(forged: cdecl.Abi) -> None:
    """Every member's offset; those of unions overlap and are asked for one by one."""
    declared, types, abi = read(forged)
    for path, field in declared.layout("all").items():
        assert member_offset(types, "struct all", path) == field.offset
        if path != "bit":
            assert layout(types, abi, "all_t", [path]).members[path].offset == field.offset
    assert layout(types, abi, "all_t", []).size == declared.size("all")
    assert member_offset(types, "struct all", "nothing") is None
    assert member_offset(types, "struct nothing", "i") is None


def test_missing_members_are_named_together() -> None:
    """One error for all that a kernel does not have, with the struct's name."""
    _, types, abi = read(cdecl.AMD64)
    with pytest.raises(TypeMissing, match=r"struct all has no member gone, in\.gone, i\.x"):
        layout(types, abi, "struct all", ["i", "gone", "in.gone", "i.x"])
    with pytest.raises(TypeMissing, match="int is no struct"):
        layout(types, abi, "int", ["i"])


def test_a_bit_field_has_no_row() -> None:
    """It is said to be one; a bit-field that fills its type is as good as any other member."""
    _, types, abi = read(cdecl.AMD64)
    with pytest.raises(TypeMissing, match="bit is a bit-field"):
        layout(types, abi, "struct all", ["bit"])
    assert layout(types, abi, "struct all", ["whole"]).members["whole"].code == "i"


@pytest.mark.parametrize("forged", ABIS)
def test_a_bit_field_of_whole_bytes_is_a_number(forged: cdecl.Abi) -> None:
    """As vnode's v_type was until 13; one that lies across bytes has no row."""
    text = """enum e { A, B };
struct all { enum e kind:8; int a:4; u_int across:8; int b:4; int low:8; u_int half:16; };"""
    declared, types, abi = read(forged, text)
    data = declared.pack("all", {"kind": 200, "low": -2, "half": 0xFFFE})
    compiled = layout(types, abi, "struct all", ["kind", "low", "half"]).compile(
        ["kind", "low", "half"]
    )
    found = dict(zip(compiled.names, compiled.decoder.unpack(data), strict=True))
    assert found == {"kind": 200, "low": -2, "half": 0xFFFE}
    with pytest.raises(TypeMissing, match="across is a bit-field"):
        layout(types, abi, "struct all", ["across"])


def test_an_own_member_hides_an_anonymous_ones() -> None:
    """As C would have it if it allowed both: the struct's own member is found first."""
    number = Integer("int", 4, True)
    inner = Composite("struct", "", 4, (Member("x", lambda: number, 0),))
    outer = Composite(
        "struct", "s", 8, (Member("", lambda: inner, 0), Member("x", lambda: number, 32))
    )
    place = member(outer, "x")
    assert place is not None
    assert place.bit_offset == 32


def test_sizes_of_what_has_none_are_unknown() -> None:
    """Void, and an array of it; a flexible array has no bytes."""
    number = Integer("int", 4, True)
    assert size_of(Void()) is None
    assert size_of(Array(Void, 3)) is None
    assert size_of(Array(lambda: number, 0)) == 0
    assert size_of(Array(lambda: Array(lambda: number, 2), 3)) == 24


class Types:
    """One struct, ``struct s``."""

    def __init__(self, struct: Composite) -> None:
        self.struct = struct

    def find(self, name: str) -> Composite:
        return self.struct


@pytest.mark.parametrize("bit", [8 * 5, 8 * 8, 1 << 70])
def test_a_member_outside_its_struct_is_damage(bit: int) -> None:
    """Not a negative number of bytes behind it."""
    number = Integer("int", 4, True)
    struct = Composite("struct", "s", 8, (Member("x", lambda: number, bit),))
    with pytest.raises(FormatError, match="x lies at"):
        layout(Types(struct), Abi("<", 8), "struct s", ["x"])


def test_structs_within_themselves_end() -> None:
    """Anonymous structs made of themselves twice are given up, not searched for ever."""
    struct: Composite
    struct = Composite("struct", "s", 8, (Member("", lambda: struct, 0),) * 2)
    with pytest.raises(FormatError, match="damaged"):
        member(struct, "x")
    assert composite(Types(struct), "struct s") is struct
