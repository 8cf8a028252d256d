"""Damaged type information: any bytes give types or a KvmError, soon and in little memory."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from itertools import islice, product
from pathlib import Path

import pytest
from fakes.sources import Bytes
from fakes.zeros import Endless
from forge import btf, cdecl, ctf
from hypothesis import given, settings
from hypothesis import strategies as st

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.types.btf import BtfTypes
from kvm_exporter.kvm.types.ctf import Ctf
from kvm_exporter.kvm.types.declare import declare
from kvm_exporter.kvm.types.dwarf import Dwarf
from kvm_exporter.kvm.types.dwarf_file import DwarfFile
from kvm_exporter.kvm.types.dwarf_scan import scan
from kvm_exporter.kvm.types.flatten import layout, size_of
from kvm_exporter.kvm.types.model import Composite, Types
from kvm_exporter.kvm.types.view import View

ABI = Abi("<", 8)
EXTREMES = (0, 1, 3, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
HEADER_SIZE = 36

TEXT = """
enum e { A, B };
struct s { struct s *next; int n[2][3]; union { char c; short d; }; unsigned b:3; enum e f:2;
    int (*fn)(struct s *, int); const char *name; float x; _Bool ok; struct f *fwd; };
typedef struct s s_t; s_t one; int two;
"""


def explore(types: Types) -> None:
    """Everything that a user may do with types; every KvmError is fine."""
    for name in islice(types.names(), 100):
        with contextlib.suppress(KvmError):
            found = types.find(name)
            declare(found)
            size_of(found)
            with contextlib.suppress(KvmError):
                View(Endless(0xFF), ABI, found, 4096).value()
            if isinstance(found, Composite):
                paths = [one.name for one in found.members if one.name][:8]
                for path in paths:
                    with contextlib.suppress(KvmError):
                        layout(types, ABI, name, [path]).compile([path])
    for name in ("one", "two", "none"):
        with contextlib.suppress(KvmError):
            types.variable(name)


def try_ctf(data: bytes) -> None:
    """Read a section and all that it tells."""
    with contextlib.suppress(KvmError):
        explore(Ctf(data, 8, None, lambda: ("one", "two")))


def section(version: int, compress: bool = False) -> bytes:
    """A forged section of TEXT alone: without the types that it does not use."""
    declared = cdecl.Declarations(TEXT)
    declared.typedefs.clear()
    return ctf.Ctf(declared, version, compress=compress, objects=("one", "two")).data


@pytest.mark.parametrize(("version", "compress"), list(product((2, 3), (False, True))))
def test_a_section_cut_anywhere_is_refused_or_read(version: int, compress: bool) -> None:
    """Every prefix of a section is an error or gives what types it has."""
    data = section(version, compress)
    for end in range(len(data)):
        try_ctf(data[:end])
    for end in (0, 1, 4, HEADER_SIZE - 1, HEADER_SIZE, len(data) // 2):
        with pytest.raises(FormatError, match="SUNW_ctf"):
            Ctf(data[:end], 8)


@pytest.mark.parametrize(("version", "compress"), list(product((2, 3), (False, True))))
def test_a_header_with_extreme_fields_is_refused_or_read(version: int, compress: bool) -> None:
    """Each of the header's words at its extremes."""
    data = section(version, compress)
    for at, value in product(range(0, HEADER_SIZE, 4), EXTREMES):
        try_ctf(data[:at] + struct.pack("<I", value) + data[at + 4 :])


@pytest.mark.parametrize("version", [2, 3])
def test_records_with_extreme_words_are_refused_or_read(version: int) -> None:
    """Each word and each half word of the types at its extremes: ids, sizes, counts, offsets."""
    data = section(version)
    start, end = struct.unpack_from("<II", data, 4 + 5 * 4)
    for at in range(HEADER_SIZE + start, HEADER_SIZE + end, 2):
        for code, value in (("H", 0), ("H", 0xFFFF), ("I", 0x7FFFFFFF), ("I", 0xFFFFFFFF)):
            try_ctf(data[:at] + struct.pack("<" + code, value) + data[at + struct.calcsize(code) :])


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from([2, 3]))
def test_any_damage_is_survived(data: st.DataObject, version: int) -> None:
    """Any few bytes changed anywhere."""
    raw = bytearray(section(version))
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try_ctf(bytes(raw))


@pytest.mark.parametrize("version", [0, 1, 4, 255])
def test_other_versions_are_refused_by_number(version: int) -> None:
    """The message says which version it is (GNU's CTF is 4, and something else)."""
    data = bytearray(section(3))
    data[2] = version
    with pytest.raises(FormatError, match=f"version {version};"):
        Ctf(bytes(data), 8)


def test_a_section_does_not_unpack_to_more_than_it_says() -> None:
    """A zlib bomb is cut at the size of the header's offsets, and huge offsets are refused."""
    bomb = zlib.compress(bytes(1 << 26), 9)
    for size in (100, 1 << 20, 1 << 31):
        header = struct.pack("<HBB8I", 0xCFF1, 3, 1, 0, 0, 0, 0, 0, 0, size, 0)
        tracemalloc.start()
        with pytest.raises(FormatError):
            Ctf(header + bomb, 8)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1 << 24


def circles() -> Iterator[tuple[str, list[bytes]]]:
    """Types that are made of themselves: (name, version 3 records); names are at 1, 3, 5 …"""

    def record(kind: int, last: int, *body: int, name: int = 1, length: int = 0) -> bytes:
        words = [name, kind << 26 | 1 << 25 | length, last, *body]
        return struct.pack(f"<{len(words)}I", *words)

    yield "a", [record(10, 1)]
    yield "a", [record(10, 2), record(12, 1)]
    yield "struct a", [record(6, 8, 3, 2, 0, length=1), record(3, 2, name=0)]
    yield "struct a", [record(6, 8, 3, 1, 0, 5, 1, 0, length=2)]
    yield "struct a", [record(6, 8, 0, 1, 0, 0, 1, 0, length=2)]
    yield "struct a", [record(6, 8, 3, 2, 0, length=1), record(4, 0, 2, 2, 5, name=0)]
    yield "struct a", [record(6, 8, 3, 2, 0, length=1), record(4, 0, 1, 1, 0xFFFFFFFF, name=0)]
    yield "struct a", [record(6, 0, 3, 2, 0, length=1), record(4, 0, 3, 3, 0xFFFFFFFF, name=0),
                       record(6, 0, name=0)]  # fmt: skip
    yield "struct a", [record(6, 8, 3, 2, 0, length=1), record(3, 3, name=0),
                       record(5, 3, 2, 2, 2, 2, length=4, name=0)]  # fmt: skip


@pytest.mark.parametrize(("name", "records"), list(circles()))
def test_types_made_of_themselves_end(name: str, records: list[bytes]) -> None:
    """Typedefs, pointers, arrays, structs and functions in circles: a value or a KvmError."""
    types, strings = b"".join(records), b"\0a\0b\0c\0"
    sizes = (0, 0, 0, 0, 0, 0, len(types), len(strings))
    types = Ctf(struct.pack("<HBB8I", 0xCFF1, 3, 0, *sizes) + types + strings, 8)
    assert name in set(types.names())
    explore(types)


def btf_section(order: str = "<", base: btf.Btf | None = None) -> btf.Btf:
    """A forged section of TEXT alone, with a variable in a section of its own."""
    abi = cdecl.AMD64 if order == "<" else cdecl.POWERPC64
    declared = cdecl.Declarations(TEXT, abi)
    declared.typedefs.clear()
    return btf.Btf(declared, base=base, variables={".data..percpu": {"one": 0, "two": 64}})


def try_btf(data: bytes, base: BtfTypes | None = None) -> None:
    """Read a section and all that it tells."""
    with contextlib.suppress(KvmError):
        types = BtfTypes(data, base)
        explore(types)
        for number in range(types.end + 1):
            with contextlib.suppress(KvmError):
                types.type(number)


@pytest.mark.parametrize("order", ["<", ">"])
def test_btf_cut_anywhere_is_refused(order: str) -> None:
    """Every prefix of a section is an error that names it."""
    data = btf_section(order).data
    for end in range(len(data)):
        with pytest.raises(FormatError, match=r"\.BTF: "):
            BtfTypes(data[:end])


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_btf_header_with_extreme_fields_is_refused_or_read(order: str) -> None:
    """Each of the header's words at its extremes."""
    data = btf_section(order).data
    for at, value in product(range(0, btf.HEADER_SIZE, 4), EXTREMES):
        try_btf(data[:at] + struct.pack("<I", value) + data[at + 4 :])


def test_btf_records_with_extreme_words_are_refused_or_read() -> None:
    """Each word of the types at its extremes: names, ids, sizes, counts, offsets."""
    data = btf_section().data
    (length,) = struct.unpack_from("<I", data, 12)
    for at in range(btf.HEADER_SIZE, btf.HEADER_SIZE + length, 4):
        for value in (0, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF):
            try_btf(data[:at] + struct.pack("<I", value) + data[at + 4 :])


def test_btf_records_of_another_kind_are_refused_or_read() -> None:
    """Each record with each kind, another count, the flag or not: what follows is read as that."""
    forged = btf_section()
    data, at = forged.data, btf.HEADER_SIZE
    for record in forged.records.records:
        for kind, count in product(range(21), (0, 1, 2, 1 << 31 | 1)):
            info = struct.pack("<I", kind << 24 | count)
            try_btf(data[: at + 4] + info + data[at + 8 :])
        at += len(record)


def test_a_modules_btf_with_extreme_words_is_refused_or_read() -> None:
    """Ids and string offsets on both sides of where the kernel's end."""
    forged = btf_section()
    base = BtfTypes(forged.data)
    made = btf.Records("<", forged.records)
    made.add(btf.STRUCT, "m", 8, [made.name("x"), 1, 0], 1)
    made.add(btf.TYPEDEF, "t", made.end)
    data = made.data
    (length,) = struct.unpack_from("<I", data, 12)
    edges = (base.end - 1, base.end, base.end + 1, base.end + 2, base.strings_end, 1, 2)
    for at in range(btf.HEADER_SIZE, btf.HEADER_SIZE + length, 4):
        for value in EXTREMES + edges:
            try_btf(data[:at] + struct.pack("<I", value) + data[at + 4 :], base)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from("<>"))
def test_any_damage_of_btf_is_survived(data: st.DataObject, order: str) -> None:
    """Any few bytes changed anywhere."""
    raw = bytearray(btf_section(order).data)
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try_btf(bytes(raw))


@pytest.mark.parametrize("kind", [0, 20, 31, 127])
def test_unknown_kinds_of_btf_are_refused_by_number(kind: int) -> None:
    """What comes behind one cannot be found: the message says which kind it is."""
    made = btf.Records("<")
    made.add(kind, "a")
    with pytest.raises(FormatError, match=f"kind {kind},"):
        BtfTypes(made.data)


def btf_circles() -> Iterator[tuple[str, list[tuple[object, ...]]]]:
    """Types that are made of themselves: (name, records); their ids are from 2 on."""
    yield "a", [(btf.TYPEDEF, "a", 2)]
    yield "a", [(btf.TYPEDEF, "a", 3), (btf.CONST, "", 2)]
    yield "a", [(btf.TYPEDEF, "a", 3), (btf.TYPE_TAG, "rcu", 3)]
    yield "a", [(btf.TYPEDEF, "a", 3), (btf.TYPE_TAG, "odd", 4), (btf.TYPE_TAG, "odd", 3)]
    yield "struct a", [(btf.STRUCT, "a", 8, [1, 2, 0], 1)]
    yield "struct a", [(btf.STRUCT, "a", 8, [0, 2, 0, 0, 2, 0], 2)]
    yield "struct a", [(btf.STRUCT, "a", 8, [1, 3, 8 << 24], 1, True), (btf.TYPEDEF, "t", 3)]
    yield "struct a", [(btf.STRUCT, "a", 8, [1, 3, 0], 1), (btf.ARRAY, "", 0, [2, 2, 5])]
    yield "struct a", [(btf.STRUCT, "a", 8, [1, 3, 0], 1), (btf.ARRAY, "", 0, [3, 3, 1 << 31])]
    yield "struct a", [(btf.STRUCT, "a", 8, [1, 3, 0], 1), (btf.PTR, "", 4),
                       (btf.FUNC_PROTO, "", 4, [0, 4, 0, 4, 0, 4], 3)]  # fmt: skip
    yield "struct a", [(btf.STRUCT, "a", 8, [1, 3, 0], 1), (btf.FWD, "a")]
    yield "struct a", [(btf.STRUCT, "a"), (btf.STRUCT, "a", 8, [1, 4, 0], 1), (btf.FWD, "b")]


@pytest.mark.parametrize(("name", "rows"), list(btf_circles()))
def test_btf_types_made_of_themselves_end(name: str, rows: list[tuple[object, ...]]) -> None:
    """Typedefs, tags, pointers, arrays, structs and functions in circles end."""
    made = btf.Records("<")
    made.add(btf.INT, "long", 8, [64])
    for row in rows:
        made.add(*row)
    types = BtfTypes(made.data)
    assert name in set(types.names())
    explore(types)


def test_a_bit_field_of_no_bits_is_nothing() -> None:
    """Of a signed integer, too, which has no highest bit then."""
    made = btf.Records("<")
    narrow = made.add(btf.INT, "long", 8, [1 << 24])
    made.add(btf.STRUCT, "s", 8, [made.name("none"), narrow, 0], 1)
    view = View(Endless(0xFF), ABI, BtfTypes(made.data).find("struct s"), 4096)
    assert int(view["none"]) == 0


def test_of_many_types_of_one_name_few_are_looked_at() -> None:
    """Only so many are looked at for one that is complete."""
    made = btf.Records("<")
    made.add(btf.INT, "long", 8, [64])
    made.records += [made.record(btf.STRUCT, "a")] * 100_000
    types = BtfTypes(made.data)
    assert types.find("struct a") == Composite("struct", "a", 0, ())
    tracemalloc.start()
    types.find("struct a")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 22


Compiler = Callable[[str, str, str], Path]


@pytest.fixture(scope="module")
def linked(compiler: Compiler) -> bytes:
    """A linked file with DWARF 5 of TEXT."""
    return compiler("x86_64-freebsd", "-gdwarf-5", TEXT).read_bytes()


def try_dwarf(data: bytes) -> None:
    """Read a file and all that it tells."""
    with contextlib.suppress(KvmError):
        file = DwarfFile(Bytes(data))
        explore(Dwarf(file, scan(file)))


def sections(data: bytes) -> Iterator[tuple[int, int]]:
    """Where the DWARF sections of a 64 bit file lie: (offset, size)."""
    (table,) = struct.unpack_from("<Q", data, 40)
    size, count, names = struct.unpack_from("<HHH", data, 58)
    rows = [struct.unpack_from("<IIQQQQ", data, table + n * size) for n in range(count)]
    strings = rows[names][4]
    for name, _, _, _, offset, length in rows:
        if data[strings + name :].startswith((b".debug_info", b".debug_abbrev", b".debug_str_o")):
            yield offset, length


def test_dwarf_with_any_byte_changed_is_survived(linked: bytes) -> None:
    """Each byte of the entries, the abbreviations and the string offsets at its extremes."""
    explore(Dwarf(file := DwarfFile(Bytes(linked)), scan(file)))
    for offset, length in sections(linked):
        for at, value in product(range(offset, offset + length), (0, 0x7F, 0xFF)):
            try_dwarf(linked[:at] + bytes([value]) + linked[at + 1 :])


def test_dwarf_with_extreme_lengths_is_survived(linked: bytes) -> None:
    """Each 4 and 8 bytes of the entries all ones: lengths, offsets, sizes, counts."""
    (offset, length), *_ = sections(linked)
    for at, width in product(range(offset, offset + length), (4, 8)):
        try_dwarf(linked[:at] + b"\xff" * width + linked[at + width :])


def test_a_cut_file_is_survived(linked: bytes) -> None:
    """A file that ends anywhere."""
    for end in range(0, len(linked), 7):
        try_dwarf(linked[:end])


def test_references_to_any_entry_are_survived(compiler: Compiler) -> None:
    """Each 4 bytes of a small unit made a reference to each entry: circles of every kind."""
    text = "typedef const int t; struct s { t bits:3; struct s *next[2]; }; struct s one;"
    linked = compiler("x86_64-freebsd", "-gdwarf-4", text).read_bytes()
    (offset, length), *_ = sections(linked)
    entries = range(0x0B, length)
    for at, target in product(range(offset, offset + length), entries[::3]):
        try_dwarf(linked[:at] + struct.pack("<I", target) + linked[at + 4 :])
