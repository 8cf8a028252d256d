"""What does a Runner make of a program that is in no list?"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import pytest
from fakes.bare_memory import PAGE, Bare
from hypothesis import given
from hypothesis import strategies as st

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import AccessDenied, FormatError, KvmError, Unsupported
from kvm_exporter.kvm.expressions.program import (
    ABSOLUTE,
    TEXT,
    Address,
    Apply,
    Compiled,
    Constant,
    Formula,
    Joined,
    Program,
    Read,
    Series,
    Spelled,
    Sum,
    Truncated,
    Value,
)
from kvm_exporter.kvm.expressions.running.budgets import Budget
from kvm_exporter.kvm.expressions.running.runner import Collected, Runner

ABIS = [Abi("<", 8), Abi(">", 8), Abi("<", 4), Abi(">", 4)]


def runner(memory: Bare, reads: Sequence[Read], *values: Formula | Series) -> Runner:
    """Of one metric a value, or of the series' own."""
    series = tuple(
        one if isinstance(one, Series) else Series(number, (), one)
        for number, one in enumerate(values)
    )
    count = max((one.metric for one in series), default=-1) + 1
    compiled = Compiled(Program(tuple(reads), series), (), ((),) * count, ())
    return Runner(compiled, memory, memory.abi)


def collect(memory: Bare, reads: Sequence[Read], *values: Formula | Series) -> Collected:
    """Once."""
    return runner(memory, reads, *values).collect(Budget())


def values(memory: Bare, reads: Sequence[Read], *formulas: Formula) -> list[object]:
    """Of each formula its value, None for none."""
    found = collect(memory, reads, *formulas).samples
    assert all(len(samples) <= 1 for samples in found)
    return [samples[0][1] if samples else None for samples in found]


@pytest.mark.parametrize("abi", ABIS)
@pytest.mark.parametrize(
    ("code", "value"),
    [
        *(("B", 250), ("b", -6), ("H", 65000), ("h", -2), ("I", 2**32 - 1), ("i", -1)),
        *(("Q", 2**64 - 1), ("q", -(2**63)), ("f", 0.5), ("d", -1e300)),
    ],
)
def test_a_number(abi: Abi, code: str, value: float) -> None:
    """A read is the number in the kernel's byte order, of its very width and sign."""
    memory = Bare(abi)
    memory.put(memory.base + 3, code, value)
    assert values(memory, [Read(ABSOLUTE, memory.base + 3, code)], Value(0)) == [value]


@pytest.mark.parametrize("abi", ABIS)
def test_bits(abi: Abi) -> None:
    """Bits count from the least significant one of their integer; the highest may be a sign."""
    memory = Bare(abi)
    memory.put(memory.base, "I", 0b1101_0110_0000 | 1 << 31)
    reads = [
        Read(ABSOLUTE, memory.base, "I", 5, 3),
        Read(ABSOLUTE, memory.base, "I", 9, 3, signed=True),
        Read(ABSOLUTE, memory.base, "I", 31, 1),
        Read(ABSOLUTE, memory.base, "i", 31, 1, signed=True),
    ]
    assert values(memory, reads, *map(Value, range(4))) == [0b011, -2, 1, -1]


@pytest.mark.parametrize("abi", ABIS)
def test_pointers_are_followed(abi: Abi) -> None:
    """What hangs on a pointer is read where it points, through as many as there are."""
    memory = Bare(abi)
    base = memory.base
    memory.pointer(base, base + 5 * PAGE)
    memory.pointer(base + 5 * PAGE + 16, base + 9 * PAGE + 8)
    memory.put(base + 9 * PAGE, "I", 77)
    reads = [
        Read(ABSOLUTE, base, abi.pointer),
        Read(0, 16, abi.pointer),
        Read(1, -8, "I"),
    ]
    assert values(memory, reads, Value(2)) == [77]


def test_addresses_end_where_they_end() -> None:
    """A pointer and an offset together are an address: what is too large begins at 0 again."""
    memory = Bare(Abi("<", 4))
    memory.pointer(memory.base, 0xFFFF_F000)
    memory.put(0x1000, "I", 5)
    reads = [Read(ABSOLUTE, memory.base, "I"), Read(0, 0x2000, "I")]
    assert values(memory, reads, Value(1)) == [5]


def test_nothing_is_no_zero() -> None:
    """Null pointers, and what has no memory, give no number; only the latter is counted."""
    memory = Bare()
    base = memory.base
    memory.pointer(base, 0, base + 7 * PAGE)
    memory.put(base + 16, "Q", 3)
    reads = [
        Read(ABSOLUTE, base, "Q"),
        Read(0, 8, "Q"),
        Read(ABSOLUTE, base + 8, "Q"),
        Read(2, 8, "Q"),
        Read(3, 8, "Q"),
        Read(ABSOLUTE, base + 16, "Q"),
    ]
    formulas = [*map(Value, range(6)), Sum((Value(5), Value(3)), 64, False)]
    collected = collect(memory, reads, *formulas)
    assert [[value for _, value in one] for one in collected.samples] == [
        [0],
        [],
        [base + 7 * PAGE],
        [],
        [],
        [3],
        [],
    ]
    assert (collected.unreadable, collected.stopped) == (1, "")


def test_what_is_near_a_hole_is_not_lost() -> None:
    """A value whose memory is gone takes none with it, wherever it was read together with them."""
    memory = Bare()
    base = memory.base
    memory.put(base + PAGE - 8, "Q", 1)
    memory.put(base + PAGE - 16, "Q", 2)
    reads = [Read(ABSOLUTE, base + PAGE - at, "Q") for at in (16, 8, 4)]
    assert values(memory, reads, *map(Value, range(3))) == [2, 1, None]
    pointed = [Read(ABSOLUTE, base + 64, "Q"), *(Read(0, at, "Q") for at in (-16, -8, -4, 0))]
    memory.pointer(base + 64, base + PAGE)
    assert values(memory, pointed, *map(Value, range(1, 5))) == [2, 1, None, None]


@pytest.mark.parametrize("error", [FormatError("damaged"), KvmError("cannot read")])
def test_damaged_pages(error: KvmError) -> None:
    """A page that cannot be unpacked is one that is not there."""
    memory = Bare()
    memory.put(memory.base, "I", 1)

    def fail(address: int, length: int) -> None:
        raise error

    memory.live = fail
    assert collect(memory, [Read(ABSOLUTE, memory.base, "I")], Value(0)).unreadable == 1


@pytest.mark.parametrize("error", [AccessDenied("root"), Unsupported("no kmem")])
def test_no_memory_at_all(error: KvmError) -> None:
    """Who may not read memory is told so, not that all of it is missing."""
    memory = Bare()

    def refuse(address: int, length: int) -> None:
        raise error

    memory.live = refuse
    with pytest.raises(type(error)):
        collect(memory, [Read(ABSOLUTE, memory.base, "I")], Value(0))


def test_sums_are_as_wide_as_their_type() -> None:
    """A sum wraps as C's does, with or without a sign."""
    memory = Bare()
    memory.put(memory.base, "IIq", 2**32 - 1, 3, -5)
    reads = [Read(ABSOLUTE, memory.base + at, code) for at, code in ((0, "I"), (4, "I"), (8, "q"))]
    two = (Value(0), Value(1))
    formulas = [
        Sum(two, 32, False),
        Sum(two, 64, False),
        Sum((Value(0), Constant(2**31)), 32, True),
        Sum((Value(2),), 64, False),
        Sum((Value(2),), 64, True),
        Sum((), 64, False),
    ]
    assert values(memory, reads, *formulas) == [2, 2**32 + 2, 2**31 - 1, 2**64 - 5, -5, 0]


def test_a_sum_may_have_bits_in_it() -> None:
    """A bit-field is added as the number that it is."""
    memory = Bare()
    memory.put(memory.base, "I", 0xF5)
    reads = [Read(ABSOLUTE, memory.base, "I", 4, 4), Read(ABSOLUTE, memory.base, "I", 0, 4)]
    assert values(memory, reads, Sum((Value(0), Value(1)), 64, False)) == [20]


def test_a_partial_sum_never_appears() -> None:
    """A sum of which one part was not read is none, though the other parts were."""
    memory = Bare()
    memory.put(memory.base, "QQ", 1, 2)
    reads = [Read(ABSOLUTE, memory.base + at, "Q") for at in (0, 8, 2 * PAGE)]
    formulas = (Sum((Value(0), Value(1)), 64, False), Sum(tuple(map(Value, range(3))), 64, False))
    assert values(memory, reads, *formulas) == [3, None]


def test_formulas() -> None:
    """Operators, spelled numbers, addresses, C's conversions and joined texts."""
    memory = Bare()
    memory.put(memory.base, "Id4sQ", 300, -2.5, b"da\0x", memory.base)
    codes = ((0, "I"), (4, "d"), (12, "4s"), (16, "Q"))
    reads = [Read(ABSOLUTE, memory.base + at, code) for at, code in codes]
    names = {300: "many"}
    labels = (
        Spelled(Value(0), names),
        Spelled(Apply("+", (Value(0), Constant(1))), names),
        Value(0),
        Value(1),
        Value(2),
        Constant("text"),
        Constant(7),
        Joined((Value(2), Value(0), Constant("!"))),
    )
    formulas = {
        Apply("+", (Value(0), Constant(5))): 305,
        Apply("-", (Value(0),)): -300,
        Truncated(Value(0), 8, False): 44,
        Truncated(Value(1), 8, True): -2,
        Apply("==", (Address(3, 4), Constant(memory.base + 4))): 1,
        Apply("==", (Address(ABSOLUTE, 2**64 + 4), Constant(4))): 1,
        Apply("&&", (Constant(0), Value(0))): 0,
        Apply("||", (Constant(0), Value(0))): 1,
        Constant(1.5): 1.5,
    }
    assert values(memory, reads, *formulas) == list(formulas.values())
    ((told, value),) = collect(memory, reads, Series(0, labels, Constant(1))).samples[0]
    assert told == ("many", "301", "300", "-2.5", "da", "text", "7", "da300!")
    assert value == 1


def test_the_second_part_may_not_be_needed() -> None:
    """Like in C, ``p && p->x`` is 0 of a null pointer, and ``!p || p->x`` is 1."""
    memory = Bare()
    memory.put(memory.base, "Q", 0)
    reads = [Read(ABSOLUTE, memory.base, "Q"), Read(0, 0, "I")]
    formulas = [
        Apply("&&", (Value(0), Value(1))),
        Apply("||", (Apply("!", (Value(0),)), Value(1))),
        Apply("||", (Value(0), Value(1))),
        Apply("==", (Value(1), Constant(0))),
    ]
    assert values(memory, reads, *formulas) == [0, 1, None, None]


@pytest.mark.parametrize("unread", [False, True])
def test_no_number_comes_of_it(unread: bool) -> None:
    """A division by zero costs its own series and no other, whatever else is unread."""
    memory = Bare()
    memory.put(memory.base, "II", 6, 0)
    reads = [Read(ABSOLUTE, memory.base + at, "I") for at in (0, 4, PAGE if unread else 0)]
    formulas = [
        Apply("/", (Value(0), Value(1))),
        Apply("/", (Value(0), Constant(4))),
        Value(1),
    ]
    assert values(memory, reads, *formulas) == [None, 1.5, 0]


def test_labels() -> None:
    """A series with a label that cannot be read is left out; those that look alike are added up."""
    memory = Bare()
    memory.put(memory.base, "4sII", b"a", 1, 2)
    codes = ((0, "4s"), (4, "I"), (8, "I"), (PAGE, "4s"))
    reads = [Read(ABSOLUTE, memory.base + at, code) for at, code in codes]
    series = [
        Series(0, (Value(0), Constant("x")), Value(1)),
        Series(0, (Constant("a"), Constant("x")), Value(2)),
        Series(0, (Constant("b"), Constant("x")), Value(2)),
        Series(0, (Value(3), Constant("x")), Value(2)),
    ]
    (samples,) = collect(memory, reads, *series).samples
    assert dict(samples) == {("a", "x"): 3, ("b", "x"): 2}
    assert len(samples) == 2


def test_no_sum_of_the_rest() -> None:
    """Of series with the same labels, of which one is unread, there is no sum."""
    memory = Bare()
    memory.put(memory.base, "II", 1, 2)
    reads = [Read(ABSOLUTE, memory.base + at, "I") for at in (0, 4, PAGE)]
    series = [Series(0, (Constant("a"),), Value(number)) for number in (2, 0, 1)]
    assert collect(memory, reads, *series).samples == [[]]
    assert collect(memory, reads, *reversed(series)).samples == [[]]


def test_texts() -> None:
    """Texts of unknown length are read to their NUL, at most 256 bytes, each of them once."""
    memory = Bare()
    base, texts = memory.base, memory.base + 4 * PAGE
    long = b"x" * 300
    memory.pointer(base, texts, texts, texts + PAGE - 4, texts + PAGE - 2, 0, base + 9 * PAGE)
    memory.put(texts, "6s", b"mbuf\0?")
    memory.put(texts + PAGE - 4, "4s", b"zzz\0")
    reads = [Read(ABSOLUTE, base + 8 * at, "Q") for at in range(6)]
    reads += [Read(at, 0, TEXT) for at in range(6)]
    series = [Series(at, (Value(6 + at),), Constant(1)) for at in range(6)]
    collected = collect(memory, reads, *series)
    told = [[labels[0] for labels, _ in one] for one in collected.samples]
    assert told == [["mbuf"], ["mbuf"], ["zzz"], ["z"], [""], []]
    assert collected.unreadable == 1
    assert [one for one in memory.reads if texts <= one[0] < texts + 256] == [(texts, 64)]
    memory.put(texts, f"{len(long)}s", long)
    assert collect(memory, reads, *series).samples[0] == [(("x" * 256,), 1)]


def test_a_text_without_end() -> None:
    """A text that runs out of memory before its NUL is unread: nobody knows what it was."""
    memory = Bare()
    memory.put(memory.base + PAGE - 4, "4s", b"abcd")
    reads = [Read(ABSOLUTE, memory.base + PAGE - 4, TEXT)]
    collected = collect(memory, reads, Series(0, (Value(0),), Constant(1)))
    assert (collected.samples, collected.unreadable) == ([[]], 1)


def test_neighbours_are_one_read() -> None:
    """Values of one page are one read, however many; values far apart are not read with a gap."""
    memory = Bare()
    near = [memory.base + 8 * at for at in range(256)]
    far = [memory.base + 3 * PAGE, memory.base + 3 * PAGE + 2048]
    for number, at in enumerate([*near, *far]):
        memory.put(at, "Q", number)
    reads = [Read(ABSOLUTE, at, "Q") for at in [*far, *reversed(near)]]
    collect(memory, reads, *map(Value, range(len(reads))))
    assert sorted(memory.reads) == [(near[0], 2048), (far[0], 8), (far[1], 8)]


def test_neighbours_behind_pointers_are_one_read() -> None:
    """Counters of all CPUs, to which pointers lead from anywhere: a read for each CPU's page."""
    memory = Bare()
    base, counters = memory.base, memory.base + 16 * PAGE
    order = [number * 37 % 100 for number in range(100)]
    memory.pointer(base, *(counters + 8 * at for at in order))
    for cpu in range(3):
        memory.put(counters + cpu * PAGE, "100Q", *(1000 * at + cpu for at in range(100)))
    reads = [Read(ABSOLUTE, base + 8 * at, "Q") for at in range(100)]
    reads += [Read(at, cpu * PAGE, "Q") for at in range(100) for cpu in range(3)]
    sums = [
        Sum(tuple(Value(100 + 3 * at + cpu) for cpu in range(3)), 64, False) for at in range(100)
    ]
    series = [Series(0, (Constant(str(at)),), one) for at, one in enumerate(sums)]
    (samples,) = collect(memory, reads, *series).samples
    assert samples == [((str(at),), 3000 * order[at] + 3) for at in range(100)]
    assert memory.reads == [(base, 800), *((counters + cpu * PAGE, 800) for cpu in range(3))]


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("signed", [False, True])
def test_sums_of_many_that_are_alike(bits: int, signed: bool) -> None:
    """Whether or not one of them wraps, and whether or not one is unread, each is right."""
    memory = Bare()
    numbers = [1, 2**31 - 1, 2**32 - 1, 5]
    memory.put(memory.base, "4I4I", *numbers, *reversed(numbers))
    reads = [Read(ABSOLUTE, memory.base + 4 * at, "I") for at in range(8)]
    reads.append(Read(ABSOLUTE, memory.base + PAGE, "I"))
    sums = [
        Sum((Value(at), Value(other)), bits, signed) for at in range(4) for other in range(4, 8)
    ]
    more = [*sums, Sum((Value(0), Value(8)), bits, signed)]
    words = [*numbers, *reversed(numbers)]
    expected = []
    for at in range(4):
        for other in range(4, 8):
            low = (words[at] + words[other]) % 2**bits
            expected.append(low - 2**bits if signed and low >= 2 ** (bits - 1) else low)
    for wanted in (sums, more):
        series = [Series(0, (Constant(at),), one) for at, one in enumerate(wanted)]
        (samples,) = collect(memory, reads, *series).samples
        assert [value for _, value in samples] == expected


def test_values_that_lie_on_each_other() -> None:
    """Unions: the same bytes as several numbers, each of which is right; each page is one read."""
    memory = Bare()
    memory.put(memory.base, "QQ", 0x0102030405060708, 9)
    kinds = [(0, "Q"), (0, "I"), (4, "I"), (2, "H"), (0, "8s"), (8, "Q"), (0, "Q"), (6, "I")]
    reads = [Read(ABSOLUTE, memory.base + at, code) for at, code in kinds]
    series = [Series(at, (Value(at),), Constant(1)) for at in range(len(kinds))]
    found = [labels[0] for ((labels, _),) in collect(memory, reads, *series).samples]
    raw = struct.pack("<QQ", 0x0102030405060708, 9)
    numbers = [
        str(struct.unpack_from("<" + code, raw, at)[0]) for at, code in kinds if code != "8s"
    ]
    assert found[:4] + found[5:] == numbers
    assert found[4] == r"\x08\x07\x06\x05\x04\x03\x02\x01"


def test_the_places_are_remembered_only_while_they_are_right() -> None:
    """When a pointer changes, the next collection follows it; what is there is read each time."""
    memory = Bare()
    base = memory.base
    memory.pointer(base, base + PAGE)
    memory.put(base + PAGE, "I", 1)
    memory.put(base + 2 * PAGE, "I", 100)
    again = runner(memory, [Read(ABSOLUTE, base, "Q"), Read(0, 0, "I")], Value(1))
    found = [again.collect(Budget()).samples]
    memory.put(base + PAGE, "I", 2)
    found.append(again.collect(Budget()).samples)
    memory.pointer(base, base + 2 * PAGE)
    found.append(again.collect(Budget()).samples)
    memory.forget(base + 2 * PAGE)
    found.append(again.collect(Budget()).samples)
    memory.pointer(base, 0)
    found.append(again.collect(Budget()).samples)
    memory.pointer(base, base + PAGE)
    found.append(again.collect(Budget()).samples)
    assert found == [[[((), 1)]], [[((), 2)]], [[((), 100)]], [[]], [[]], [[((), 2)]]]


def test_a_budget_of_bytes() -> None:
    """No more bytes are read than allowed; what is complete by then is told, nothing in part."""
    memory = Bare()
    for at in range(10):
        memory.put(memory.base + at * PAGE, "Q", at)
    reads = [Read(ABSOLUTE, memory.base + at * PAGE, "Q") for at in range(10)]
    total = Sum(tuple(map(Value, range(10))), 64, False)
    some = runner(memory, reads, *map(Value, range(10)), total)
    for most in range(88):
        memory.reads.clear()
        collected = some.collect(Budget(bytes=most))
        there = [samples[0][1] for samples in collected.samples if samples]
        assert there == [*range(most // 8), *([45] if most >= 80 else [])]
        assert collected.stopped == ("" if most >= 80 else "bytes")
        assert collected.bytes == sum(length for _, length in memory.reads) <= most
        assert collected.unreadable == 0


def test_a_budget_of_time() -> None:
    """Once the time is over nothing more is read; it is looked at often enough."""
    memory = Bare()
    for at in range(1000):
        memory.put(memory.base + at * PAGE, "Q", at)
    reads = [Read(ABSOLUTE, memory.base + at * PAGE, "Q") for at in range(1000)]
    some = runner(memory, reads, *map(Value, range(1000)))
    collected = some.collect(Budget(expired=lambda: len(memory.reads) > 100))
    assert collected.stopped == "time"
    assert 100 <= sum(map(len, collected.samples)) <= 200
    assert len(memory.reads) <= 200
    memory.reads.clear()
    collected = some.collect(Budget(expired=lambda: True))
    assert (collected.stopped, collected.samples, memory.reads) == ("time", [[]] * 1000, [])


def test_nothing_wanted() -> None:
    """A program without reads may have series all the same; one without series has none."""
    memory = Bare()
    assert collect(memory, [], Constant(1)).samples == [[((), 1)]]
    assert collect(memory, []).samples == []
    assert memory.reads == []


@given(st.data())
def test_any_memory(data: st.DataObject) -> None:
    """Whatever pointers a kernel has, there is a value or none, and what is read is bounded."""
    memory = Bare(data.draw(st.sampled_from(ABIS)))
    base, pointer = memory.base, memory.abi.pointer
    places = st.integers(0, 63).map(lambda at: base + 8 * at)
    pointers = places | st.integers(0, memory.abi.address_mask) | st.just(base + PAGE - 3)
    for at in range(0, 512, memory.abi.pointer_size):
        memory.pointer(base + at, data.draw(pointers))
    reads = [Read(ABSOLUTE, data.draw(places), pointer)]
    codes = st.sampled_from([pointer, "I", "q", "d", "16s", TEXT, "H"])
    offsets = st.sampled_from([0, 8, -8, 2**31, -(2**40), 2**64 - 1])
    for _ in range(data.draw(st.integers(0, 12))):
        bases = [number for number, read in enumerate(reads) if read.code == pointer]
        reads.append(Read(data.draw(st.sampled_from(bases)), data.draw(offsets), data.draw(codes)))
    series = [Series(at, (Value(at),), Constant(1)) for at in range(len(reads))]
    total = [at for at, read in enumerate(reads) if read.code in (pointer, "I", "q", "H")]
    series.append(Series(len(reads), (), Sum(tuple(map(Value, total)), 64, False)))
    collected = collect(memory, reads, *series)
    assert all(len(one) <= 1 for one in collected.samples)
    assert collected.bytes <= 1 << 15
    assert not collected.samples[-1] or all(collected.samples[at] for at in total)
    assert math.isfinite(sum(value for one in collected.samples for _, value in one))
