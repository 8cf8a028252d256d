"""What does an expression take memory for, and what does it refuse?

Casts, declared and unknown types, pointers, and reasons that help.
"""

from __future__ import annotations

import struct

import pytest
from fakes.counted import ask, values
from forge.counting import MACHINES, Counting
from forge.nested import kernel_of, outer

from kvm_exporter.kvm.expressions.wanted import Metric


@pytest.fixture(params=MACHINES)
def kernel(request: pytest.FixtureRequest) -> Counting:
    """A kernel of each machine."""
    return kernel_of(request.param)


def test_casts_of_memory(kernel: Counting) -> None:
    """A struct, an array, a union's bytes or what a void pointer leads to, as another type."""
    inner = kernel.new("struct inner", i_x=-70, i_word=5)
    kernel.variable("struct outer o", {"o_void": inner, "o_array": [1, 2, 3, 4]})
    kernel.variable("u_char raw[16]", list(range(16)))
    order = kernel.world.byteorder
    first = bytes(range(16))
    whole = "<" if order == "little" else ">"
    expected = {
        "((struct inner *)o.o_void)->i_x": -70,
        "((struct inner *)o.o_void)->i_word": 5,
        "*(int *)o.o_void": -70,
        "((int *)o.o_array)[2]": 3,
        "(uint32_t)raw": struct.unpack(f"{whole}I", first[:4])[0],
        "(uint64_t)raw": struct.unpack(f"{whole}Q", first[:8])[0],
        "((struct inner)raw).i_x": struct.unpack(f"{whole}i", first[:4])[0],
        "((u_short[8])raw)[1]": struct.unpack(f"{whole}H", first[2:4])[0],
        "((struct inner *)raw)->i_x": struct.unpack(f"{whole}i", first[:4])[0],
        "*(u_short *)&raw[4]": struct.unpack(f"{whole}H", first[4:6])[0],
        "((struct inner *)&raw)->i_x": struct.unpack(f"{whole}i", first[:4])[0],
    }
    assert values(kernel, list(expected)) == expected


def test_a_declared_type_is_taken_first(kernel: Counting) -> None:
    """Of a variable that has none, or another one than is wanted."""
    place = kernel.variable("u_char typed[12]", [1, 0, 0, 0] * 3)
    kernel.world.symbol("untyped", place.address, 12)
    found = values(
        kernel,
        ["untyped.i_x", "typed[1]", "typed"],
        types={"untyped": "struct inner", "typed": "uint8_t"},
    )
    assert found["untyped.i_x"] == (1 if kernel.world.byteorder == "little" else 1 << 24)
    assert found["typed"] == 1
    assert "typed[1]: column 6" in str(found["typed[1]"])


def test_an_unknown_type_needs_a_cast(kernel: Counting) -> None:
    """The kernel has no type for it: the reason says what to do."""
    kernel.world.symbol("untyped", kernel.variable("int typed", 77).address, 4)
    found = values(kernel, ["untyped", "(int)untyped", "*(int *)&untyped", "untyped.x"])
    assert found["(int)untyped"] == 77
    assert found["*(int *)&untyped"] == 77
    for text in ("untyped", "untyped.x"):
        assert "types:" in str(found[text])
        assert "cast" in str(found[text])


def test_a_pointer_is_no_number(kernel: Counting) -> None:
    """No address gets out: not as a value, a sum, a cast or a difference."""
    kernel.variable("struct outer o", outer(kernel))
    kernel.variable("counter_u64_t c", 0)
    addresses = [
        "o.o_ptr",
        "&o",
        "&o.o_array[1]",
        "o.o_function",
        "o.o_void",
        "(u_long)o.o_ptr",
        "(u_long)&o",
        "o.o_ptr + 1",
        "o.o_ptr - 0",
        "&o + 0",
        "-o.o_ptr",
        "~o.o_ptr",
        "o.o_ptr & 0xfff",
        "o.o_ptr >> 12",
        "o.o_ptr * 1",
        "(double)o.o_ptr",
        "o.o_array[o.o_ptr]",
        "o.o_ptr < 4096",
        "o.o_ptr == 4096",
        "(uint64_t)(void *)&o",
        "(u_long[1])o.o_ptr",
        "*(u_long *)&o.o_ptr",
        "((u_long *)&o.o_ptr)[0]",
        "((u_long[2])o.o_ptrs)[1]",
        "sum(((u_char *)&o.o_ptr)[0:4])",
        "((uint32_t *)o.o_ptrs)[*]",
        "((u_long *)&o)[2]",
        "((u_long *)&o)[1:4]",
        "((u_char *)&o)[16]",
        "((u_long *)o.o_next)[2]",
        "o.o_ptrs[*]",
    ]
    found = values(kernel, addresses)
    assert not {text: answer for text, answer in found.items() if not isinstance(answer, str)}


def test_whether_a_pointer_is_null_may_be_asked(kernel: Counting) -> None:
    """Compared with 0, or negated."""
    kernel.variable("struct outer o", outer(kernel))
    expected = {
        "!o.o_ptr": 0,
        "!!o.o_ptr": 1,
        "o.o_ptrs[1] == 0": 1,
        "o.o_ptrs[0] != 0": 1,
        "!o.o_ptrs[3]": 1,
        "o.o_function != 0": 1,
        "o.o_ptr && o.o_next": 1,
        "o.o_ptr == o.o_next": 0,
        "o.o_ptr == o.o_ptrs[2]": 1,
    }
    assert values(kernel, list(expected)) == expected


def test_what_is_behind_a_null_or_bad_pointer_is_absent(kernel: Counting) -> None:
    """Its series is left out, the others stay; what could not be read is counted."""
    kernel.variable("struct outer *null", None)
    kernel.variable("struct outer *bad", 0x10)
    kernel.variable("int good", 5)
    asked = [
        "null->o_array[1]",
        "null->o_next->o_kind",
        "bad->o_kind",
        "good",
        "good + bad->o_kind",
    ]
    found = ask(kernel, [Metric(text, (text,)) for text in asked])
    assert not found.missing
    assert [found[text] for text in asked] == [{}, {}, {}, {(): 5}, {}]
    assert found.collected.unreadable > 0


REFUSED = {
    "nosuch": 1,
    "o.nosuch": 3,
    "o.o_in.i_y": 8,
    "o->o_in": 2,
    "o.o_ptr.i_x": 9,
    "o.o_array": 1,
    "o.o_in": 1,
    "o": 1,
    "o.o_array[4]": 10,
    "o.o_array[-1]": 10,
    "o.o_in[0]": 7,
    "o.o_kind.x": 10,
    "*o.o_kind": 1,
    "(struct nosuch)o": 2,
    "(struct inner *)5": 2,
    "((struct inner *)o.o_kind)->i_x": 3,
    "o.o_hidden->x": 13,
    "o.o_name": 1,
    "o.o_text": 1,
    "VNOSUCH + 1": 1,
    "o.o_grid[*][3]": 12,
    "percpu(o.o_kind)": 1,
    "sizeof(struct nosuch)": 1,
    "o.o_array[1:9]": 10,
    "o.o_array[3:1]": 10,
}


def test_what_means_nothing_is_missing_for_a_reason(kernel: Counting) -> None:
    """The reason points at the column; the others are collected."""
    kernel.variable("struct outer o", outer(kernel))
    found = values(kernel, [*REFUSED, "o.o_kind"])
    assert found["o.o_kind"] == 2
    answered = {text: found[text] for text in REFUSED if not isinstance(found[text], str)}
    assert not answered
    for text in REFUSED:
        assert f"{text}: column " in str(found[text]), (text, found[text])


def test_near_names_are_offered(kernel: Counting) -> None:
    """Of variables, members and types."""
    kernel.variable("struct outer osprey", outer(kernel))
    found = values(kernel, ["ospray", "osprey.o_aray", "(struct inne)osprey", "ospray.x"])
    assert "osprey" in str(found["ospray"]).partition("column")[2]
    assert "o_array" in str(found["osprey.o_aray"]).partition("column")[2]
    assert "struct inner" in str(found["(struct inne)osprey"])


def test_alternatives_are_tried_in_order(kernel: Counting) -> None:
    """The first that this kernel has counts, though a later one would, too."""
    kernel.variable("int newer", 1)
    kernel.variable("int older", 2)
    found = ask(
        kernel,
        [
            Metric("a", ("newest", "newer", "older")),
            Metric("b", ("older", "newer")),
            Metric("c", ("newest", "oldest")),
        ],
    )
    assert found["a"] == {(): 1}
    assert found["b"] == {(): 2}
    assert "newest" in found.missing["c"]
    assert "oldest" in found.missing["c"]


def test_a_number_larger_than_its_symbol(kernel: Counting) -> None:
    """What a compiler made smaller (Clang: a byte for two values) is not read with what follows."""
    kernel.variable("int started", 0)
    symbol = kernel.world.symbols[-1]
    kernel.world.symbols[-1] = symbol._replace(size=1)
    kernel.world.write(symbol.address, b"\1\2\3\4")
    reason = values(kernel, ["started"])["started"]
    assert "4 bytes, its symbol 1" in str(reason)
    assert "types:" in str(reason)
    assert values(kernel, ["started"], types={"started": "uint8_t"}) == {"started": 1}
