"""What does Linux keep of its loaded modules?  The list ``modules`` of struct module.

From include/linux/module.h and kernel/module/kallsyms.c (kernel/module.c), by version:

    3.10   symtab, num_symtab, strtab in struct module; module_core, core_size
    4.18   struct mod_kallsyms; core_layout; nm(1)'s letters in st_info
    5.10   the letters in typetab; struct kernel_symbol has offsets from its own members
    6.1    the same
    6.12   mem[] of struct module_memory

The members between are as many as a reader must not count on; their order is the kernel's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from forge import elf
from forge.cdecl import AMD64, Abi
from forge.world import Thing, World

COMMON = """
struct list_head { struct list_head *next, *prev; };
enum module_state { MODULE_STATE_LIVE, MODULE_STATE_COMING, MODULE_STATE_GOING,
    MODULE_STATE_UNFORMED };
struct mod_tree_node { struct module *mod; void *node[6]; };
"""
START = """
struct module {
    enum module_state state;
    struct list_head list;
    char name[%d];
    void *mkobj[12];
    const char *version;
    const struct kernel_symbol *syms;
    const %s *crcs;
    unsigned int num_syms;
    int num_kp;
"""
LAYOUT = """
struct module_layout {
    void *base; unsigned int size, text_size, ro_size, ro_after_init_size;
    struct mod_tree_node mtn;
};
"""
MEMORY = """
struct module_memory { void *base; %sunsigned int size; struct mod_tree_node mtn; };
"""
PERCPU = "void *percpu; unsigned int percpu_size;"
REFERENCES = "struct kernel_symbol { int value_offset; int name_offset; int namespace_offset; };"
POINTERS = "struct kernel_symbol { unsigned long value; const char *name; };"
KALLSYMS = """
struct mod_kallsyms { void *symtab; unsigned int num_symtab; char *strtab; %s };
"""
END = "struct mod_kallsyms *kallsyms; struct mod_kallsyms core_kallsyms; %s };"

VERSIONS = {
    "3.10": COMMON
    + POINTERS
    + START % (56, "unsigned long")
    + "int (*init)(void); void *module_init, *module_core; unsigned int init_size, core_size;"
    + "unsigned int init_text_size, core_text_size; void *symtab, *core_symtab;"
    + "unsigned int num_symtab, core_num_syms; char *strtab, *core_strtab;"
    + PERCPU
    + "};",
    "4.18": COMMON
    + POINTERS
    + LAYOUT
    + KALLSYMS % ""
    + START % (56, "int")
    + "struct module_layout core_layout, init_layout;"
    + END % PERCPU,
    "5.10": COMMON
    + REFERENCES
    + LAYOUT
    + KALLSYMS % "char *typetab;"
    + START % (56, "int")
    + "struct module_layout core_layout, init_layout;"
    + END % PERCPU,
    "6.12": COMMON
    + REFERENCES
    + MEMORY % "void *rw_copy; bool is_rox; "
    + KALLSYMS % "char *typetab;"
    + START % (56, "unsigned int")
    + "struct module_memory mem[7];"
    + END % PERCPU,
    "6.12 up": COMMON
    + REFERENCES
    + MEMORY % ""
    + KALLSYMS % "char *typetab;"
    + START % (56, "unsigned int")
    + "struct module_memory mem[7];"
    + END % "",
}
"""By kernel; "up" is one without CONFIG_SMP."""


class Line(NamedTuple):
    """A symbol as the module's ELF file has it, and its letter of nm(1), in lower case."""

    letter: str
    symbol: elf.Sym


@dataclass(frozen=True)
class Loaded:
    """A module; ``exported`` are names in its __ksymtab.

    ``areas`` are (address, size): the core and, while it starts, the init part.
    """

    name: str
    lines: Sequence[Line]
    areas: Sequence[tuple[int, int]]
    exported: Sequence[str] = ()
    percpu: int = 0
    state: int = 0
    extra: dict[str, object] = field(default_factory=dict)


def load(world: World, modules: Sequence[Loaded]) -> list[Thing]:
    """Fill in ``modules``: the last one loaded is the first."""
    head = world.define("modules", "struct list_head", {})
    things = [_module(world, one) for one in modules]
    ring = [head.address, *(thing.at("list") for thing in things)]
    for at, after in zip(ring, [*ring[1:], ring[0]], strict=True):
        world.write(at, world.pointer(after))
        world.write(after + world.abi.pointer, world.pointer(at))
    return things


def _module(world: World, one: Loaded) -> Thing:
    thing = world.new("struct module", state=one.state)
    thing.put("name", one.name.encode())
    _tables(world, thing, one)
    _areas(thing, one)
    _exports(world, thing, one)
    if one.percpu and _has(world, "struct module", "percpu"):
        thing.put("percpu", one.percpu).put("percpu_size", 64)
    return thing


def _has(world: World, struct: str, member: str) -> bool:
    return any(one.name == member for one in world.c.type(struct).fields or ())


def _tables(world: World, thing: Thing, one: Loaded) -> None:
    form = elf.Form(world.abi.pointer * 8, world.abi.order, 0)
    entries, strings = elf.symbol_tables(
        form, [".text", ".data", ".bss", ".rodata"], [line.symbol for line in one.lines]
    )
    letters = b"n" + "".join(line.letter for line in one.lines).encode()
    count = len(letters)
    typed = _has(world, "struct module", "kallsyms") and _has(
        world, "struct mod_kallsyms", "typetab"
    )
    if not typed:
        entries = _lettered(form, entries, letters)
    place = {"symtab": world.bytes(entries), "strtab": world.bytes(strings), "num_symtab": count}
    if typed:
        place["typetab"] = world.bytes(letters)
    if _has(world, "struct module", "kallsyms"):
        core = thing.at("core_kallsyms")
        for member, value in place.items():
            thing.put(f"core_kallsyms.{member}", value)
        thing.put("kallsyms", core)
    else:
        thing.set(**place)


def _lettered(form: elf.Form, entries: bytes, letters: bytes) -> bytes:
    size, at = (24, 4) if form.bits == 64 else (16, 12)
    data = bytearray(entries)
    data[at::size] = letters
    return bytes(data)


def _areas(thing: Thing, one: Loaded) -> None:
    world = thing.world
    if _has(world, "struct module", "mem"):
        for number, (start, size) in enumerate(one.areas):
            element = thing.at("mem") + number * world.c.size("struct module_memory")
            Thing(world, "struct module_memory", element).set(base=start, size=size)
        return
    new = ("core_layout.base", "core_layout.size", "init_layout.base", "init_layout.size")
    old = ("module_core", "core_size", "module_init", "init_size")
    names = new if _has(world, "struct module", "core_layout") else old
    values = [value for area in one.areas for value in area]
    for name, value in zip(names, values, strict=False):
        thing.put(name, value)


def _exports(world: World, thing: Thing, one: Loaded) -> None:
    values = {line.symbol.name: line.symbol.value for line in one.lines}
    rows = world.array("struct kernel_symbol", len(one.exported))
    for row, name in zip(rows, one.exported, strict=True):
        value, text = values.get(name, 0x1234), world.text(name)
        if _has(world, "struct kernel_symbol", "value_offset"):
            row.put("value_offset", value - row.at("value_offset"))
            row.put("name_offset", text - row.at("name_offset"))
        else:
            row.set(value=value, name=text)
    if rows:
        thing.put("syms", rows[0]).put("num_syms", len(rows))


def world_with(version: str, modules: Sequence[Loaded], abi: Abi = AMD64) -> World:
    """A World of that kernel's structs, with just these modules."""
    base = 0xFFFFFFFFC0200000 if abi.pointer == 8 else 0xBF800000
    world = World(VERSIONS[version], abi, base=base)
    load(world, modules)
    return world
