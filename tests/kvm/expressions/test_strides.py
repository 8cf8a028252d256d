"""Which sums over CPUs are one read?"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from fakes.compiling import ALLOCATION, PERCPU, Forged, forged
from forge import cdecl

from kvm_exporter.kvm.expressions.compiling.kernel import Kernel
from kvm_exporter.kvm.expressions.compiling.reads import Reads
from kvm_exporter.kvm.expressions.compiling.strides import copied
from kvm_exporter.kvm.expressions.program import ABSOLUTE, Formula, Read, Sum, Value
from kvm_exporter.kvm.expressions.running.chunks import GAP
from kvm_exporter.kvm.target import Target

TEXTS = """
struct cell { int c_in; u_short c_small; unsigned long c_array[3]; u_int c_low:3; _Bool c_true; };
struct atomic { struct { int counter; } a_in; };
struct wide { int w_number; char w_pad[1020]; };
struct cell cell, *own; double share; struct atomic kept; struct cell cells[2];
int number, cpu_array[8]; struct wide wide_array[8];
"""
START = 0x40000


def kernel(abi: cdecl.Abi = cdecl.AMD64) -> Forged:
    """CPUs 0, 2 and 5 have copies of all variables but the arrays."""
    made = forged(TEXTS, abi)
    made.cpu_numbers = (0, 2, 5)
    for place, name in enumerate(made.c.variables):
        kind = "plain" if name.endswith("_array") else "percpu"
        made.put(name, START + 0x100000 * place, kind)
    return made


def distances(one: int, numbers: tuple[int, ...] = (2, 5)) -> tuple[int, ...]:
    """How far the copies of these CPUs are from the first."""
    return tuple(one * number for number in numbers)


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("number", "i"),
        ("cell.c_small", "H"),
        ("cell.c_array[1]", "Q"),
        ("cells[1].c_array[2]", "Q"),
        ("kept", "i"),
    ],
)
def test_integers_are_one_read(expression: str, code: str) -> None:
    """However many CPUs, and whatever the integer is wrapped in."""
    (read,) = kernel().one(expression).reads
    assert (read.base, read.code, read.copies) == (ABSOLUTE, code, distances(PERCPU))


def test_elements_are_one_read_each() -> None:
    """Of an array of each CPU, every element is a sum of its own."""
    found = kernel().one("cell.c_array[*]")
    assert [one.value for one in found.series] == [
        Sum((Value(number),), 64, signed=False) for number in range(3)
    ]
    assert {read.copies for read in found.reads} == {distances(PERCPU)}


@pytest.mark.parametrize("expression", ["own->c_in", "cell.c_low", "share", "cell.c_true"])
def test_what_is_more_than_a_place_is_read_for_each_cpu(expression: str) -> None:
    """Behind pointers of their own; bit-fields, fractions and truths are not added up as read."""
    assert {read.copies for read in kernel().one(expression).reads} == {()}


def test_each_cpus_series_are_reads_of_their_own() -> None:
    """With cpu: each, and with one CPU, nothing is added up."""
    some = kernel()
    assert [one.copies for one in some.one("number", cpu="each").reads] == [()] * 3
    some.cpu_numbers = (2,)
    found = some.one("number")
    assert found.reads == (Read(ABSOLUTE, some.variables["number"][1] + 2 * PERCPU, "i"),)
    assert found.series[0].value == Value(0)


def test_elements_by_cpu() -> None:
    """``[cpu]`` of an array is one read where its elements are far apart: else they are one piece
    of memory."""
    some = kernel()
    assert [one.copies for one in some.one("cpu_array[cpu]").reads] == [()] * 3
    (read,) = some.one("wide_array[cpu].w_number").reads
    assert read.copies == distances(1024)


@pytest.mark.parametrize("abi", [cdecl.AMD64, cdecl.I386])
def test_distances_are_told_in_one_way(abi: cdecl.Abi) -> None:
    """Copies before the first, or behind the end of all addresses, are as far as others: the same
    reads share a layout."""
    some = kernel(abi)
    all_addresses = 1 << 8 * abi.pointer
    expected = (all_addresses - 2 * PERCPU, all_addresses - 5 * PERCPU)
    for more in (0, all_addresses, -3 * all_addresses):
        some.of_cpu = lambda address, cpu, more=more: address - PERCPU * cpu + (cpu and more)
        assert [one.copies for one in some.one("number").reads] == [expected]


def parts(offsets: Mapping[int, int], *, apart: bool = False) -> tuple[tuple[Formula, ...], Reads]:
    """What is added up of the copies at these places, and what is read for it."""
    some, reads = kernel(), Reads(apart=apart)
    asked = Kernel(Target(some, some, None, some.abi, None), some, {})
    return copied(asked, reads, Read(3, 0, "I"), offsets.values()), reads


def test_apart() -> None:
    """Who wants to see each CPU's copy has a read for each."""
    places = {0: 16, 2: 16 + ALLOCATION}
    assert parts(places, apart=True)[1].all == (
        Read(3, 16, "I"),
        Read(3, 16 + ALLOCATION, "I"),
    )
    assert parts(places)[1].all == (Read(3, 16, "I", copies=(ALLOCATION,)),)


def test_near_copies() -> None:
    """If any two are so near that they would be read at once, each is a read; in any order."""
    assert len(parts({0: 16, 2: 1 << 20, 5: 16 + GAP})[0]) == 3
    assert len(parts({0: 16, 2: 1 << 20, 5: 17 + GAP})[0]) == 1
    assert parts({0: 16, 2: 16})[0] == (Value(0), Value(0))
