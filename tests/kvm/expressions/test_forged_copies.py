"""Are per-CPU and network-stack numbers folded as their type says, or told apart as asked?

Forged kernels of both word sizes and byte orders; CPUs 0, 2 and 5 are there, the others never were.
"""

from __future__ import annotations

import pytest
from fakes.counted import ask, values
from forge.counting import DYING, MACHINES, Counting

from kvm_exporter.kvm.expressions.wanted import Metric

CPUS = (0, 2, 5)
JAILS = {"db": 9, "web": 3}

TYPES = """
struct cell { u_int c_in; int c_level; u_short c_small; uint64_t c_wide; u_int c_array[3]; };
struct tcpstat { uint64_t tcps_a, tcps_b, tcps_c; uint64_t tcps_states[2]; uint64_t tcps_z; };
struct counted {
    int z_pad; counter_u64_t z_allocs; counter_u64_t z_frees[2]; struct cell *z_cells;
    struct cell z_own[6];
};
"""


@pytest.fixture(params=MACHINES)
def kernel(request: pytest.FixtureRequest) -> Counting:
    """A kernel of each machine with three network stacks."""
    kernel = Counting(request.param, cpus=CPUS, jails=JAILS)
    kernel.declare(TYPES)
    return kernel


def by(label: str, numbers: dict[object, object]) -> dict[object, object]:
    """Samples with one label."""
    return {((label, str(key)),): number for key, number in numbers.items()}


def each(kernel: Counting, *expressions: str) -> list[object]:
    """The answers with a series for each CPU."""
    return list(values(kernel, expressions, cpu="each").values())


def of(kernel: Counting, vnet: str, *expressions: str) -> list[object]:
    """The answers of that network stack, or of all."""
    return list(values(kernel, expressions, vnet=vnet).values())


# each CPU's


def test_a_per_cpu_number_is_the_sum_of_its_copies(kernel: Counting) -> None:
    """Of the CPUs that are there."""
    kernel.percpu("u_long switches", {0: 10, 2: 20, 5: 30})
    kernel.percpu("int level", {0: -5, 2: 3, 5: 1})
    kernel.percpu("struct cell cells", {0: {"c_in": 1}, 2: {"c_in": 2}, 5: {"c_in": 4}})
    expected = {"switches": 60, "level": -1, "cells.c_in": 7, "switches * 2": 120}
    assert values(kernel, list(expected)) == expected


def test_sums_of_counters_wrap_as_each_of_them_does(kernel: Counting) -> None:
    """An unsigned number of 32 or 64 bits counts; others are amounts, whose sums are exact."""
    kernel.percpu(
        "struct cell cells",
        {
            0: {"c_in": 2**32 - 1, "c_small": 65535, "c_wide": 2**64 - 3, "c_level": 2**31 - 1},
            2: {"c_in": 3, "c_small": 1, "c_wide": 1, "c_level": 1},
            5: {"c_in": 0, "c_small": 1, "c_wide": 1, "c_level": 1},
        },
    )
    expected = {
        "cells.c_in": 2,
        "cells.c_small": 65537,
        "cells.c_wide": 2**64 - 1,
        "cells.c_level": 2**31 + 1,
    }
    assert values(kernel, list(expected)) == expected


def test_each_cpus_number_has_its_label(kernel: Counting) -> None:
    """By the CPUs' own numbers, which have gaps."""
    kernel.percpu("u_long switches", {0: 10, 2: 20, 5: 30})
    kernel.percpu("struct cell cells", {0: {"c_array": [1, 2, 3]}, 5: {"c_array": [7, 8, 9]}})
    one, two, three = each(kernel, "switches", "cells.c_array[2] + 1", "cells.c_array[*]")
    assert one == by("cpu", {0: 10, 2: 20, 5: 30})
    assert two == by("cpu", {0: 4, 2: 1, 5: 10})
    rows = {0: (1, 2, 3), 2: (0, 0, 0), 5: (7, 8, 9)}
    assert three == {
        (("cpu", str(cpu)), ("index", str(at))): row[at]
        for cpu, row in rows.items()
        for at in range(3)
    }


def test_per_cpu_pointers_are_followed_on_each_cpu(kernel: Counting) -> None:
    """Each copy leads somewhere else; one that is null makes the sum unknown, not smaller."""
    cells = {cpu: kernel.new("struct cell", c_in=10 + cpu) for cpu in CPUS}
    kernel.percpu("struct cell *mine", cells)
    kernel.percpu("struct cell *some", {0: cells[0], 5: cells[5]})
    assert values(kernel, ["mine->c_in", "some->c_in"]) == {"mine->c_in": 37, "some->c_in": {}}
    assert each(kernel, "mine->c_in", "some->c_in") == [
        by("cpu", {0: 10, 2: 12, 5: 15}),
        by("cpu", {0: 10, 5: 15}),
    ]


def test_fractions_are_summed_and_texts_are_not(kernel: Counting) -> None:
    """A text of each CPU is a label of each CPU's series only; nor has a state a sum."""
    kernel.declare("enum state { ST_OFF, ST_ON };")
    kernel.percpu("double share", {0: 0.5, 2: 0.25, 5: 1.5})
    kernel.percpu("enum state state", {0: 1})
    assert values(kernel, ["share"]) == {"share": 2.25}
    assert "state: column 1: " in str(values(kernel, ["state"])["state"])
    assert each(kernel, "share", "state") == [
        by("cpu", {0: 0.5, 2: 0.25, 5: 1.5}),
        by("cpu", {0: 1, 2: 0, 5: 0}),
    ]
    kernel.percpu("char name[8]", {cpu: f"cpu{cpu}" for cpu in CPUS})
    found = ask(kernel, [Metric("m", ("share",), {"name": "name"})])
    assert "name" in found.missing["m"]


def test_a_counter_is_the_sum_of_its_copies(kernel: Counting) -> None:
    """counter_u64_t needs no telling: a variable, a member, an element, behind a pointer."""
    kernel.variable("counter_u64_t packets", kernel.counter([1, 2, 2**64 - 1]))
    kernel.variable("counter_u64_t several[3]", kernel.counters([[1, 1, 1], [2, 2, 2], [3, 3, 4]]))
    zone = {"z_allocs": kernel.counter([5, 6, 7]), "z_frees": kernel.counters([[1, 0, 0]] * 2)}
    thing = kernel.variable("struct counted zone", zone)
    kernel.variable("struct counted *pointer", thing)
    expected: dict[str, object] = {
        "packets": 2,
        "several[1]": 6,
        "several[*]": by("index", {0: 3, 1: 6, 2: 10}),
        "zone.z_allocs": 18,
        "zone.z_allocs - zone.z_frees[1]": 17,
        "pointer->z_allocs": 18,
        "pointer->z_frees[0] * 8": 8,
        "packets + several[0]": 5,
    }
    assert values(kernel, list(expected)) == expected
    one, two = each(kernel, "packets", "zone.z_allocs")
    assert one == by("cpu", {0: 1, 2: 2, 5: 2**64 - 1})
    assert two == by("cpu", {0: 5, 2: 6, 5: 7})


def test_a_counter_that_is_not_allocated_is_unknown(kernel: Counting) -> None:
    """EARLY_COUNTER, which all such share, or a null pointer: no series, never 0."""
    kernel.pcpu[0].put("pc_early_dummy_counter", 4711)
    kernel.variable("counter_u64_t early", kernel.early)
    kernel.variable("counter_u64_t null", 0)
    kernel.variable("counter_u64_t some[3]", [kernel.counter([1, 1, 1]), kernel.early, 0])
    found = values(kernel, ["early", "null", "some[*]"])
    assert found == {"early": {}, "null": {}, "some[*]": by("index", {0: 3})}
    assert each(kernel, "early", "null") == [{}, {}]


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("distance", [False, True])
@pytest.mark.parametrize("machine", MACHINES)
def test_however_a_kernel_keeps_its_per_cpu_pointers(
    machine: str, distance: bool, old: bool
) -> None:
    """As addresses, or as distances from the first CPU's struct pcpu; which may tell the way."""
    kernel = Counting(machine, cpus=(1, 3), distance=distance, old=old)
    kernel.declare(TYPES)
    kernel.variable("counter_u64_t packets", kernel.counter([40, 2]))
    cells = kernel.allocation("struct cell", [{"c_in": 3, "c_level": -1}, {"c_in": 4}])
    kernel.variable("struct counted zone", {"z_cells": cells})
    expected = {
        "packets": 42,
        "percpu(zone.z_cells)->c_in": 7,
        "(*percpu(zone.z_cells)).c_level": -1,
    }
    assert values(kernel, list(expected)) == expected
    assert each(kernel, "percpu(zone.z_cells)->c_in") == [by("cpu", {1: 3, 3: 4})]


def test_an_array_with_an_element_for_each_cpu(kernel: Counting) -> None:
    """``[cpu]``: by the CPUs' numbers, summed or each; and nothing of CPUs that are not there."""
    own = [{"c_in": 100 + at} for at in range(6)]
    thing = kernel.variable("struct counted zone", {"z_own": own})
    kernel.variable("struct counted *pointer", thing)
    kernel.variable("int plain[6]", [1, 2, 4, 8, 16, 32])
    expected = {
        "zone.z_own[cpu].c_in": 100 + 102 + 105,
        "pointer->z_own[cpu].c_in": 307,
        "plain[cpu]": 1 + 4 + 32,
        "cpuid_to_pcpu[cpu]->pc_cpuid": 7,
    }
    types = {"cpuid_to_pcpu": "struct pcpu *[9]"}
    assert values(kernel, list(expected), types=types) == expected
    found = values(kernel, list(expected), types=types, cpu="each")
    assert found["plain[cpu]"] == by("cpu", {0: 1, 2: 4, 5: 32})
    assert found["cpuid_to_pcpu[cpu]->pc_cpuid"] == by("cpu", {0: 0, 2: 2, 5: 5})


def test_a_number_that_is_no_cpus_stays_one(kernel: Counting) -> None:
    """``cpu: each`` of what all CPUs share has no label."""
    kernel.variable("int shared", 5)
    assert each(kernel, "shared") == [5]


def test_per_cpu_and_shared_numbers_together(kernel: Counting) -> None:
    """Sums are made before anything else; of each CPU for itself, the shared one is everyone's."""
    kernel.percpu("u_int mine", {0: 1, 2: 2, 5: 3})
    kernel.percpu("u_int other", {0: 10, 2: 20, 5: 30})
    kernel.variable("int shared", 100)
    found = values(kernel, ["mine + shared", "mine * other", "other / mine"])
    assert found == {"mine + shared": 106, "mine * other": 360, "other / mine": 10}
    assert each(kernel, "mine + shared", "mine * other") == [
        by("cpu", {0: 101, 2: 102, 5: 103}),
        by("cpu", {0: 10, 2: 40, 5: 90}),
    ]


# each network stack's


def test_a_stacks_number_is_the_hosts_unless_told(kernel: Counting) -> None:
    """The host's; a jail's by its name or number; or all, by jail."""
    kernel.vnet("u_int packets", {"": 1, "web": 2, "db": 3})
    kernel.vnet("struct cell cells", {"web": {"c_array": [7, 8, 9]}})
    assert of(kernel, "host", "packets", "cells.c_array[1]") == [1, 0]
    assert of(kernel, "web", "packets", "cells.c_array[1]") == [2, 8]
    assert of(kernel, "9", "packets") == [3]
    one, two = of(kernel, "all", "packets", "cells.c_array[*]")
    assert one == by("jail", {"": 1, "db": 3, "web": 2})
    assert two == {
        (("jail", jail), ("index", str(at))): number
        for jail, row in {"": (0, 0, 0), "web": (7, 8, 9), "db": (0, 0, 0)}.items()
        for at, number in enumerate(row)
    }


def test_an_old_kernel_has_stacks_too() -> None:
    """Its jails live as long as somebody uses them."""
    kernel = Counting("i386", jails=JAILS, old=True)
    kernel.vnet("u_int packets", {"": 1, "web": 2, "db": 3})
    kernel.prisons["db"].set(pr_uref=0)
    assert of(kernel, "all", "packets") == [by("jail", {"": 1, "web": 2})]


def test_a_jail_that_is_not_there_is_missing(kernel: Counting) -> None:
    """Its metric says so; a dying one is not there any more."""
    kernel.vnet("u_int packets", {"": 1, "web": 2})
    kernel.prisons["web"].set(pr_state=DYING)
    for name in ("nosuch", "web", "77"):
        [answer] = of(kernel, name, "packets")
        assert name in str(answer)


def test_a_plain_number_has_no_network_stack(kernel: Counting) -> None:
    """Without VIMAGE all variables are plain; then with all stacks there is the host's."""
    kernel.variable("u_int packets", 5)
    assert of(kernel, "host", "packets") == [5]
    assert of(kernel, "all", "packets") == [by("jail", {"": 5})]


STATES = [[1, 2, 3], [10, 20, 30], [100, 0, 1], [4, 4, 4], [0, 0, 2**64 - 1], [7, 0, 0]]


@pytest.mark.parametrize("how", ["declared", "cast"])
def test_counters_of_a_struct(kernel: Counting, how: str) -> None:
    """VNET_PCPUSTAT: an array of counters, of which a struct says what they count."""
    arrays = {
        jail: kernel.counters([[number + add for number in row] for row in STATES])
        for add, jail in enumerate(("", "web", "db"))
    }
    kernel.vnet("counter_u64_t tcpstat[6]", arrays)
    types = {"tcpstat": "struct tcpstat"} if how == "declared" else {}
    name = "tcpstat" if how == "declared" else "((struct tcpstat)tcpstat)"
    expected = {
        f"{name}.tcps_a": 6,
        f"{name}.tcps_b": 60,
        f"{name}.tcps_states[1]": 2**64 - 1,
        f"{name}.tcps_states[*]": by("index", {0: 12, 1: 2**64 - 1}),
        f"{name}.tcps_z": 7,
        f"{name}.tcps_b / 2": 30,
    }
    assert values(kernel, list(expected), types=types) == expected
    found = values(kernel, [f"{name}.tcps_c"], types=types, vnet="all")
    assert list(found.values()) == [by("jail", {"": 101, "web": 104, "db": 107})]
    found = values(kernel, [f"{name}.tcps_c"], types=types, vnet="web", cpu="each")
    assert list(found.values()) == [by("cpu", {0: 101, 2: 1, 5: 2})]
    both = values(kernel, [f"{name}.*"], types=types)[f"{name}.*"]
    assert both == by("index", {"tcps_a": 6, "tcps_b": 60, "tcps_c": 101, "tcps_z": 7})


def test_counters_of_a_struct_end_with_their_array(kernel: Counting) -> None:
    """A struct that is longer than the array is another kernel's: no counter behind it is read."""
    kernel.vnet("counter_u64_t tcpstat[2]", {"": kernel.counters([[1, 1, 1], [2, 2, 2]])})
    [answer] = values(kernel, ["((struct tcpstat)tcpstat).tcps_z"]).values()
    assert "column 3: " in str(answer)


def test_labels_come_in_one_order(kernel: Counting) -> None:
    """The metric's own, then jail, cpu and index."""
    kernel.vnet(
        "counter_u64_t packets[2]",
        {jail: kernel.counters([[1, 2, 3]] * 2) for jail in ["", *JAILS]},
    )
    metric = Metric(
        "m",
        ("packets[*]",),
        {"proto": "=tcp", "zone": "ticks"},
        index=("queue",),
        cpu="each",
        vnet="all",
    )
    kernel.variable("int ticks", 9)
    found = ask(kernel, [metric])["m"]
    assert len(found) == 3 * 3 * 2
    key = (("proto", "tcp"), ("zone", "9"), ("jail", "web"), ("cpu", "5"), ("queue", "1"))
    assert found[key] == 3


# states, names


def test_states_of_an_enum(kernel: Counting) -> None:
    """One series for each enumerator: 1 of the one that it is, 0 of the others."""
    kernel.declare("enum state { ST_OFF, ST_ON, ST_DEAD = 9 };")
    kernel.variable("enum state now", 9)
    kernel.variable("enum state odd", 5)
    kernel.percpu("enum state own", {0: 1, 2: 0, 5: 9})
    found = ask(
        kernel,
        [
            Metric("now", ("now",), index=("state",), states=True),
            Metric("odd", ("odd",), index=("state",), states=True),
            Metric("own", ("own",), index=("state",), states=True, cpu="each"),
        ],
    )
    assert found["now"] == by("state", {"ST_OFF": 0, "ST_ON": 0, "ST_DEAD": 1})
    assert found["odd"] == by("state", {"ST_OFF": 0, "ST_ON": 0, "ST_DEAD": 0})
    assert {key for key, one in found["own"].items() if one} == {
        (("cpu", "0"), ("state", "ST_ON")),
        (("cpu", "2"), ("state", "ST_OFF")),
        (("cpu", "5"), ("state", "ST_DEAD")),
    }
    assert len(found["own"]) == 9


def test_names_of_an_index(kernel: Counting) -> None:
    """Texts, an enum's, or the kernel's own array of texts."""
    kernel.declare("enum queue { Q_NONE = -1, Q_IN, Q_OUT };")
    kernel.variable("int lengths[4]", [5, 6, 7, 8])
    kernel.variable("char *titles[3]", [kernel.text("first"), kernel.text("second"), None])
    kernel.variable("char fixed[2][8]", ["one", "two"])
    asked = {
        "texts": ("in", "out"),
        "enum": "enum queue",
        "pointers": "titles",
        "arrays": "fixed",
    }
    metrics = [Metric(key, ("lengths[*]",), index=("q",), names=one) for key, one in asked.items()]
    found = ask(kernel, metrics)
    assert found["texts"] == by("q", {"in": 5, "out": 6, 2: 7, 3: 8})
    assert found["enum"] == by("q", {"Q_IN": 5, "Q_OUT": 6, 2: 7, 3: 8})
    assert found["pointers"] == by("q", {"first": 5, "second": 6, 2: 7, 3: 8})
    assert found["arrays"] == by("q", {"one": 5, "two": 6, 2: 7, 3: 8})
