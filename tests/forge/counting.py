"""What would a FreeBSD kernel that counts everything keep in memory?  Variables of any C type.

    kernel = Counting(POWERPC64, cpus=(0, 2, 5))
    kernel.declare("struct counts { u_int c_in, c_out; };")
    kernel.variable("struct counts total", {"c_in": 7})
    kernel.percpu("u_long switches", {0: 10, 2: 20, 5: 30})         # DPCPU_DEFINE
    kernel.vnet("struct counts ipcounts", {"": {"c_in": 1}, "web": {"c_in": 2}})   # VNET_DEFINE
    kernel.variable("counter_u64_t packets", kernel.counter([1, 2, 3]))

Written from sys/sys/pcpu.h (DPCPU), sys/net/vnet.h (VNET), sys/sys/counter.h and sys/vm/uma.h
(UMA_ZONE_PCPU); it shares nothing with the package.  Templates of per-CPU and network-stack
variables hold TEMPLATE: whoever reads one has not looked for a copy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from forge import cdecl
from forge.ctf import Ctf
from forge.elf import Sym, kernel
from forge.linker import DECLARATIONS as LINKER
from forge.linker import Loaded, load
from forge.world import NOTYPE, OBJECT, Thing, World

MACHINES: Mapping[str, cdecl.Abi] = {
    "amd64": cdecl.AMD64,
    "aarch64": cdecl.AARCH64,
    "powerpc64": cdecl.POWERPC64,
    "i386": cdecl.I386,
    "armv7": cdecl.ARMV7,
    "powerpc": cdecl.POWERPC,
}
"""Both word sizes, both byte orders; 64 bits are aligned to 4 on one, char often has no sign."""

SET = 0x4000
"""Bytes of a linker set."""

TEMPLATE = b"\xee"
"""What a template is full of."""

PAGE = 4096
MAGIC = 0x5E4A6F28
LIVING, DYING = 1, 2

DECLARATIONS = (
    LINKER
    + """
struct pcpu {
    u_int pc_cpuid; uint64_t pc_early_dummy_counter; u_long pc_zpcpu_offset; long pc_cp_time[5];
    int8_t pc_vfs_freevnodes;
};
TAILQ_HEAD(prisonlist, prison);
struct prison {
    int pr_spare[3]; TAILQ_ENTRY(prison) pr_list; int pr_id; u_int pr_flags; int pr_state;
    struct vnet *pr_vnet; char pr_name[64]; char pr_path[32]; char pr_hostname[32];
};
"""
)

OLD = DECLARATIONS.replace(" u_long pc_zpcpu_offset;", "").replace("int pr_state;", "int pr_uref;")
"""As until 12: copies are a page apart, and a jail lives that somebody uses."""


class Names(NamedTuple):
    """Members of a list's head, and of its entry."""

    first: str
    after: str
    before: str = ""
    last: str = ""

    def head(self, tag: str, element: str) -> str:
        """C's declaration of the head."""
        last = f"struct {element} **{self.last};" if self.last else ""
        return f"struct {tag} {{ struct {element} *{self.first}; {last} }};"

    def entry(self, element: str) -> str:
        """C's declaration of the entry's struct, without a tag."""
        before = f"struct {element} **{self.before};" if self.before else ""
        return f"struct {{ struct {element} *{self.after}; {before} }}"


LISTS = {
    "TAILQ": Names("tqh_first", "tqe_next", "tqe_prev", "tqh_last"),
    "LIST": Names("lh_first", "le_next", "le_prev"),
    "STAILQ": Names("stqh_first", "stqe_next", "", "stqh_last"),
    "SLIST": Names("slh_first", "sle_next"),
    "CK_LIST": Names("clh_first", "cle_next", "cle_prev"),
    "CK_STAILQ": Names("cstqh_first", "cstqe_next", "", "cstqh_last"),
    "CK_SLIST": Names("cslh_first", "csle_next"),
}

RB_HEAD = "struct {0} {{ struct {1} *rbh_root; }};"
RB_ENTRIES = {
    "since 13": "struct {{ struct {0} *rbe_link[3]; }}",
    "before": "struct {{ struct {0} *rbe_left, *rbe_right, *rbe_parent; int rbe_color; }}",
}


class Counting:
    """A kernel whose CPUs are ``cpus``; their numbers may have gaps.

    ``distance``: per-CPU allocations are kept as amd64 keeps them, as their distance from the first
    CPU's struct pcpu.  ``jails`` with a network stack of their own have a number by their name;
    None is a kernel without VIMAGE.  ``old``: as OLD has it.
    """

    def __init__(
        self,
        machine: str = "amd64",
        *,
        cpus: Sequence[int] = (0, 2, 5),
        jails: Mapping[str, int] | None = None,
        distance: bool | None = None,
        base: int | None = None,
        old: bool = False,
    ) -> None:
        self.machine = machine
        self.cpus = tuple(cpus)
        self.world = World(OLD if old else DECLARATIONS, MACHINES[machine], base=base)
        self.c = self.world.c
        self._distance = machine == "amd64" if distance is None else distance
        self._used: dict[str, int] = {}
        self._make_cpus(max(cpus) + 1)
        self.stacks: dict[str, Thing] = {}
        self.data: dict[str, int] = {}
        if jails is not None:
            self._make_stacks(jails)

    # what is counted

    def declare(self, text: str) -> None:
        """More C, of types."""
        self.c.read(text)

    def variable(self, declaration: str, value: object = 0) -> Thing:
        """A variable: ``int foo[3]`` with [1, 2, 3]; numbers, floats, Things, lists, mappings."""
        name, type_ = self._declared(declaration)
        thing = Thing(self.world, _spelled(type_), self.world.bytes(self.encode(name, value)))
        self.world.symbol(name, thing.address, cdecl.size_of(type_))
        return thing

    def percpu(self, declaration: str, values: Mapping[int, object]) -> dict[int, Thing]:
        """A DPCPU variable, with each CPU's value; the Things are the copies."""
        copies = {cpu: self.area[cpu] for cpu in self.cpus}
        return self._templated("set_pcpu", "pcpu_entry_", declaration, copies, values)

    def vnet(self, declaration: str, values: Mapping[str, object]) -> dict[str, Thing]:
        """A VNET variable, with each network stack's value by its jail, "" the host's."""
        return self._templated("set_vnet", "vnet_entry_", declaration, self.data, values)

    def counter(self, values: Sequence[int]) -> int:
        """A new counter of which each CPU has its value; the pointer, as the kernel has it."""
        return self.allocation("uint64_t", values)

    def counters(self, rows: Sequence[Sequence[int]]) -> list[int]:
        """Pointers to counters, as counter(9)'s arrays have them."""
        return [self.counter(row) for row in rows]

    def allocation(self, type_: str, values: Sequence[object]) -> int:
        """UMA_ZONE_PCPU memory of which each CPU has a ``type_``; the pointer to it."""
        found = self.c.type(type_)
        at = self._place("zpcpu", cdecl.size_of(found), PAGE)
        for cpu, value in zip(self.cpus, values, strict=True):
            self.world.write(self.zpcpu + PAGE * cpu + at, self._encoded(found, value))
        return at if self._distance else self.zpcpu + at

    @property
    def early(self) -> int:
        """EARLY_COUNTER (sys/*/include/counter.h)."""
        place = self.pcpu[self.cpus[0]].at("pc_early_dummy_counter")
        return (place - self.zpcpu) % (1 << 8 * self.c.abi.pointer) if self._distance else place

    def new(self, type_: str, **members: object) -> Thing:
        """A struct without a name."""
        found = self.c.type(type_)
        return Thing(self.world, type_, self.world.bytes(self._encoded(found, members)))

    def array(self, type_: str, values: Sequence[object]) -> list[Thing]:
        """Structs one behind the other, without a name."""
        found = self.c.type(type_)
        data = [self._encoded(found, value) for value in values]
        start = self.world.bytes(b"".join(data))
        size = cdecl.size_of(found)
        return [Thing(self.world, type_, start + size * at) for at in range(len(data))]

    def text(self, string: str | bytes) -> int:
        """A C string; where it lies."""
        return self.world.text(string)

    def encode(self, name: str, value: object) -> bytes:
        """The bytes of a declared variable's value."""
        return self._encoded(self.c.variables[name], value)

    # lists, as sys/sys/queue.h, contrib/ck's ck_queue.h and sys/sys/tree.h have them

    def link_list(self, kind: str, head: Thing, elements: Sequence[Thing], entry: str) -> None:
        """Link elements by their member ``entry``; ``kind`` is of LISTS, ``head`` its head."""
        names = LISTS[kind]
        end = head.at(names.first)
        head.put(names.first, None)
        for element in elements:
            self.world.write(end, self.world.pointer(element.address))
            if names.before:
                element.put(f"{entry}.{names.before}", end)
            element.put(f"{entry}.{names.after}", None)
            end = element.at(f"{entry}.{names.after}")
        if names.last:
            head.put(names.last, end)

    def link_tree(self, head: Thing, elements: Sequence[Thing], entry: str) -> None:
        """Make a balanced RB tree of elements that are in order."""
        head.put("rbh_root", self._subtree(elements, entry, None))

    def _subtree(self, part: Sequence[Thing], entry: str, parent: Thing | None) -> Thing | None:
        if not part:
            return None
        middle = len(part) // 2
        node = part[middle]
        sides = (part[:middle], part[middle + 1 :])
        left, right = (self._subtree(one, entry, node) for one in sides)
        up = (parent.address if parent else 0) | (3 if middle % 2 else 0)
        if f"{entry}.rbe_link" in self.c.layout(node.type):
            node.put(f"{entry}.rbe_link", [up, left, right])
        else:
            node.put(f"{entry}.rbe_left", left).put(f"{entry}.rbe_right", right)
            node.put(f"{entry}.rbe_parent", parent).put(f"{entry}.rbe_color", middle % 2)
        return node

    # what it yields

    def file(self, *, ctf: bool = True, compress: bool = True, version: int = 3) -> bytes:
        """The kernel's file: its symbols and its types."""
        symbols = [
            Sym(one.name, one.address, one.size, one.type, section=".data")
            for one in self.world.symbols
        ]
        declared = self.c.variables
        objects = [
            one.name if one.name in declared else None
            for one in self.world.symbols
            if one.type == OBJECT
        ]
        section = Ctf(self.c, version, compress=compress, objects=objects).data if ctf else None
        return kernel(self.machine, symbols, ctf=section)

    # how it is laid out

    def _make_cpus(self, count: int) -> None:
        world = self.world
        self.zpcpu = world.allocate(PAGE * count)
        self.area: dict[int, int] = {cpu: world.allocate(SET) for cpu in self.cpus}
        self._set("set_pcpu")
        first = self.zpcpu if self._distance else 0
        self.pcpu = {cpu: world.new("struct pcpu", pc_cpuid=cpu) for cpu in self.cpus}
        for cpu, pcpu in self.pcpu.items():
            if "pc_zpcpu_offset" in self.c.layout("struct pcpu"):
                pcpu.set(pc_zpcpu_offset=first + PAGE * cpu)
        if self._distance:
            world.define("__pcpu", "pointer", self.zpcpu)
        world.define("mp_maxid", "int", count - 1)
        world.define("mp_maxcpus", "int", count + 3)
        world.define("mp_ncpus", "int", len(self.cpus))
        world.define("cpuid_to_pcpu", "pointer", [self.pcpu.get(at) for at in range(count + 3)])
        start = self.sets["set_pcpu"]
        offsets = [self.area[at] - start if at in self.area else 0 for at in range(count + 3)]
        world.define("dpcpu_off", "u_long", offsets)

    def _make_stacks(self, jails: Mapping[str, int]) -> None:
        world = self.world
        self._set("set_vnet")
        world.define("allprison", "struct prisonlist", {})
        world.define("vnet_head", "struct vnet_list_head", {})
        self.prisons: dict[str, Thing] = {}
        self.stacks[""] = self._stack("")
        world.define("vnet0", "pointer", self.stacks[""])
        for name, jid in jails.items():
            self.stacks[name] = self._stack(name)
            life = {
                "pr_state" if "pr_state" in self.c.layout("struct prison") else "pr_uref": LIVING
            }
            self.prisons[name] = world.new("struct prison", pr_id=jid, pr_flags=0x10, **life)
            self.prisons[name].set(pr_name=name.encode(), pr_vnet=self.stacks[name])
        self.link()

    def _stack(self, jail: str) -> Thing:
        self.data[jail] = self.world.allocate(SET)
        base = self.data[jail] - self.sets["set_vnet"]
        return self.world.new("struct vnet", vnet_magic_n=MAGIC).set(vnet_data_base=base)

    def link(self) -> None:
        """Link the jails and their network stacks, those that are in the tables now."""
        heads = {one.name: one.address for one in self.world.symbols}
        prisons = Thing(self.world, "struct prisonlist", heads["allprison"])
        self.world.tailq(prisons, list(self.prisons.values()), "pr_list")
        stacks = Thing(self.world, "struct vnet_list_head", heads["vnet_head"])
        self.world.list(stacks, list(self.stacks.values())[::-1], "vnet_le")

    def modules(self, modules: Sequence[Loaded]) -> list[Thing]:
        """Load them."""
        return load(self.world, modules)

    @property
    def sets(self) -> dict[str, int]:
        """Where the linker sets start."""
        return {
            one.name.removeprefix("__start_"): one.address
            for one in self.world.symbols
            if one.name.startswith("__start_")
        }

    def _set(self, name: str) -> None:
        start = self.world.bytes(TEMPLATE * SET)
        self.world.symbol(f"__start_{name}", start, 0, NOTYPE)
        self.world.symbol(f"__stop_{name}", start + SET, 0, NOTYPE)

    def _templated(
        self,
        name_of_set: str,
        prefix: str,
        declaration: str,
        copies: Mapping[object, int],
        values: Mapping[object, object],
    ) -> dict[object, Thing]:
        bare = re.search(r"(\w+)((\[.*?\])*)$", declaration)
        assert bare
        start, end = bare.span(1)
        name, type_ = self._declared(declaration[:start] + prefix + bare[1] + declaration[end:])
        size = cdecl.size_of(type_)
        at = self._place(name_of_set, size, SET)
        self.world.symbol(name, self.sets[name_of_set] + at, size)
        found = {key: Thing(self.world, _spelled(type_), base + at) for key, base in copies.items()}
        for key, value in values.items():
            self.world.write(found[key].address, self._encoded(type_, value))
        return found

    def _declared(self, declaration: str) -> tuple[str, cdecl.Type]:
        known = set(self.c.variables)
        self.c.read(declaration + ";")
        [name] = set(self.c.variables) - known
        return name, self.c.variables[name]

    def _encoded(self, type_: cdecl.Type, value: object) -> bytes:
        return self.c.encode(type_, _plain(value))

    def _place(self, area: str, size: int, most: int) -> int:
        at = -(-self._used.get(area, 64) // 16) * 16
        self._used[area] = at + size
        assert at + size <= most, f"{area} is full"
        return at


def _spelled(type_: cdecl.Type) -> str:
    bare = cdecl.bare(type_)
    return f"{bare.kind} {bare.tag}" if isinstance(bare, cdecl.Struct) else "int"


def _plain(value: object) -> object:
    if isinstance(value, Thing):
        return value.address
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return 0 if value is None else value
