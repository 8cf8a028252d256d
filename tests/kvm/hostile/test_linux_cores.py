"""Does any Linux core whatsoever answer, or say what is wrong with it, without harm to its reader?

The cores are forge/linux_whole.py's.  How much of a file is read in all is bounded as well, which
is to say that nothing goes round for ever; conftest.py bounds memory.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from fakes.asking import ask, inspect
from forge import linux_whole
from forge.elf import EHDR, EHDR_SIZE, PHDR_SIZE
from forge.kdump import Kdump
from forge.linux_whole import Machine

from kvm_exporter.kvm import DumpOptions
from kvm_exporter.kvm.source import File

NAMES = tuple(linux_whole.ABIS)
EXTREMES = (0, 1, -1, -2, 1 << 31, 1 << 63, 0x1000, 1 << 46)
"""As far as they fit into a field; each field is given one, and the next field the next."""

MUTANTS = 4
"""Of each core and way to damage it; a whole one takes a twentieth of a second."""

MOST_BYTES = 1 << 30
"""That may be read of a file of some hundred kilobytes, asked everything there is to ask."""

PHDR = {32: "IIIIIIII", 64: "IIQQQQQQ"}


@cache
def machine(name: str = "x86_64") -> Machine:
    """Each is forged once."""
    return linux_whole.machine(name)


@cache
def kdump(name: str = "x86_64") -> Kdump:
    """Its dump, by makedumpfile -d 31."""
    return machine(name).kdump(filtered=True)


Try = Callable[[bytes], dict[str, object]]


@pytest.fixture
def bounded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes that were read of files, never more than MOST_BYTES; who empties it starts over."""
    read, counts = File.read, [0]

    def counted(file: File, offset: int, length: int) -> bytes:
        data = read(file, offset, length)
        counts[0] += len(data) + 64
        assert counts[0] <= MOST_BYTES, "this does not end"
        return data

    monkeypatch.setattr(File, "read", counted)
    return counts


@pytest.fixture
def try_(tmp_path: Path, bounded: list[int]) -> Try:
    """Asks a core everything; no index is kept, so that each is read."""
    path, nowhere = tmp_path / "vmcore", tmp_path / "vmcore" / "cache"

    def run(data: bytes) -> dict[str, object]:
        path.write_bytes(data)
        bounded[0] = 0
        return ask(None, path, DumpOptions(cache_directory=str(nowhere)))

    return run


def set_(data: bytes, code: str, at: int, value: int) -> bytes:
    """``data`` with a field of it changed."""
    changed = bytearray(data)
    struct.pack_into(code, changed, at, value % (1 << 8 * struct.calcsize(code)))
    return bytes(changed)


def put(data: bytes, at: int, patch: bytes) -> bytes:
    """``data`` with other bytes somewhere."""
    return data[:at] + patch + data[at + len(patch) :]


FORMS: dict[str, Callable[[Machine], bytes]] = {
    "ELF": lambda linux: linux.core,
    "ELF without a note": lambda linux: linux.elf(note=False),
    "kdump": lambda linux: linux.kdump().data,
    "filtered": lambda linux: linux.kdump(filtered=True).data,
    "flattened": lambda linux: linux.flattened(),
}


@cache
def formed(name: str, form: str) -> bytes:
    """Such a core of that machine."""
    return FORMS[form](machine(name))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_a_whole_core_answers(try_: Try, name: str, form: str) -> None:
    """Undamaged, each forged core answers what its world holds."""
    found = try_(formed(name, form))
    assert sorted(one.pid for one in found["processes"]) == [1, 2, 40, 41, 50, 60, 77]
    assert len(found["threads"]) == 8
    assert found["open files"][0].path == "/etc/hosts"
    assert found["life"].panic == linux_whole.PANIC
    assert found["mounts"]
    assert found["interfaces"]
    assert all(found["Linux's names"])
    assert found["refusals"] == {}
    assert ("arguments of 40" in found) == (form != "filtered")


# formats


@pytest.mark.parametrize("name", ["x86_64", "i386-pae"])
def test_a_truncated_elf_core(try_: Try, name: str) -> None:
    """Cut at each part's boundary, and anywhere: what is whole still answers."""
    core, rng = machine(name).core, random.Random(name)
    size = len(core)
    starts = {machine(name).place(start) for start, _ in machine(name).runs}
    edges = {16, 52, 64, 120, 176, 232, *starts, size}
    cuts = {0, 1} | {edge + step for edge in edges for step in (-1, 0)}
    cuts |= {min(starts) + 4096 * n for n in range(0, size // 4096, 20)}
    cuts |= {rng.randrange(size) for _ in range(4)}
    for cut in sorted(cut for cut in cuts if 0 <= cut < size):
        try_(core[:cut])
    assert try_(core[:-1])["uname"].sysname == "Linux"


def test_a_truncated_kdump_file(try_: Try) -> None:
    """Cut in each header, each bitmap, among descriptors and pages."""
    dump, rng = kdump(), random.Random(7)
    first = min(dump.descriptors.values())
    last = max(dump.descriptors.values())
    edges = {464, 4096, 4096 + 104, 8192, 12288, first, last, last + 24}
    cuts = {0, 1, 8} | {edge + step for edge in edges for step in (-1, 0)}
    cuts |= {rng.randrange(last, len(dump.data)) for _ in range(4)}
    for cut in sorted(cut for cut in cuts if cut < len(dump.data)):
        try_(dump.data[:cut])
    stream = machine().flattened()
    for cut in (0, 15, 16, 4095, 4096, 4104, 4112, 5000, len(stream) // 2, len(stream) - 16):
        try_(stream[:cut])


def fields(core: bytes, programs: int) -> Iterator[tuple[str, int]]:
    """(code, place) of each field of an ELF core's headers."""
    bits, order = 32 * core[4], "<>"[core[5] - 1]
    yield from ((order + "B", at) for at in range(4, 8))
    for codes, at in (
        (EHDR[bits], 16),
        *((PHDR[bits], EHDR_SIZE[bits] + n * PHDR_SIZE[bits]) for n in range(programs)),
    ):
        place = at
        for code in codes:
            yield order + code, place
            place += struct.calcsize(code)


@pytest.mark.parametrize("name", NAMES)
def test_every_field_of_an_elf_core(try_: Try, name: str) -> None:
    """Each offset, count and address of its headers, as large and small as can be."""
    core = machine(name).core
    chosen = list(fields(core, 2))[NAMES.index(name) :: 1 if name == "x86_64" else 3]
    for number, (code, at) in enumerate(chosen):
        try_(set_(core, code, at, EXTREMES[number % len(EXTREMES)]))


def test_every_field_of_the_note(try_: Try) -> None:
    """Lengths of its name and of its text."""
    core = machine().core
    at = core.index(b"VMCOREINFO\0") - 12
    for field in range(3):
        for value in EXTREMES[field % 2 :: 2]:
            try_(set_(core, "<I", at + 4 * field, value))


def test_every_field_of_a_kdump_file(try_: Try) -> None:
    """Of both headers, and of pages' descriptors."""
    dump = kdump()
    codes = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}
    numbers = [place for place in dump.places.values() if place[1] in codes]
    places = [(codes[size], at) for at, size in numbers]
    for start in list(dump.descriptors.values())[3::20]:
        places += [("<Q", start), ("<I", start + 8), ("<I", start + 12), ("<Q", start + 16)]
    for number, (code, at) in enumerate(places):
        try_(set_(dump.data, code, at, EXTREMES[number % len(EXTREMES)]))


# what leads to memory


LIES = (b"0", b"1", b"-1", b"x", b"", b"f" * 16, b"9" * 20, b"\xff\0", b"7fffffffffffffff", b"=")


def test_every_line_of_vmcoreinfo(try_: Try) -> None:
    """Each value another, in the note and in memory: what fits the core may still be found."""
    core = machine().core
    for number, line in enumerate(machine().text.splitlines()):
        key, equals, _ = line.partition(b"=")
        lie = LIES[number % len(LIES)]
        changed = (key + equals + lie).ljust(len(line), b"\n")[: len(line)]
        try_(core.replace(line, changed))


def garbled(text: bytes, rng: random.Random) -> bytes:
    """Lines lost, doubled, joined and made of anything."""
    lines = text.splitlines(keepends=True)
    for _ in range(rng.choice((1, 3, 9))):
        at = rng.randrange(len(lines))
        lines[at] = rng.choice(
            (b"", lines[at] * 2, lines[at].rstrip(), rng.randbytes(len(lines[at])), lines[at][::-1])
        )
    return b"".join(lines)[: len(text)].ljust(len(text), b"\n")


def test_vmcoreinfo_of_garbage(try_: Try) -> None:
    """In the note, and in memory."""
    rng = random.Random("garbage")
    core, text = machine().core, machine().text
    for _ in range(MUTANTS):
        try_(core.replace(text, garbled(text, rng)))


@pytest.mark.parametrize("name", NAMES)
def test_page_tables_of_anything(try_: Try, name: str) -> None:
    """Entries that lead to their own table, to others', to large pages, out of memory."""
    linux, rng = machine(name), random.Random(f"tables {name}")
    form, tables = linux.kernel.row.form, linux.kernel.ram.tables
    order = "<" if form.order == "little" else ">"
    code = order + ("Q" if form.width == 8 else "I")
    for _ in range(MUTANTS):
        core = linux.core
        for slot in rng.sample(sorted(tables), rng.randint(1, len(tables))):
            low = rng.choice(form.indices)[0]
            to = rng.choice((slot & ~0xFFF, rng.choice([*tables.values()]), linux.kernel.root))
            entry = rng.choice((form.table(to, low), rng.getrandbits(64), -1, 0, slot | 0x81))
            core = set_(core, code, linux.place(slot), entry)
        try_(core)


# symbols and types


@pytest.mark.parametrize("name", NAMES)
def test_damaged_kallsyms(try_: Try, name: str) -> None:
    """Each table of them in turn: its first word, and bytes of it."""
    linux, rng = machine(name), random.Random(f"kallsyms {name}")
    order = "<" if linux.kernel.row.order == "<" else ">"
    labels = sorted(linux.symbols.labels.items(), key=lambda item: item[1])
    ends = [at for _, at in labels[1:]] + [linux.symbols.address + len(linux.symbols.data)]
    for (label, start), end in zip(labels, ends, strict=True):
        at = linux.place(linux.physical(start))
        try_(set_(linux.core, order + "I", at, EXTREMES[len(label) % len(EXTREMES)]))
        place = at + rng.randrange(end - start)
        try_(put(linux.core, place, rng.randbytes(min(rng.choice((1, 8, 300)), end - start))))


@pytest.mark.parametrize("name", NAMES)
def test_damaged_types(try_: Try, name: str) -> None:
    """Each field of BTF's header; then members of other types, circles, and names of anything."""
    linux, rng = machine(name), random.Random(f"types {name}")
    start, data = linux.types
    order = "<" if linux.kernel.row.order == "<" else ">"
    at = linux.place(linux.physical(start))
    for field, code in enumerate("HBBIIIII"):
        place = at + struct.calcsize(order + "HBBIIIII"[:field])
        try_(set_(linux.core, order + code, place, EXTREMES[field % len(EXTREMES)]))
    length = struct.unpack_from(order + "I", data, 12)[0]
    for _ in range(MUTANTS):
        core = bytearray(linux.core)
        for _ in range(rng.choice((1, 5, 40))):
            word = at + 24 + 4 * rng.randrange(length // 4)
            value = rng.choice(
                (rng.randrange(300), rng.randrange(300), 1 << 24, rng.getrandbits(32))
            )
            struct.pack_into(order + "I", core, word, value)
        try_(bytes(core))


# objects


def words(linux: Machine) -> list[int]:
    """Where in the core the words of its structs are."""
    size = linux.world.abi.pointer
    pages = (linux.place(linux.physical(at)) for at, _ in linux.world.pages())
    last = linux.place(linux.physical(linux.types[0]))
    return [at for page in pages for at in range(page, min(page + 4096, last), size)]


def redirected(linux: Machine, rng: random.Random) -> bytes:
    """Pointers set to other pointers: circles, lists that are something else's."""
    changed, size = bytearray(linux.core), linux.world.abi.pointer
    filled = [at for at in words(linux) if any(changed[at : at + size]) and changed[at] != 0xA5]
    for _ in range(rng.choice((1, 2, 5, 40))):
        to, of = rng.choice(filled), rng.choice(filled)
        changed[to : to + size] = changed[of : of + size]
    return bytes(changed)


def extreme(linux: Machine, rng: random.Random) -> bytes:
    """Words set to extremes: counts without bounds, addresses of nothing."""
    changed, size = bytearray(linux.core), linux.world.abi.pointer
    places = words(linux)
    for _ in range(rng.choice((1, 5, 50))):
        at = rng.choice(places)
        value = rng.choice(EXTREMES) % (1 << 8 * size)
        changed[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))
    return bytes(changed)


def noisy(linux: Machine, rng: random.Random) -> bytes:
    """Bytes that are anything, anywhere in a file of any form."""
    changed = bytearray(formed(linux.name, rng.choice(list(FORMS))))
    for _ in range(rng.choice((1, 10, 100, 800))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


DAMAGES = (redirected, extreme, noisy)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", NAMES)
def test_damaged_memory(
    try_: Try, name: str, damage: Callable[[Machine, random.Random], bytes]
) -> None:
    """Lists in circles, pointers anywhere, counts without bounds: in the kernel's own structs."""
    rng = random.Random(f"{name} {damage.__name__}")
    for _ in range(MUTANTS):
        try_(damage(machine(name), rng))


def test_inspected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damaged cores are printed, on a terminal that knows nothing but ASCII."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path, rng = tmp_path / "vmcore", random.Random("inspect")
    for damage in DAMAGES:
        path.write_bytes(damage(machine(), rng))
        inspect(None, path)
