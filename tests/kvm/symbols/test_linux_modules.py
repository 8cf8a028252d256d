"""Are a Linux kernel's modules found in its memory, with the symbols that /proc/kallsyms shows?"""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.world import target
from forge import cdecl, linux_modules
from forge.elf import ABS, FUNC, GLOBAL, LOCAL, NOTYPE, OBJECT, UNDEF, WEAK, Sym
from forge.linux_modules import VERSIONS, Line, Loaded
from forge.world import World

from kvm_exporter.kvm.errors import SymbolMissing, TypeMissing
from kvm_exporter.kvm.memory import Symbol
from kvm_exporter.kvm.symbols.kallsyms import LinuxSymbols
from kvm_exporter.kvm.symbols.linux_module import LinuxModule
from kvm_exporter.kvm.symbols.linux_modules import LinuxModules
from kvm_exporter.kvm.tally import Tally

ABIS = {
    "amd64": cdecl.AMD64,
    "aarch64": cdecl.AARCH64,
    "i386": cdecl.I386,
    "armv7": cdecl.ARMV7,
    "s390x": cdecl.POWERPC64,
    "powerpc": cdecl.POWERPC,
}
UP = 0xFFFFFFFF00000000
"""What addresses of 64 bits have in front."""

BASE = UP | 0xC0570000
TABLE = [
    Line("t", Sym("zram_open", BASE + 0x100, 64, FUNC, LOCAL, ".text")),
    Line("t", Sym("zram_get", BASE + 0x140, 32, FUNC, GLOBAL, ".text")),
    Line("t", Sym("zram_put", BASE + 0x160, 32, FUNC, GLOBAL, ".text")),
    Line("d", Sym("zram_major", BASE + 0x2000, 4, OBJECT, LOCAL, ".data")),
    Line("b", Sym("num_devices", BASE + 0x2100, 4, OBJECT, LOCAL, ".bss")),
    Line("r", Sym("zram_name", BASE + 0x1000, 8, OBJECT, LOCAL, ".rodata")),
    Line("w", Sym("zram_weak", BASE + 0x200, 0, FUNC, WEAK, ".text")),
    Line("d", Sym("zram_pcpu", 0x34020, 8, OBJECT, LOCAL, ".data")),
    Line("a", Sym("__crc_zram", 0x4711, 0, NOTYPE, GLOBAL, ABS)),
    Line("U", Sym("printk", 0, 0, NOTYPE, GLOBAL, UNDEF)),
]
ZRAM = Loaded("zram", TABLE, [(BASE, 0x3000)], ["zram_get", "somebody_elses"], 0x34000)
DUMMY = Loaded(
    "dummy",
    [Line("t", Sym("dummy_xmit", UP | 0xC0560010, 16, FUNC, LOCAL, ".text"))],
    [(UP | 0xC0560000, 64)],
)
SHOWN = [
    Symbol("zram_open", BASE + 0x100, 4, 64),
    Symbol("zram_get", BASE + 0x140, 5, 32),
    Symbol("zram_put", BASE + 0x160, 4, 32),
    Symbol("zram_major", BASE + 0x2000, 6, 4),
    Symbol("num_devices", BASE + 0x2100, 8, 4),
    Symbol("zram_name", BASE + 0x1000, 6, 8),
    Symbol("zram_weak", BASE + 0x200, 4, None),
    Symbol("zram_pcpu", 0x34020, 6, 8),
    Symbol("__crc_zram", 0x4711, 2, None),
]


def cut(one: Loaded, abi: cdecl.Abi) -> Loaded:
    """The same where addresses have 32 bits."""
    if abi.pointer == 8:
        return one
    lines = [
        line._replace(symbol=line.symbol._replace(value=line.symbol.value & ~UP))
        for line in one.lines
    ]
    return replace(one, lines=lines, areas=[(start & ~UP, size) for start, size in one.areas])


def modules(world: World, tally: Tally | None = None, *, even: bool = False) -> list[LinuxModule]:
    """The modules of a forged kernel."""
    return list(LinuxModules(target(world, tally), even=even))


def shown(module: LinuxModule) -> list[Symbol]:
    """Its symbols."""
    assert module.symbols is not None
    return list(module.symbols)


@pytest.mark.parametrize("machine", ABIS)
@pytest.mark.parametrize("version", VERSIONS)
def test_modules_of_every_kernel(version: str, machine: str) -> None:
    """Name, place and symbols: external is what is exported, undefined ones are none."""
    percpu = 0 if version.endswith("up") else 0x34000
    abi = ABIS[machine]
    mask = (1 << 8 * abi.pointer) - 1
    loaded = [cut(one, abi) for one in (replace(ZRAM, percpu=percpu), DUMMY)]
    world = linux_modules.world_with(version, loaded, abi)
    tally = Tally()
    zram, dummy = modules(world, tally)
    assert (zram.name, zram.areas, zram.percpu) == ("zram", ((BASE & mask, 0x3000),), percpu)
    assert shown(zram) == [one._replace(value=one.value & mask) for one in SHOWN]
    assert (dummy.name, dummy.percpu) == ("dummy", 0)
    assert shown(dummy) == [Symbol("dummy_xmit", (UP | 0xC0560010) & mask, 4, 16)]
    assert tally.counts() == {}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_module_that_starts_has_two_areas(version: str) -> None:
    """Core and init; both are its own, what lies between is not."""
    one = Loaded("zram", TABLE, [(BASE, 0x3000), (BASE + 0x5000, 0x1000)])
    (zram,) = modules(linux_modules.world_with(version, [one]))
    assert zram.areas == ((BASE, 0x3000), (BASE + 0x5000, 0x1000))
    held = [zram.holds(BASE + at) for at in (-1, 0, 0x2FFF, 0x3000, 0x5000, 0x5FFF, 0x6000)]
    assert held == [False, True, True, False, True, True, False]


def test_a_module_that_is_not_formed_yet_is_none() -> None:
    """/proc/modules does not show it either; nothing of it has been filled in."""
    unformed = Loaded("half", [], [], state=3)
    world = linux_modules.world_with("6.12", [ZRAM, unformed, DUMMY])
    assert [one.name for one in modules(world)] == ["zram", "dummy"]


def joined(world: World) -> LinuxSymbols:
    """A kernel's symbols that come from its modules only."""

    def nothing() -> None:
        raise SymbolMissing("no kallsyms")

    found = LinuxSymbols(nothing, Tally(), lambda: ())  # type: ignore[arg-type, return-value]
    found.kernel.find = lambda name: None  # type: ignore[method-assign]
    found.kernel.at = lambda address: None  # type: ignore[method-assign]
    found.find_modules_with(lambda: LinuxModules(target(world)))
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_symbols_of_modules_by_name_and_by_address(version: str) -> None:
    """As the kernel's own; per-CPU variables and absolute symbols are nobody's address."""
    some = joined(linux_modules.world_with(version, [ZRAM, DUMMY]))
    names = ["zram_major", "_zram_get", "dummy_xmit", "printk", "zram"]
    assert some.lookup(names) == [
        SHOWN[3],
        SHOWN[1]._replace(name="_zram_get"),
        Symbol("dummy_xmit", UP | 0xC0560010, 4, 16),
        None,
        None,
    ]
    place = some.at(BASE + 0x15F)
    assert place is not None
    assert (place.symbol, place.offset) == (SHOWN[1], 0x1F)
    assert some.at(BASE) is None
    assert some.at(BASE + 0x3000) is None
    assert some.at(0x34020) is None


def test_the_first_module_that_has_a_name_has_it() -> None:
    """Every module has an ``init_module``; within one, a global symbol comes first."""
    same = "cleanup"
    lines = [
        Line("t", Sym(same, BASE + 8, 8, FUNC, LOCAL, ".text")),
        Line("t", Sym(same, BASE + 16, 8, FUNC, GLOBAL, ".text")),
    ]
    other = [Line("t", Sym(same, BASE + 0x8000, 8, FUNC, GLOBAL, ".text"))]
    loaded = [Loaded("one", lines, [(BASE, 64)]), Loaded("two", other, [(BASE + 0x8000, 64)])]
    some = joined(linux_modules.world_with("6.12", loaded))
    assert some.lookup([same]) == [Symbol(same, BASE + 16, 4, 8)]
    assert [one.value for one in some.modules[1].symbols or ()] == [BASE + 0x8000]


def test_thumb_code_is_at_even_addresses() -> None:
    """ARM's functions have odd values; its data may as well, and stays where it is."""
    start = 0xBF000000
    lines = [
        Line("t", Sym("thumb", start + 0x101, 8, FUNC, LOCAL, ".text")),
        Line("d", Sym("odd", start + 0x203, 1, OBJECT, LOCAL, ".data")),
    ]
    world = linux_modules.world_with("6.12", [Loaded("arm", lines, [(start, 0x300)])], cdecl.ARMV7)
    (module,) = modules(world, even=True)
    assert [one.value for one in shown(module)] == [start + 0x100, start + 0x203]
    assert module.symbols is not None
    for address, offset in ((start + 0x100, 0), (start + 0x101, 1), (start + 0x105, 5)):
        place = module.symbols.at(address)
        assert place is not None
        assert (place.symbol.name, place.offset) == ("thumb", offset)


def test_a_name_is_not_exported_by_another_value() -> None:
    """As is_exported() has it: a static symbol of an exported one's name stays local."""
    lines = [Line("t", Sym("same", BASE + 8, 8, FUNC, LOCAL, ".text"))]
    world = linux_modules.world_with("5.10", [])
    (thing,) = linux_modules.load(world, [Loaded("m", lines, [(BASE, 64)], ["same"])])
    row = thing.get("syms")
    world.write(row, world.number(thing.world.abi.pointer, 4))
    world.symbols = [one for one in world.symbols if one.name != "modules"] + world.symbols[-1:]
    (module,) = modules(world)
    assert shown(module) == [Symbol("same", BASE + 8, 4, 8)]


def test_no_modules_at_all() -> None:
    """An empty list is one; a kernel without CONFIG_MODULES has none of the symbol."""
    assert modules(linux_modules.world_with("6.12", [])) == []
    world = linux_modules.world_with("6.12", [ZRAM])
    world.symbols.clear()
    with pytest.raises(SymbolMissing):
        modules(world)


def test_types_that_are_not_known() -> None:
    """Nothing can be said of modules then."""
    with pytest.raises(TypeMissing):
        LinuxModules(target(World("struct nothing { int here; };")))


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("core_kallsyms.symtab", 0x10),
        ("core_kallsyms.strtab", 0x10),
        ("core_kallsyms.typetab", 0x10),
        ("core_kallsyms.num_symtab", 0xFFFFFFFF),
        ("core_kallsyms.num_symtab", 0),
        ("kallsyms", 0),
        ("syms", 0x10),
    ],
)
def test_a_damaged_module_costs_its_own_symbols(member: str, value: int) -> None:
    """It is counted; the module is there, and others have theirs."""
    world = linux_modules.world_with("6.12", [])
    world.symbols.clear()
    zram, _ = linux_modules.load(world, [ZRAM, DUMMY])
    zram.put(member, value)
    tally = Tally()
    found = modules(world, tally)
    assert [one.name for one in found] == ["zram", "dummy"]
    assert found[0].symbols is None
    assert shown(found[1]) == [Symbol("dummy_xmit", UP | 0xC0560010, 4, 16)]
    assert tally.counts() == {("modules", "unknown"): 1}


def test_a_list_without_end() -> None:
    """A circle that leaves out the head, and one into nothing: what was found, and a count."""
    for broken in (None, 0x10):
        world = linux_modules.world_with("6.12", [])
        world.symbols.clear()
        zram, dummy = linux_modules.load(world, [ZRAM, DUMMY])
        dummy.put("list.next", broken or zram.at("list"))
        tally = Tally()
        assert [one.name for one in modules(world, tally)][:2] == ["zram", "dummy"]
        assert tally.counts()["modules", "unknown"] >= 1


def test_names_beyond_all_strings() -> None:
    """A place of a name that no table reaches is not believed, nor read for."""
    world = linux_modules.world_with("6.12", [])
    world.symbols.clear()
    (zram,) = linux_modules.load(world, [ZRAM])
    entry = zram.get("core_kallsyms.symtab") + 24
    for place in (0xFFFFFFFF, 1 << 27):
        world.write(entry, world.number(place, 4))
        (module,) = modules(world)
        assert module.symbols is None
    world.write(entry, world.number(5000, 4))
    (module,) = modules(world)
    assert [one.name for one in shown(module)] == [one.name for one in SHOWN[1:]]


def test_exports_without_number() -> None:
    """More than any module has are none."""
    world = linux_modules.world_with("6.12", [])
    world.symbols.clear()
    (zram,) = linux_modules.load(world, [ZRAM])
    zram.put("num_syms", 0xFFFFFFFF)
    (module,) = modules(world)
    assert [one.type for one in shown(module)] == [4, 4, 4, 6, 8, 6, 4, 6, 2]
