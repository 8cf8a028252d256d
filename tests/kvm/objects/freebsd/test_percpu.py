"""Is each CPU's own found, whatever way the kernel goes to its copy?"""

from __future__ import annotations

import pytest
from fakes.world import target
from forge import cdecl
from forge.system_structs import MODERN, OLD
from forge.system_world import CPUS, PAGE, Cpus
from forge.world import World

from kvm_exporter.kvm.errors import FormatError, KvmError, SymbolMissing
from kvm_exporter.kvm.objects.freebsd.percpu import MOST_CPUS, PerCpu


def percpu(world: World) -> PerCpu:
    """The CPUs of a world."""
    return PerCpu(target(world), PAGE)


@pytest.mark.parametrize("abi", [cdecl.AMD64, cdecl.I386, cdecl.POWERPC64, cdecl.POWERPC])
@pytest.mark.parametrize("declarations", [MODERN, OLD])
def test_copies_are_a_page_apart(abi: cdecl.Abi, declarations: str) -> None:
    """From the address itself on, with gaps where a CPU is absent."""
    world = World(declarations, abi)
    cpus = Cpus(world)
    base = cpus.counter((5, 7))
    found = percpu(world)
    assert dict(found.addresses) == {cpu: cpus.pcpu[cpu].address for cpu in CPUS}
    assert [found.copy(base, cpu) for cpu in CPUS] == [base + PAGE * cpu for cpu in CPUS]
    assert found.counter(base) == 12


@pytest.mark.parametrize("abi", [cdecl.AMD64, cdecl.I386])
def test_an_address_may_be_a_distance(abi: cdecl.Abi) -> None:
    """Each CPU's pc_zpcpu_offset leads from it to the copy, as on amd64."""
    world = World(MODERN, abi)
    cpus = Cpus(world, distance=True)
    base = cpus.counter((5, 7))
    found = percpu(world)
    assert base < PAGE
    assert [found.copy(base, cpu) for cpu in CPUS] == [
        cpus.area + base,
        cpus.area + 2 * PAGE + base,
    ]
    assert found.counter(base) == 12


@pytest.mark.parametrize("declarations", [MODERN, OLD])
def test_the_size_is_the_kernels_own(declarations: str) -> None:
    """That of its struct pcpu, whatever this machine's headers say."""
    world = World(declarations)
    Cpus(world)
    assert percpu(world).size == world.c.size("struct pcpu")


@pytest.mark.parametrize("cpu", [1, 3, 99, -1])
def test_an_absent_cpu_has_no_copy(cpu: int) -> None:
    """An error that names it, and no address of something else."""
    world = World(MODERN)
    base = Cpus(world).counter((5, 7))
    with pytest.raises(KvmError, match=f"CPU {cpu} is not there"):
        percpu(world).copy(base, cpu)


def test_a_pointer_called_pcpu_is_where_distances_start() -> None:
    """Without pc_zpcpu_offset: amd64 as of 13, where __pcpu is a pointer."""
    world = World(OLD)
    cpus = Cpus(world, distance=True)
    world.define("__pcpu", "pointer", cpus.area)
    assert percpu(world).counter(cpus.counter((5, 7))) == 12


def test_an_array_called_pcpu_starts_nothing() -> None:
    """Before that it is an array of structs."""
    world = World(OLD)
    cpus = Cpus(world)
    world.define("__pcpu", "char", b"\x40" * PAGE)
    assert percpu(world).counter(cpus.counter((5, 7))) == 12


def test_counters_are_taken_modulo_64_bits() -> None:
    """One CPU's copy can be below zero."""
    world = World(MODERN)
    cpus = Cpus(world)
    assert percpu(world).counter(cpus.counter((2**64 - 1, 3))) == 2
    assert percpu(world).counter(cpus.counter((2**64 - 3, 1))) == 2**64 - 2


@pytest.mark.parametrize("distance", [False, True])
def test_a_counter_that_is_not_allocated_is_no_number(distance: bool) -> None:
    """EARLY_COUNTER is a place in the first CPU's struct pcpu; a null pointer is none, too."""
    world = World(MODERN)
    cpus = Cpus(world, distance=distance)
    first = cpus.pcpu[0]
    early = first.at("pc_early_dummy_counter") - (cpus.area if distance else 0)
    for base in (early % 2**64, 0):
        with pytest.raises(FormatError, match="not allocated"):
            percpu(world).counter(base)


@pytest.mark.parametrize("number", [-1, MOST_CPUS, 2**31 - 1])
def test_a_damaged_highest_number_is_not_believed(number: int) -> None:
    """It bounds an array that would be read."""
    world = World(MODERN)
    world.define("cpuid_to_pcpu", "pointer", 0)
    world.define("mp_maxid", "int", number)
    with pytest.raises(FormatError, match="mp_maxid"):
        _ = percpu(world).addresses


def test_a_kernel_without_cpus_is_damaged() -> None:
    """All pointers are NULL."""
    world = World(MODERN)
    world.define("mp_maxid", "int", 1)
    world.define("cpuid_to_pcpu", "pointer", [0, 0])
    with pytest.raises(FormatError, match="no CPU"):
        _ = percpu(world).addresses


def test_no_array_is_a_missing_symbol() -> None:
    """The message names it."""
    world = World(MODERN)
    world.define("mp_maxid", "int", 1)
    with pytest.raises(SymbolMissing, match="cpuid_to_pcpu"):
        _ = percpu(world).addresses
