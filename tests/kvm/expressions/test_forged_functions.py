"""Do sum(), ntohs(), sizeof() and percpu() give what they are for, and joined labels as well?"""

from __future__ import annotations

import pytest
from fakes.counted import ask, values
from forge.counting import MACHINES, Counting

from kvm_exporter.kvm.expressions.wanted import List, Metric, Step


@pytest.fixture(params=MACHINES)
def kernel(request: pytest.FixtureRequest) -> Counting:
    """A kernel of each machine, with network stacks."""
    kernel = Counting(request.param, jails={"web": 3})
    kernel.declare(
        "struct port { uint16_t p_port; uint32_t p_address; short p_signed; };"
        "struct disk { char d_name[4]; int d_unit; short d_sizes[3]; u_char d_wide[2]; };"
    )
    return kernel


def test_an_index_is_summed_away(kernel: Counting) -> None:
    """All elements, some, members of them, of arrays in arrays; what is left has its labels."""
    kernel.variable("int a[4]", [1, 2, 3, -10])
    kernel.variable("short grid[2][3]", [[1, 2, 3], [10, 20, 30]])
    kernel.variable("struct disk disks[2]", [{"d_unit": 5}, {"d_unit": 6}])
    kernel.variable("int *p", kernel.variable("int b[3]", [7, 8, 9]))
    expected = {
        "sum(a[*])": -4,
        "sum(a[1:3])": 5,
        "sum(a[*]) * 2 + 1": -7,
        "sum(a[*] * a[*])": 114,
        "sum(grid[*][*])": 66,
        "sum(grid[1][*])": 60,
        "sum(disks[*].d_unit)": 11,
        "sum(p[0:3])": 24,
        "sum(a[0])": 1,
        "sum(sum(a[*]))": -4,
    }
    assert values(kernel, list(expected)) == expected


def test_sums_of_elements_are_exact(kernel: Counting) -> None:
    """Elements are different things, unlike the copies of one: only 64 bits wrap."""
    kernel.variable("uint16_t narrow[3]", [65535] * 3)
    kernel.variable("int32_t signed_[3]", [2**31 - 1] * 3)
    kernel.variable("uint32_t counts[2]", [2**32 - 1, 2])
    kernel.variable("uint64_t wide[2]", [2**64 - 1, 3])
    kernel.variable("double parts[2]", [0.25, 0.5])
    expected = {
        "sum(narrow[*])": 3 * 65535,
        "sum(signed_[*])": 3 * (2**31 - 1),
        "sum(counts[*])": 2**32 + 1,
        "sum((uint64_t)counts[*])": 2**32 + 1,
        "sum(wide[*])": 2,
        "sum(parts[*])": 0.75,
    }
    assert values(kernel, list(expected)) == expected


def test_cpus_and_stacks_stay_apart_in_a_sum(kernel: Counting) -> None:
    """sum() folds indexes; CPUs are folded as the metric says, and jails never."""
    kernel.percpu("u_int loads[2]", {0: [1, 2], 2: [10, 20], 5: [100, 200]})
    kernel.vnet("u_int packets[2]", {"": [1, 2], "web": [30, 40]})
    kernel.variable("counter_u64_t counted[2]", kernel.counters([[1, 2, 3], [4, 5, 6]]))
    one = Metric("one", ("sum(loads[*])",))
    each = Metric("each", ("sum(loads[*])",), cpu="each")
    jails = Metric("jails", ("sum(packets[*])",), vnet="all")
    counted = Metric("counted", ("sum(counted[*])",))
    apart = Metric("apart", ("sum(counted[*])",), cpu="each")
    found = ask(kernel, [one, each, jails, counted, apart])
    assert found["one"] == {(): 333}
    assert found["each"] == {
        (("cpu", str(cpu)),): load for cpu, load in ((0, 3), (2, 30), (5, 300))
    }
    assert found["jails"] == {(("jail", ""),): 3, (("jail", "web"),): 70}
    assert found["counted"] == {(): 21}
    assert found["apart"] == {(("cpu", str(cpu)),): one for cpu, one in ((0, 5), (2, 7), (5, 9))}


def test_a_sum_of_what_cannot_be_read_is_none(kernel: Counting) -> None:
    """Never a sum of the rest."""
    kernel.variable("int one", 1)
    kernel.variable("int *p[3]", [kernel.variable("int two", 2), None, 0x10])
    assert values(kernel, ["sum(p[*][0])", "sum(p[0:1][0])"]) == {
        "sum(p[*][0])": {},
        "sum(p[0:1][0])": 2,
    }


def test_numbers_in_network_byte_order(kernel: Counting) -> None:
    """The most significant byte comes first, whatever the machine's own order is."""
    port, address = b"\x1f\x90", b"\xc0\xa8\x01\x02"
    order = kernel.world.byteorder
    kernel.variable(
        "struct port here",
        {
            "p_port": int.from_bytes(port, order),
            "p_address": int.from_bytes(address, order),
            "p_signed": int.from_bytes(b"\x80\x01", order, signed=True),
        },
    )
    expected = {
        "ntohs(here.p_port)": 8080,
        "ntohl(here.p_address)": 0xC0A80102,
        "ntohs(here.p_signed)": 0x8001,
        "ntohs(here.p_port) + 1": 8081,
    }
    assert values(kernel, list(expected)) == expected


def test_sizes(kernel: Counting) -> None:
    """Of types, of variables and members, of elements; of a struct as this kernel has it."""
    kernel.variable("struct disk disks[2]")
    kernel.variable("struct disk *pointer", None)
    word = kernel.c.abi.pointer
    expected = {
        "sizeof(struct disk)": 16,
        "sizeof(disks)": 32,
        "sizeof(disks[1].d_sizes)": 6,
        "sizeof(pointer)": word,
        "sizeof(*pointer)": 16,
        "sizeof(struct disk *)": word,
        "sizeof(u_long)": word,
        "sizeof(int[3])": 12,
        "sizeof(disks) / sizeof(disks[0])": 2,
    }
    assert values(kernel, list(expected)) == expected


def test_labels_of_several_parts(kernel: Counting) -> None:
    """Texts and numbers, joined without anything between; without a part there is no series."""
    disks = [{"d_name": "da", "d_unit": 0}, {"d_name": "nvd", "d_unit": 12}]
    kernel.variable("struct disk disks[2]", disks)
    kernel.variable("char *nowhere", 0x10)
    metric = Metric("unit", ("d_unit",))
    lists = [
        List("disks", (Step(("disks[*]",)),), (metric,), {"device": ("d_name", "d_unit")}),
        List("said", (Step(("disks[*]",)),), (metric,), {"device": ("=disk-", "d_unit", "=!")}),
        List("lost", (Step(("disks[*]",)),), (metric,), {"device": ("d_name", "nowhere")}),
    ]
    joined, said, lost = (ask(kernel, lists=[one])["unit"] for one in lists)
    assert joined == {(("device", "da0"),): 0, (("device", "nvd12"),): 12}
    assert said == {(("device", "disk-0!"),): 0, (("device", "disk-12!"),): 12}
    assert lost == {}


@pytest.mark.parametrize(
    "expression",
    [
        "sum(a)",
        "sum(p)",
        "sum(&a)",
        "ntohs(p)",
        "percpu(a)",
        "percpu(1)",
        "sizeof(1 + 1)",
        "abs(1)",
    ],
)
def test_what_a_function_cannot_be_of(kernel: Counting, expression: str) -> None:
    """A reason with the column."""
    kernel.variable("int *p", kernel.variable("int a[3]", [1, 2, 3]))
    assert f"{expression}: column " in str(values(kernel, [expression])[expression])
