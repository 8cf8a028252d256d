"""Are a dead kernel's names one table: its own, its modules', its CPUs' and its network stacks'?"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fakes.sources import Bytes
from fakes.world import target
from forge import cdecl, elf, linker
from forge.elf import GLOBAL, LOCAL, OBJECT, Sym
from forge.linker import Loaded
from forge.world import World

from kvm_exporter.kvm.errors import Fault, KvmError
from kvm_exporter.kvm.memory import Symbol
from kvm_exporter.kvm.symbols.elfsymtab import read_symbols
from kvm_exporter.kvm.symbols.joined import DeadSymbols
from kvm_exporter.kvm.symbols.linker_files import LinkerFiles
from kvm_exporter.kvm.tally import Tally

ABIS = {"amd64": cdecl.AMD64, "i386": cdecl.I386, "powerpc64": cdecl.POWERPC64}
PCPU, VNET = 0x81000000, 0x82000000
"""The kernel's sets, of 4 KB each; the last KB of each is what modules get."""
DISTANCES = (0x1000000, 0x2345000, 0, 0x40000)
"""dpcpu_off of four CPUs, of which one is absent."""
BASES = (0x5000000, 0x6000000)
"""vnet_data_base of the host and of a jail."""
MAGIC = 0x5E4A6F28
MODULE = 0xC2000000

KERNEL = [
    Sym("allproc", 0x80203000, 8, OBJECT, GLOBAL, ".data"),
    Sym("pcpu_entry_tdq", PCPU + 0x100, 64, OBJECT, GLOBAL, "set_pcpu"),
    Sym("pcpu_entry_both", PCPU + 0x200, 8, OBJECT, LOCAL, "set_pcpu"),
    Sym("vnet_entry_both", VNET + 0x200, 8, OBJECT, GLOBAL, "set_vnet"),
    Sym("vnet_entry_ipstat", VNET + 0x300, 8, OBJECT, GLOBAL, "set_vnet"),
    Sym("vnet_entry_odd", 0x80203010, 8, OBJECT, GLOBAL, ".data"),
]
SHARED_SETS = (
    *(MODULE + 0x5400, MODULE + 0x5480, PCPU + 0xC00),
    *(MODULE + 0x5500, MODULE + 0x5580, VNET + 0xC00),
)
SHARED = Loaded(
    "shared.ko",
    "/shared.ko",
    MODULE + 0x5000,
    0x2000,
    [
        Sym("shared_list", 0x100, 8, OBJECT, LOCAL, ".data"),
        Sym("pcpu_entry_spin", 0x410, 8, OBJECT, GLOBAL, ".data"),
        Sym("vnet_entry_gif", 0x510, 8, OBJECT, GLOBAL, ".data"),
    ],
    {".data": 3},
    relocatable=False,
    sets=SHARED_SETS,
)
RELOCATED = Loaded(
    "a.ko",
    "/a.ko",
    MODULE,
    0x2000,
    [
        Sym("a_list", MODULE + 0x100, 8, OBJECT, LOCAL, ".data"),
        Sym("allproc", MODULE + 0x200, 8, OBJECT, LOCAL, ".data"),
        Sym("pcpu_entry_a", PCPU + 0xD00, 8, OBJECT, LOCAL, ".data"),
        Sym("vnet_entry_a_v", VNET + 0xD00, 8, OBJECT, LOCAL, ".data"),
    ],
    {".data": 3},
)


class Dead:
    """A forged dead kernel of one machine; ``magic`` is that of its network stacks."""

    def __init__(self, machine: str = "amd64", magic: int = MAGIC, cpus: int = 4) -> None:
        self.mask = (1 << ABIS[machine].pointer * 8) - 1
        world = self.world = World(linker.DECLARATIONS, ABIS[machine])
        linker.load(world, [RELOCATED, SHARED])
        world.define("mp_maxcpus", "int", cpus)
        world.define("dpcpu_off", "u_long", list(DISTANCES))
        self.vnets = [
            world.new("struct vnet", vnet_magic_n=magic, vnet_data_base=base) for base in BASES
        ]
        world.list(world.define("vnet_head", "struct vnet_list_head", {}), self.vnets, "vnet_le")
        world.define("vnet0", "pointer", self.vnets[0])
        variables = [Sym(one.name, one.address, one.size) for one in world.symbols]
        file = elf.kernel(
            machine, [*KERNEL, *variables], base=0x80200000, pcpu=(PCPU, 4096), vnet=(VNET, 4096)
        )
        self.tally = Tally()
        self.target = target(world, self.tally)
        self.symbols = DeadSymbols(read_symbols(Bytes(file)), self.target.memory, self.tally)
        self.symbols.find_modules_with(lambda: LinkerFiles(self.target, lambda _name, _path: None))

    def values(self, *names: str) -> list[int | None]:
        """The addresses of names."""
        return [found and found.value for found in self.symbols.lookup(names)]


@pytest.mark.parametrize("machine", ABIS)
def test_bare_names_are_the_copies_of_the_host_and_the_first_cpu(machine: str) -> None:
    """The template moves by dpcpu_off and by vnet_data_base; the network stack comes first."""
    dead = Dead(machine)
    assert dead.values("tdq", "_tdq", "ipstat", "both") == [
        PCPU + 0x100 + DISTANCES[0],
        PCPU + 0x100 + DISTANCES[0],
        VNET + 0x300 + BASES[0],
        VNET + 0x200 + BASES[0],
    ]
    assert dead.tally.counts() == {}


def test_types_and_sizes_are_those_of_the_template() -> None:
    """A dead nlist keeps real types, and the name that was asked."""
    found = Dead().symbols.lookup(["_tdq", "allproc", "nosuch"])
    assert found == [
        Symbol("_tdq", PCPU + 0x100 + DISTANCES[0], 7, 64),
        Symbol("allproc", 0x80203000, 7, 8),
        None,
    ]


@pytest.mark.parametrize("machine", ABIS)
def test_any_cpu_and_any_network_stack_can_be_chosen(machine: str) -> None:
    """Absent CPUs and what is no vnet have no copies; the other set still has."""
    dead = Dead(machine)
    for cpu, distance in enumerate((*DISTANCES, 0)):
        dead.symbols.cpu = cpu
        assert dead.values("tdq") == [PCPU + 0x100 + distance if distance else None]
    dead.symbols.cpu = -1
    assert dead.values("tdq") == [None]
    assert dead.symbols.vnets() == [vnet.address for vnet in dead.vnets]
    for address, base in zip(dead.symbols.vnets(), BASES, strict=True):
        dead.symbols.vnet = address
        assert dead.values("ipstat") == [VNET + 0x300 + base]
    dead.symbols.vnet = dead.vnets[0].address + 8
    dead.symbols.cpu = 1
    assert dead.values("ipstat", "tdq") == [None, PCPU + 0x100 + DISTANCES[1]]


@pytest.mark.parametrize("machine", ABIS)
def test_modules_variables_have_copies_as_well(machine: str) -> None:
    """A relocatable module's are in the kernel's sets already; a shared one's are moved there."""
    dead = Dead(machine)
    assert dead.values("a", "a_v", "spin", "gif") == [
        PCPU + 0xD00 + DISTANCES[0],
        VNET + 0xD00 + BASES[0],
        PCPU + 0xC10 + DISTANCES[0],
        VNET + 0xC10 + BASES[0],
    ]


def test_a_prefixed_name_is_the_template() -> None:
    """Also a module's own."""
    assert Dead().values("pcpu_entry_tdq", "vnet_entry_ipstat", "pcpu_entry_spin") == [
        PCPU + 0x100,
        VNET + 0x300,
        MODULE + 0x5410,
    ]


def test_what_lies_outside_the_set_is_not_moved() -> None:
    """Whatever its name begins with."""
    assert Dead().values("odd") == [0x80203010]


def test_the_kernel_comes_before_its_modules() -> None:
    """A module's symbols are found where the kernel has none of that name."""
    assert Dead().values("allproc", "a_list", "_shared_list") == [
        0x80203000,
        MODULE + 0x100,
        MODULE + 0x5100,
    ]


def test_a_displaced_kernel_has_displaced_sets() -> None:
    """The bounds of a set move with its symbols; what is read, is read where it really is."""
    dead = Dead()
    dead.symbols.kernel.displacement = 0x100000
    moved = World(linker.DECLARATIONS)
    for variable in ("mp_maxcpus", "dpcpu_off", "vnet0"):
        (old,) = (one for one in dead.world.symbols if one.name == variable)
        moved.bytes(dead.world.read(old.address, old.size), old.address + 0x100000)
    moved.bytes(dead.world.read(dead.vnets[0].address, 64), dead.vnets[0].address)
    symbols = DeadSymbols(dead.symbols.kernel, target(moved).memory, dead.tally)
    assert [found and found.value for found in symbols.lookup(["tdq", "ipstat"])] == [
        PCPU + 0x100100 + DISTANCES[0],
        VNET + 0x100300 + BASES[0],
    ]


def test_a_vnet_of_the_wrong_magic_is_not_believed() -> None:
    """Then there is no copy, and no list."""
    dead = Dead(magic=MAGIC + 1)
    assert dead.values("ipstat", "tdq") == [None, PCPU + 0x100 + DISTANCES[0]]
    assert dead.symbols.vnets() == []


@pytest.mark.parametrize("cpus", [0, -1, -(2**31)])
def test_a_kernel_with_no_cpus_has_no_copies(cpus: int) -> None:
    """A damaged mp_maxcpus."""
    assert Dead(cpus=cpus).values("tdq") == [None]


def test_a_circle_of_network_stacks_ends() -> None:
    """Each is told once."""
    dead = Dead()
    dead.vnets[1].put("vnet_le.le_next", dead.vnets[0])
    assert dead.symbols.vnets() == [vnet.address for vnet in dead.vnets]


def test_unreadable_memory_costs_the_copies_only() -> None:
    """Templates and the kernel's own symbols stay; what failed is counted."""
    dead = Dead()

    class Gone:
        def read(self, address: int, length: int) -> bytes:
            raise Fault(address, "no page")

        def write(self, address: int, data: bytes) -> int:
            raise AssertionError

        def close(self) -> None:
            raise AssertionError

    tally = Tally()
    symbols = DeadSymbols(dead.symbols.kernel, Gone(), tally)
    found = symbols.lookup(["tdq", "ipstat", "pcpu_entry_tdq", "allproc"])
    assert [one and one.name for one in found] == [None, None, "pcpu_entry_tdq", "allproc"]
    assert tally.counts() == {("linker sets", "unknown"): 2}


def test_modules_are_looked_for_once_and_only_when_needed() -> None:
    """While they are, only the kernel's symbols are there; a failure is counted once."""
    dead = Dead()
    calls: list[object] = []

    def find() -> Iterator[object]:
        calls.append(dead.values("allproc", "a_list"))
        raise KvmError("nothing known of struct linker_file")
        yield

    dead.symbols.find_modules_with(find)  # type: ignore[arg-type]
    assert dead.values("allproc", "tdq") == [0x80203000, PCPU + 0x100 + DISTANCES[0]]
    assert calls == [[0x80203000, None]]
    assert dead.values("a_list", "nosuch") == [None, None]
    assert len(calls) == 1
    assert dead.symbols.modules == ()
    assert dead.tally.counts() == {("linker_files", "unknown"): 1}


def test_an_address_is_a_modules_or_the_kernels() -> None:
    """A module's within its bounds, the kernel's anywhere else."""
    dead = Dead()

    def at(address: int) -> tuple[str, int] | None:
        place = dead.symbols.at(address)
        return (place.symbol.name, place.offset) if place else None

    assert at(MODULE + 0x108) == ("a_list", 8)
    assert at(MODULE + 0x5101) == ("shared_list", 1)
    assert at(0x80203004) == ("allproc", 4)
    assert at(PCPU + 0x100) == ("pcpu_entry_tdq", 0)
    assert at(MODULE + 0x8000) is None


def test_iteration_and_patterns_cover_kernel_and_modules() -> None:
    """Each symbol once, the kernel's first."""
    names = [symbol.name for symbol in Dead().symbols]
    assert names[0] == "allproc"
    assert names[-3:] == ["shared_list", "pcpu_entry_spin", "vnet_entry_gif"]
    found = Dead().symbols.search(re.compile("a.*l.*"))
    assert [(one.name, one.value) for one in found] == [
        ("allproc", 0x80203000),
        ("a_list", MODULE + 0x100),
        ("allproc", MODULE + 0x200),
    ]


@pytest.mark.parametrize("machine", ABIS)
def test_a_template_is_found_by_its_own_name_only(machine: str) -> None:
    """Where it is linked, of the kernel or of a module; no copy is, and no other spelling."""
    symbols = Dead(machine).symbols
    found = {
        name: symbols.template(name)
        for name in ("pcpu_entry_tdq", "vnet_entry_gif", "allproc", "tdq", "_allproc", "gif", "")
    }
    assert {name: one.value for name, one in found.items() if one} == {
        "pcpu_entry_tdq": PCPU + 0x100,
        "vnet_entry_gif": MODULE + 0x5510,
        "allproc": 0x80203000,
    }
