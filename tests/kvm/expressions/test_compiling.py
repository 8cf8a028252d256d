"""Which reads and formulas does an expression become?"""

from __future__ import annotations

import pytest
from fakes.compiling import ALLOCATION, HOST, PERCPU, VNET, forged
from forge import cdecl

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.expressions.program import (
    ABSOLUTE,
    TEXT,
    Address,
    Apply,
    Constant,
    Joined,
    Read,
    Spelled,
    Sum,
    Truncated,
    Value,
)
from kvm_exporter.kvm.expressions.wanted import Metric
from kvm_exporter.kvm.objects.copies import Vnet

TEXTS = """
enum color { RED, GREEN = 4, OTHER = 4, DARK = -1 };
enum size { SMALL = 2 };
struct inner { short i_a; int i_b; };
struct node {
    int n_id; char n_name[16]; char *n_text; u_char n_bytes[4]; uint8_t n_mac[6];
    struct inner n_in; struct inner *n_ptr; struct node *n_next;
    union { long n_long; u_int n_word; };
    unsigned n_low:3, n_mid:7; int n_signed:5; uint64_t n_wide:40;
    enum color n_color; _Bool n_true; float n_float; int n_ints[4]; void *n_void; int n_last[1];
};
struct only { struct { int o_value; } o_in; };
typedef struct { volatile long a; } local_t;
typedef struct { local_t v; } u64_stats_t;
struct percpu_counter { int lock; long long count; int *counters; };
struct timeval { long tv_sec; int tv_usec; };
struct bintime { long sec; unsigned long frac; };
struct stat { uint64_t s_first; uint32_t s_low, s_high; uint64_t s_array[2]; };
struct vm { counter_u64_t v_a; counter_u64_t v_b; };
struct node node, *pointer, *nodes[3];
int number, numbers[4]; unsigned counts[2]; unsigned long wide;
counter_u64_t counter, counters[5];
struct percpu_counter events; struct timeval time; struct bintime long_time;
struct only one; u64_stats_t sent; local_t kept;
struct vm vm_cnt; int cpu_array[8]; char name[12];
"""


def kernel(abi: cdecl.Abi = cdecl.AMD64):
    """A kernel with the variables above from 0x1000 on."""
    made = forged(TEXTS, abi)
    for number, name in enumerate(made.c.variables):
        made.put(name, 0x1000 * (1 + number))
    return made


def at(name: str) -> int:
    """Where a variable lies."""
    return kernel().variables[name][1]


def plain(name: str, path: str, code: str) -> Read:
    """A member of a variable."""
    return Read(ABSOLUTE, at(name) + kernel().c.offset("node", path), code)


@pytest.mark.parametrize(
    ("expression", "read"),
    [
        ("number", Read(ABSOLUTE, at("number"), "i")),
        ("node.n_id", plain("node", "n_id", "i")),
        ("node.n_in.i_a", plain("node", "n_in.i_a", "h")),
        ("node.n_word", plain("node", "n_word", "I")),
        ("node.n_float", plain("node", "n_float", "f")),
        ("node.n_ints[3]", plain("node", "n_ints[3]", "i")),
        ("numbers[SMALL]", Read(ABSOLUTE, at("numbers") + 8, "i")),
        ("numbers[(enum color)GREEN - 2]", Read(ABSOLUTE, at("numbers") + 8, "i")),
        ("numbers[1 + sizeof(short)]", Read(ABSOLUTE, at("numbers") + 12, "i")),
        ("node.n_last[7]", Read(ABSOLUTE, plain("node", "n_last[0]", "i").offset + 28, "i")),
        ("(&node)->n_id", plain("node", "n_id", "i")),
        ("(*&node).n_id", plain("node", "n_id", "i")),
        ("*numbers", Read(ABSOLUTE, at("numbers"), "i")),
        ("((struct inner *)&number)->i_a", Read(ABSOLUTE, at("number"), "h")),
        ("((struct inner)node).i_b", Read(ABSOLUTE, at("node") + 4, "i")),
        ("one", Read(ABSOLUTE, at("one"), "i")),
        ("sent", Read(ABSOLUTE, at("sent"), "Q")),
        ("kept", Read(ABSOLUTE, at("kept"), "q")),
    ],
)
def test_a_number_is_one_read(expression: str, read: Read) -> None:
    """Members, elements and casts of a variable lead to one read, with its address and code."""
    found = kernel().one(expression)
    assert found.reads == (read,)
    assert found.labels == ()
    assert [one.value for one in found.series] == [Value(0)]


def test_a_truth_is_0_or_1() -> None:
    """Whatever is in the byte of a bool, it is a truth."""
    found = kernel().one("node.n_true")
    assert found.reads == (plain("node", "n_true", "B"),)
    assert found.series[0].value == Apply("!=", (Value(0), Constant(0)))


def test_pointers_are_reads_that_others_hang_on() -> None:
    """What is behind a pointer is read from the pointer's read on; both only once."""
    found = kernel().one("pointer->n_ptr->i_b + pointer->n_id + pointer->n_ptr->i_b")
    c = kernel().c
    assert found.reads == (
        Read(ABSOLUTE, at("pointer"), "Q"),
        Read(0, c.offset("node", "n_ptr"), "Q"),
        Read(1, 4, "i"),
        Read(0, 0, "i"),
    )
    first = Apply("+", (Value(2), Value(3)))
    assert found.series[0].value == Apply("+", (first, Value(2)))


def test_elements_of_pointers() -> None:
    """A pointer has elements of its target's size; an array of pointers is followed."""
    size = kernel().c.size("node")
    found = kernel().one("pointer[2].n_id + nodes[1]->n_id + (*nodes)->n_id")
    assert found.reads == (
        Read(ABSOLUTE, at("pointer"), "Q"),
        Read(ABSOLUTE, at("nodes") + 8, "Q"),
        Read(0, 2 * size, "i"),
        Read(1, 0, "i"),
        Read(ABSOLUTE, at("nodes"), "Q"),
        Read(4, 0, "i"),
    )


@pytest.mark.parametrize("abi", [cdecl.AMD64, cdecl.POWERPC64, cdecl.I386, cdecl.POWERPC])
@pytest.mark.parametrize("name", ["n_low", "n_mid", "n_signed", "n_wide"])
def test_bit_fields(abi: cdecl.Abi, name: str) -> None:
    """A bit-field is read from one integer around it; its shift counts from the lowest bit."""
    some = kernel(abi)
    place = some.c.place("node", name)
    (read,) = some.one(f"node.{name}").reads
    size = {"B": 1, "H": 2, "I": 4, "Q": 8}[read.code]
    start = 8 * (read.offset - some.variables["node"][1])
    assert read.offset % size == 0
    if abi.order == "<":
        assert start + read.shift == place.bit
    else:
        assert start + 8 * size - read.shift - read.bits == place.bit
    assert 0 <= read.shift <= 8 * size - read.bits
    assert (read.bits, read.signed) == (place.width, name == "n_signed")


def test_an_array_of_one_element_at_the_end() -> None:
    """It may have more, of which ``[*]`` knows nothing."""
    some = kernel()
    assert len(some.one("node.n_last[*]").series) == 1
    assert len(some.one("node.n_last[0:3]").series) == 3
    first = some.c.offset("node", "n_last[0]")
    found = some.one("pointer->n_last[cpu]")
    assert found.reads[1:] == (Read(0, first, "i"), Read(0, first + 8, "i"))


def test_operators_become_formulas() -> None:
    """C's operators are applied as they stand; integers do not overflow."""
    found = kernel().one("-number * 4 / (wide - 1)")
    minus = Apply("*", (Apply("-", (Value(0),)), Constant(4)))
    assert found.series[0].value == Apply("/", (minus, Apply("-", (Value(1), Constant(1)))))


def test_all_bits_of_an_integer() -> None:
    """``~`` has as many bits as C's type, an int's at least."""
    value = kernel().one("~counts[0] + ~node.n_in.i_a + ~wide").series[0].value
    assert value.of[0].of[0] == Truncated(Apply("~", (Value(0),)), 32, signed=False)
    assert value.of[0].of[1] == Truncated(Apply("~", (Value(1),)), 32, signed=True)
    assert value.of[1] == Truncated(Apply("~", (Value(2),)), 64, signed=False)


def test_casts_of_numbers() -> None:
    """Numbers become integers of other widths, truths, floats and enums."""
    some = kernel()
    assert some.one("(u_short)number").series[0].value == Truncated(Value(0), 16, signed=False)
    assert some.one("(int)number").series[0].value == Value(0)
    assert some.one("(_Bool)number").series[0].value == Apply("!=", (Value(0), Constant(0)))
    assert some.one("(double)number").series[0].value == Apply("*", (Value(0), Constant(1.0)))
    assert some.one("(enum color)number").series[0].value == Truncated(Value(0), 32, signed=True)


def test_network_order() -> None:
    """ntohs() swaps bytes where the machine's are the other way round."""
    swapped = kernel().one("ntohs(number)").series[0].value
    assert swapped.operator == "|"
    kept = kernel(cdecl.POWERPC64).one("ntohs(number)").series[0].value
    assert kept == Truncated(Value(0), 16, signed=False)


def test_a_counter_is_the_sum_of_its_copies() -> None:
    """counter_u64_t: a pointer, and behind it 64 bits of each CPU, modulo 2^64."""
    found = kernel().one("counter")
    assert found.reads == (
        Read(ABSOLUTE, at("counter"), "Q"),
        Read(0, 0, "Q", copies=(2 * ALLOCATION,)),
    )
    assert found.series[0].value == Sum((Value(1),), 64, signed=False)


def test_a_counter_of_each_cpu() -> None:
    """With cpu: each a counter's copies are values of their own."""
    found = kernel().one("vm_cnt.v_b", cpu="each")
    assert found.labels == ("cpu",)
    assert [one.labels for one in found.series] == [(Constant("0"),), (Constant("2"),)]
    assert [one.value for one in found.series] == [Value(1), Value(2)]


def test_counters_fold_as_operands() -> None:
    """A counter in arithmetic, or under a cast, is its number."""
    total = Sum((Value(1),), 64, signed=False)
    some = kernel()
    assert some.one("counter + 1").series[0].value == Apply("+", (total, Constant(1)))
    assert some.one("(u_int)counter").series[0].value == Truncated(total, 32, signed=False)
    assert some.one("!counter").series[0].value == Apply("!", (total,))


@pytest.mark.parametrize(
    "asked",
    [
        ("((struct stat)counters).s_array[1]", {}),
        ("counters.s_array[1]", {"counters": "struct stat"}),
    ],
)
def test_an_array_of_counters_as_a_struct(asked: tuple[str, dict[str, str]]) -> None:
    """The member at byte 24 of the struct is the fourth counter."""
    expression, types = asked
    found = kernel().one(expression, types=types)
    assert found.reads[0] == Read(ABSOLUTE, at("counters") + 3 * 8, "Q")
    assert found.series[0].value == Sum((Value(1),), 64, signed=False)


@pytest.mark.parametrize(("abi", "low"), [(cdecl.I386, "s_low"), (cdecl.POWERPC, "s_high")])
def test_half_a_counter(abi: cdecl.Abi, low: str) -> None:
    """Two members of 32 bits share a counter, as the kernel copies it over them."""
    high = {"s_low": "s_high", "s_high": "s_low"}[low]
    some = kernel(abi)
    total = Sum((Value(1),), 64, signed=False)
    found = some.one(f"((struct stat)counters).{low}")
    assert found.reads[0] == Read(ABSOLUTE, some.variables["counters"][1] + 4, "I")
    assert found.series[0].value == Truncated(total, 32, signed=False)
    found = some.one(f"((struct stat)counters).{high}")
    shifted = Apply(">>", (total, Constant(32)))
    assert found.series[0].value == Truncated(shifted, 32, signed=False)


def test_a_counter_that_is_not_allocated() -> None:
    """EARLY_COUNTER is the pointer to the first CPU's dummy: then there is nothing to tell."""
    some = kernel()
    some.c.read("struct pcpu { int pc_pad; uint64_t pc_early_dummy_counter; };")
    some.put("cpuid_to_pcpu", 0x8000)
    some.memory[0x8000] = (0x5000).to_bytes(8, "little")
    value = some.one("counter").series[0].value
    known = Apply("!=", (Value(0), Constant(0x5008)))
    assert value == Apply("/", (Sum((Value(1),), 64, signed=False), known))


def test_a_percpu_counter() -> None:
    """What was handed in and what each CPU has left; below zero is zero."""
    found = kernel().one("events")
    counters = Read(ABSOLUTE, at("events") + 16, "Q")
    assert found.reads == (
        Read(ABSOLUTE, at("events") + 8, "q"),
        counters,
        Read(1, 0, "i", copies=(2 * ALLOCATION,)),
    )
    total = Sum((Value(0), Value(2)), 64, signed=True)
    assert found.series[0].value == Apply("clamp", (total, Constant(0)))


@pytest.mark.parametrize(("name", "parts"), [("time", 10**6), ("long_time", 2**64)])
def test_times_are_seconds(name: str, parts: int) -> None:
    """Seconds and their parts are one number, exact until it is divided."""
    value = kernel().one(name).series[0].value
    whole = Apply("*", (Value(0), Constant(parts)))
    assert value == Apply("/", (Apply("+", (whole, Value(1))), Constant(parts)))


def test_copies_of_all_cpus() -> None:
    """A per-CPU variable's copies are added up, or told apart."""
    some = kernel()
    some.put("numbers", 0x40000, "percpu")
    found = some.one("numbers[1]")
    assert found.reads == (Read(ABSOLUTE, 0x40004, "i", copies=(2 * PERCPU,)),)
    assert found.series[0].value == Sum((Value(0),), 64, signed=True)
    found = some.one("numbers[1] * 2", cpu="each")
    assert found.labels == ("cpu",)
    assert [one.value for one in found.series] == [
        Apply("*", (Value(0), Constant(2))),
        Apply("*", (Value(1), Constant(2))),
    ]


@pytest.mark.parametrize(
    ("name", "bits", "signed"),
    [("counts", 32, False), ("wide", 64, False), ("number", 64, True), ("node", 64, True)],
)
def test_sums_wrap_as_counters_do(name: str, bits: int, signed: bool) -> None:
    """Unsigned integers of 32 and 64 bits wrap, others are amounts whose sum is exact."""
    some = kernel()
    some.put(name, 0x40000, "percpu")
    expression = {"counts": "counts[0]", "node": "node.n_in.i_a"}.get(name, name)
    assert some.one(expression).series[0].value == Sum((Value(0),), bits, signed)


def test_sums_of_elements_are_exact() -> None:
    """Elements are no parts of one counter; of different types they have no width at all."""
    some = kernel()
    assert some.one("sum(counts[*])").series[0].value == Sum((Value(0), Value(1)), 64, signed=True)
    assert some.one("sum(vm_cnt.*)").series[0].value.bits == 64
    value = some.one("sum(pointer->n_in.*)").series[0].value
    assert value == Apply("+", (Value(1), Value(2)))


def test_a_cast_is_of_each_copy() -> None:
    """What is cast is added up as that."""
    some = kernel()
    some.put("wide", 0x40000, "percpu")
    parts = tuple(Truncated(Value(number), 32, signed=True) for number in (0, 1))
    assert some.one("(int)wide").series[0].value == Sum(parts, 64, signed=True)


def test_seconds_of_cpus() -> None:
    """What has no width is added without one."""
    some = kernel()
    some.put("time", 0x40000, "percpu")
    value = some.one("time").series[0].value
    assert (value.operator, len(value.of)) == ("+", 2)


def test_per_cpu_allocations() -> None:
    """percpu() says that a pointer leads to a copy of each CPU."""
    found = kernel().one("percpu(pointer)->n_in.i_a")
    start = kernel().c.offset("node", "n_in")
    assert found.reads == (
        Read(ABSOLUTE, at("pointer"), "Q"),
        Read(0, start, "h", copies=(2 * ALLOCATION,)),
    )
    size = kernel().c.size("node")
    found = kernel().one("percpu(pointer)[1].n_id")
    assert found.reads[1] == Read(0, size, "i", copies=(2 * ALLOCATION,))


def test_elements_by_cpu() -> None:
    """``[cpu]`` are the elements whose numbers CPUs have."""
    found = kernel().one("cpu_array[cpu]", cpu="each")
    assert [read.offset - at("cpu_array") for read in found.reads] == [0, 8]
    assert [one.labels for one in found.series] == [(Constant("0"),), (Constant("2"),)]
    assert kernel().one("cpu_array[cpu]").series[0].value == Sum((Value(0), Value(1)), 64, True)


def test_indexes() -> None:
    """Each ``[*]`` and slice is a label, with the array's own numbers."""
    found = kernel().one("nodes[1:3]->n_ints[*]", index=("node",))
    assert found.labels == ("node", "index2")
    keys = [tuple(label.value for label in one.labels) for one in found.series]
    assert keys == [(str(node), str(number)) for node in (1, 2) for number in range(4)]


def test_slices_by_variables() -> None:
    """A slice's bounds are what plain variables say while compiling."""
    some = kernel()
    some.memory[at("number")] = (2).to_bytes(4, "little")
    found = some.one("pointer[0:number + 1].n_id")
    assert len(found.series) == 3
    assert some.one("numbers[number]").reads == (Read(ABSOLUTE, at("numbers") + 8, "i"),)


def test_both_sides_have_their_indexes_in_common() -> None:
    """Elements of the same number belong together; sum() has none."""
    found = kernel().one("numbers[0:2] + counts[*] * sum(numbers[*])")
    assert [one.labels for one in found.series] == [(Constant("0"),), (Constant("1"),)]
    reads = [found.reads.index(Read(ABSOLUTE, at("numbers") + 4 * one, "i")) for one in range(4)]
    count = found.reads.index(Read(ABSOLUTE, at("counts"), "I"))
    total = Sum(tuple(map(Value, reads)), 64, signed=True)
    assert found.series[0].value.of[1] == Apply("*", (Value(count), total))


def test_members() -> None:
    """``.*`` are the numbers of a struct by name: no pointers, texts or arrays."""
    found = kernel().one("node.*", index=("member",))
    names = [one.labels[0].value for one in found.series]
    assert names == [
        "n_id", "n_low", "n_mid", "n_signed", "n_wide", "n_color", "n_true", "n_float",
        "n_long", "n_word",
    ]  # fmt: skip


def test_a_name_is_no_other_number() -> None:
    """Elements with and without a name are never called the same."""
    assert "one is called 1, and number 1 has no" in kernel().error("numbers[*]", names=("1",))
    assert kernel().one("numbers[*]", names=("3", "2", "1", "0")).series


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("a", "b"), ["a", "b", "2", "3"]),
        ("enum color", ["RED", "1", "2", "3"]),
        ("titles", ["zero", "1", "two", "3"]),
    ],
)
def test_names_of_indexes(names: str | tuple[str, ...], told: list[str]) -> None:
    """Numbers go by the module's texts, an enum's constants or the kernel's texts, if they have
    any."""
    some = kernel()
    some.c.read("char titles[3][8];")
    some.put("titles", 0x90000)
    some.memory[0x90000] = b"zero\0\0\0\0" + bytes(8) + b"two\0\0\0\0\0"
    found = some.one("numbers[*]", names=names)
    assert [one.labels[0].value for one in found.series] == told


def test_states() -> None:
    """A state set is a series of each constant, told by its first name."""
    found = kernel().one("node.n_color", states=True)
    assert found.labels == ("state",)
    assert [(one.labels[0].value, one.value) for one in found.series] == [
        (name, Apply("==", (Value(0), Constant(value))))
        for name, value in (("RED", 0), ("GREEN", 4), ("DARK", -1))
    ]
    found = kernel().one("nodes[0:2]->n_color", states=True, index=("color", "node"))
    assert found.labels == ("color", "node")
    assert [one.value for one in found.series[3].labels] == ["RED", "1"]


STACKS = (HOST, Vnet(0xFF10, "web", 3), Vnet(0xFF20, "db", 12))


def test_network_stacks() -> None:
    """A network stack's variable: the host's copy, a jail's by name or number, or all."""
    some = kernel()
    some.put("number", 0x70000, "vnet")
    some.stacks = STACKS
    assert some.one("number").reads == (Read(ABSOLUTE, 0x70000, "i"),)
    for jail in ("web", "3"):
        assert some.one("number", vnet=jail).reads == (Read(ABSOLUTE, 0x70000 + 3 * VNET, "i"),)
    found = some.one("number + wide", vnet="all", labels={"w": "=x"}, cpu="each")
    assert found.labels == ("w", "jail")
    assert [one.labels[1].value for one in found.series] == ["", "web", "db"]
    assert found.series[2].value == Apply("+", (Value(2), Value(3)))


def test_plain_variables_are_the_hosts() -> None:
    """Where a kernel has no network stacks, and of what is none of theirs, jail is empty."""
    for stacks in ((), STACKS):
        some = kernel()
        some.stacks = stacks
        found = some.one("number", vnet="all")
        assert found.labels == ("jail",)
        assert [one.labels for one in found.series] == [(Constant(""),)]


def test_network_stacks_that_cannot_be_found() -> None:
    """That nobody knows the network stacks costs only what belongs to one."""
    some = kernel()
    some.put("wide", 0x70000, "vnet")

    def unknown() -> None:
        raise KvmError("damaged")

    some.vnets = unknown
    for vnet in ("host", "all"):
        assert len(some.one("number", vnet=vnet).series) == 1
        assert "damaged" in some.error("wide", vnet=vnet)
    assert "damaged" in some.error("number", vnet="web")


def test_labels() -> None:
    """Texts, names of constants, digits and what stands for itself; several are joined."""
    labels = {
        "array": "node.n_name",
        "pointer": "pointer->n_text",
        "bytes": "node.n_bytes",
        "enum": "node.n_color",
        "number": "number",
        "literal": "=a=b",
        "joined": ("name", "=-", "number"),
    }
    found = kernel().one("number", labels=labels)
    assert found.labels == tuple(labels)
    array, pointer, as_bytes, enum, number, literal, joined = found.series[0].labels
    assert found.reads[array.read].code == "16s"
    assert found.reads[pointer.read].code == TEXT
    assert found.reads[as_bytes.read].code == "4s"
    assert isinstance(enum, Spelled)
    assert dict(enum.names) == {0: "RED", 4: "GREEN", -1: "DARK"}
    assert found.reads[number.read] == Read(ABSOLUTE, at("number"), "i")
    assert literal == Constant("a=b")
    assert joined == Joined((Value(joined.of[0].read), Constant("-"), number))


def test_an_info_is_its_labels() -> None:
    """Without a symbol the value is 1, once for all that its labels tell."""
    found = kernel().one(labels={"name": "nodes[*]->n_name"})
    assert found.labels == ("name", "index")
    assert [one.value for one in found.series] == [Constant(1)] * 3


def test_alternatives() -> None:
    """The first that this kernel has counts, and of the others nothing is read."""
    found = kernel().one("nodes[0]->n_gone", "pointer->n_gone", "number", "wide")
    assert found.reads == (Read(ABSOLUTE, at("number"), "i"),)


def test_addresses_are_compared_only() -> None:
    """A pointer may be asked whether it is one, and the same as another."""
    some = kernel()
    assert some.one("!pointer").series[0].value == Apply("!", (Value(0),))
    equal = some.one("pointer == &node").series[0].value
    assert equal == Apply("==", (Value(0), Address(ABSOLUTE, at("node"))))
    assert some.one("pointer != 0 && number").series[0].value.operator == "&&"


def test_types_of_the_module() -> None:
    """A declared type counts before the kernel's own; an array is no longer than its variable."""
    some = kernel()
    some.put("untyped", 0x60000, size=6)
    assert some.one("untyped", types={"untyped": "short"}).reads[0].code == "h"
    assert some.one("number", types={"number": "u_char"}).reads[0].code == "B"
    assert some.one("(u_short)untyped").reads[0].code == "H"
    assert len(some.one("untyped[*]", types={"untyped": "short[100]"}).reads) == 3


def test_numbers_beside_pointers() -> None:
    """What lies before a struct's first pointer may be taken as anything."""
    assert kernel().one("(uint64_t)node").reads[0] == Read(ABSOLUTE, at("node"), "Q")
    found = kernel().one("number", labels={"l": "(char[4])node"})
    assert found.reads[0].code == "4s"


def test_metrics_share_reads() -> None:
    """The same value is read once, however many metrics have it."""
    metrics = [Metric("a", ("pointer->n_id",)), Metric("b", ("pointer->n_id + 1",))]
    compiled = kernel().module(metrics)
    assert len(compiled.program.reads) == 2
    assert [one.metric for one in compiled.program.series] == [0, 1]
