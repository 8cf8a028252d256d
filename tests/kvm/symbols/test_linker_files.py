"""Are a dead kernel's modules found, with the symbols they had, whatever of them is in memory?"""

from __future__ import annotations

import struct

import pytest
from fakes.sources import Bytes
from fakes.world import target
from forge import cdecl, elf, linker
from forge.elf import ABS, FUNC, GLOBAL, LOCAL, OBJECT, UNDEF, Sym
from forge.linker import Loaded
from forge.world import World

from kvm_exporter.kvm.errors import SymbolMissing, TypeMissing
from kvm_exporter.kvm.source import Source
from kvm_exporter.kvm.symbols.linker_files import LinkerFiles
from kvm_exporter.kvm.symbols.module import Module
from kvm_exporter.kvm.tally import Tally

ABIS = {
    "amd64": cdecl.AMD64,
    "i386": cdecl.I386,
    "aarch64": cdecl.AARCH64,
    "armv7": cdecl.ARMV7,
    "powerpc64": cdecl.POWERPC64,
    "powerpc": cdecl.POWERPC,
}
SECTIONS = {".text": 6, ".rodata": 2, ".data": 3, "set_vnet": 3}
BASE = 0xC2000000
TABLE = [
    Sym("bridge_input", BASE + 0x100, 64, FUNC, LOCAL, ".text"),
    Sym("bridge_name", BASE + 0x200, 8, OBJECT, GLOBAL, ".rodata"),
    Sym("bridge_list", BASE + 0x300, 8, OBJECT, GLOBAL, ".data"),
    Sym("panic", 0, 0, 0, GLOBAL, UNDEF),
]


def bridge(**values: object) -> Loaded:
    """A module as amd64 loads it."""
    given = {"symbols": TABLE, "sections": SECTIONS, **values}
    return Loaded("if_bridge.ko", "/boot/kernel/if_bridge.ko", BASE, 0x5000, **given)  # type: ignore[arg-type]


def no_file(_name: str, _path: str) -> Source | None:
    """There is no .ko."""
    return None


def modules(world: World, tally: Tally | None = None, find=no_file) -> list[Module]:
    """The modules of a forged kernel."""
    return list(LinkerFiles(target(world, tally), find))


def named(module: Module) -> dict[str, tuple[int, int, int | None]]:
    """Its symbols: name → value, type, size."""
    assert module.symbols is not None
    return {one.name: (one.value, one.type, one.size) for one in module.symbols}


@pytest.mark.parametrize("machine", ABIS)
def test_a_relocatable_modules_values_are_addresses(machine: str) -> None:
    """amd64's modules: the types are those of the section headers in memory."""
    (module,) = modules(linker.world_with([bridge()], ABIS[machine]))
    assert (module.name, module.path) == ("if_bridge.ko", "/boot/kernel/if_bridge.ko")
    assert (module.id, module.address, module.size, module.sets) == (2, BASE, 0x5000, ())
    assert named(module) == {
        "bridge_input": (BASE + 0x100, 4, 64),
        "bridge_name": (BASE + 0x200, 5, 8),
        "bridge_list": (BASE + 0x300, 7, 8),
    }
    assert module.ctf() is None


@pytest.mark.parametrize("machine", ABIS)
def test_a_shared_modules_values_are_relative_to_its_address(machine: str) -> None:
    """Everywhere else; its sets were carved from the kernel's, but the empty one."""
    sets = (BASE + 0x400, BASE + 0x480, 0xC1000800, 0, 0, 0)
    table = [one._replace(value=max(one.value - BASE, 0)) for one in TABLE]
    loaded = bridge(symbols=table, relocatable=False, sets=sets)
    (module,) = modules(linker.world_with([loaded], ABIS[machine]))
    assert named(module) == {
        "bridge_input": (BASE + 0x100, 4, 64),
        "bridge_name": (BASE + 0x200, 7, 8),
        "bridge_list": (BASE + 0x300, 7, 8),
    }
    assert module.sets == (sets[:3],)
    moved = [module.carved(BASE + at) for at in (0x3FF, 0x400, 0x47F, 0x480)]
    assert moved == [BASE + 0x3FF, 0xC1000800, 0xC100087F, BASE + 0x480]


def test_modules_come_in_the_order_they_were_loaded_in() -> None:
    """Both kinds beside each other; the kernel is none."""
    world = linker.world_with(
        [
            bridge(),
            Loaded("a.ko", "/boot/modules/a.ko", 1 << 28, 99, [], {}, relocatable=False),
            Loaded("b.ko", "/b.ko", 1 << 29, 99, []),
        ]
    )
    tally = Tally()
    assert [(one.name, one.id) for one in modules(world, tally)] == [
        *(("if_bridge.ko", 2), ("a.ko", 3), ("b.ko", 4)),
    ]
    assert tally.counts() == {}


def test_a_kernel_without_modules_has_none() -> None:
    """Only itself."""
    assert modules(linker.world_with([])) == []


def ko() -> bytes:
    """The file of the module: two sections that are loaded, sets that go elsewhere, one that is
    not loaded, and one that takes room only.
    """
    alloc = elf.ALLOC
    sections = {
        ".text": elf.Section(b"\xcc" * 0x101, flags=alloc | elf.EXEC, align=16),
        ".comment": elf.Section(b"c" * 0x33),
        "set_vnet": elf.Section(b"v" * 0x20, flags=alloc | elf.WRITE, align=8),
        ".data": elf.Section(b"d" * 0x40, flags=alloc | elf.WRITE, align=64),
        ".empty": elf.Section(b"", flags=alloc, align=4096),
        ".bss": elf.Section(b"", elf.NOBITS, alloc | elf.WRITE, size=0x80, align=32),
        ".SUNW_ctf": elf.Section(b"ctf of the file"),
    }
    symbols = [
        Sym("bridge_input", 0x10, 64, FUNC, LOCAL, ".text"),
        Sym("bridge_list", 0x8, 8, OBJECT, GLOBAL, ".data"),
        Sym("bridge_zone", 0x0, 8, OBJECT, GLOBAL, ".bss"),
        Sym("vnet_entry_bridge", 0x0, 8, OBJECT, LOCAL, "set_vnet"),
        Sym("comment", 0x0, 8, OBJECT, LOCAL, ".comment"),
        Sym("constant", 0x77, 0, 0, GLOBAL, ABS),
        Sym("panic", 0, 0, 0, GLOBAL, UNDEF),
    ]
    return elf.write_elf("amd64", kind=elf.ET_REL, sections=sections, symbols=symbols)


def test_where_memory_lacks_the_table_the_file_is_relocated() -> None:
    """Sections lie one behind the other, aligned, but for the sets, which are left out."""
    asked: list[tuple[str, str]] = []
    files: list[Bytes] = []

    def find(name: str, path: str) -> Source:
        asked.append((name, path))
        files.append(Bytes(ko(), name))
        return files[-1]

    tally = Tally()
    (module,) = modules(linker.world_with([bridge(symbols=None)]), tally, find)
    # .text ends at 0x101, set_vnet takes 0x108 to 0x128, .data 0x140 to 0x180, .bss follows
    assert named(module) == {
        "bridge_input": (BASE + 0x10, 4, 64),
        "bridge_list": (BASE + 0x148, 7, 8),
        "bridge_zone": (BASE + 0x180, 9, 8),
        "constant": (0x77, 3, 0),
    }
    assert module.ctf() == b"ctf of the file"
    assert set(asked) == {("if_bridge.ko", "/boot/kernel/if_bridge.ko")}
    assert all(file.closed for file in files)
    assert tally.counts() == {("linker_files", "unknown"): 1}


def test_a_larger_file_is_not_the_one_that_was_loaded() -> None:
    """Then the module has no symbols rather than wrong ones."""
    loaded = bridge(symbols=None)._replace(size=0x1FF)
    (module,) = modules(linker.world_with([loaded]), None, lambda *_: Bytes(ko()))
    assert module.symbols is None
    assert (module.name, module.address) == ("if_bridge.ko", BASE)


def test_a_shared_file_is_displaced() -> None:
    """Its addresses are relative to where it was loaded."""
    section = elf.Section(bytes(64), flags=elf.ALLOC, address=0x2000)
    symbols = [Sym("a_list", 0x2010, 8, OBJECT, GLOBAL, ".data")]
    file = elf.write_elf("aarch64", kind=elf.ET_DYN, sections={".data": section}, symbols=symbols)
    loaded = bridge(symbols=None, relocatable=False)
    (module,) = modules(linker.world_with([loaded]), None, lambda *_: Bytes(file))
    assert named(module) == {"a_list": (BASE + 0x2010, 5, 8)}


@pytest.mark.parametrize("machine", ABIS)
def test_types_in_memory_are_uncompressed_whatever_they_say(machine: str) -> None:
    """The kernel uncompresses them and leaves the flag; a length comes from the header."""
    abi = ABIS[machine]
    body = b"types" * 9 + b"\0strings\0"
    numbers = (0, 0, 0, 0, 0, 0, 45, 9)
    header = struct.pack(abi.order + "HBB8I", 0xCFF1, 3, 1, *numbers)
    (module,) = modules(linker.world_with([bridge(ctf=header + body + b"more")], abi))
    plain = struct.pack(abi.order + "HBB8I", 0xCFF1, 3, 0, *numbers)
    assert module.ctf() == plain + body


def test_an_absurd_length_of_types_is_an_error() -> None:
    """Gigabytes of strings are not believed."""
    header = struct.pack("<HBB8I", 0xCFF1, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0xF0000000)
    (module,) = modules(linker.world_with([bridge(ctf=header)]))
    with pytest.raises(Exception, match="too much") as caught:
        module.ctf()
    assert caught.type.__name__ == "FormatError"


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("ddbsymcnt", 0),
        ("ddbsymcnt", -1),
        ("ddbsymcnt", 1 << 40),
        ("ddbsymcnt", 2**63 - 1),
        ("ddbstrcnt", 0),
        ("ddbstrcnt", -1),
        ("ddbstrcnt", 1 << 40),
        ("ddbsymtab", 0),
        ("ddbsymtab", 2**64 - 8),
        ("ddbstrtab", 0),
        ("lf.ops", 0),
        ("lf.ops", 2**64 - 1),
    ],
)
def test_a_damaged_module_keeps_its_name(member: str, value: int) -> None:
    """Its symbols are gone, which is counted; its neighbour has its own."""
    world = World(linker.DECLARATIONS)
    _, first, _ = linker.load(world, [bridge(), bridge()._replace(name="b.ko")])
    first.put(member, value)
    tally = Tally()
    damaged, whole = modules(world, tally)
    assert (damaged.name, damaged.symbols) == ("if_bridge.ko", None)
    assert "bridge_list" in named(whole)
    assert tally.counts() == {("linker_files", "unknown"): 1}


def test_a_table_that_does_not_begin_with_the_empty_symbol_is_not_believed() -> None:
    """Its pointer may point anywhere."""
    world = World(linker.DECLARATIONS)
    _, file = linker.load(world, [bridge()])
    file.put("ddbsymtab", file.get("ddbsymtab") + 24).put("ddbsymcnt", 2)
    assert modules(world)[0].symbols is None


def test_missing_section_headers_cost_the_types_only() -> None:
    """Then symbols have them by what they are."""
    world = World(linker.DECLARATIONS)
    _, file = linker.load(world, [bridge()])
    file.put("e_shdr", 0x10)
    assert named(modules(world)[0])["bridge_name"] == (BASE + 0x200, 7, 8)


def test_an_unreadable_name_costs_its_module_only() -> None:
    """The list goes on behind it."""
    world = World(linker.DECLARATIONS)
    _, first, _ = linker.load(world, [bridge(), bridge()._replace(name="b.ko")])
    first.put("lf.filename", 8)
    tally = Tally()
    assert [one.name for one in modules(world, tally)] == ["b.ko"]
    assert tally.counts() == {("linker_files", "unknown"): 1}


def test_a_list_in_a_circle_ends() -> None:
    """Each module is listed once."""
    world = World(linker.DECLARATIONS)
    _, first, second = linker.load(world, [bridge(), bridge()._replace(name="b.ko")])
    second.put("lf.link.tqe_next", first)
    tally = Tally()
    assert [one.name for one in modules(world, tally)] == ["if_bridge.ko", "b.ko"]
    assert tally.counts() == {("linker_files", "unknown"): 1}


def test_without_types_or_list_there_are_no_modules() -> None:
    """The errors name what is missing."""
    with pytest.raises(TypeMissing, match="linker_file"):
        modules(World("struct proc { int p_pid; };"))
    with pytest.raises(SymbolMissing, match="linker_files"):
        modules(World(linker.DECLARATIONS))


def test_a_struct_of_another_size_is_not_guessed_at() -> None:
    """A kernel whose elf_file is shorter than is known here has modules without symbols."""
    world = World(linker.DECLARATIONS)
    _, file = linker.load(world, [bridge()])
    class_ = int.from_bytes(world.read(file.get("lf.ops") + 32, 8), "little")
    world.write(class_ + 16, (200).to_bytes(8, "little"))
    assert modules(world)[0].symbols is None
