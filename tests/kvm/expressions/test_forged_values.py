"""Is every form of expression the number that the forged kernel was given?

Kernels of both word sizes and byte orders, each a file with CTF and its memory; the expected
numbers are those that the test itself wrote.
"""

from __future__ import annotations

import pytest
from fakes.counted import values
from forge.counting import MACHINES, Counting
from forge.nested import TYPES, kernel_of, outer


@pytest.fixture(params=MACHINES)
def kernel(request: pytest.FixtureRequest) -> Counting:
    """A kernel of each machine."""
    return kernel_of(request.param)


INTEGERS = {
    "char": -3,
    "signed char": -128,
    "u_char": 200,
    "short": -30000,
    "u_short": 60000,
    "int": -(2**31),
    "u_int": 4_000_000_000,
    "long": -5,
    "u_long": 4_000_000_001,
    "long long": -(2**63),
    "unsigned long long": 2**64 - 1,
    "int8_t": -1,
    "uint16_t": 65535,
    "int64_t": -(2**62),
    "uint64_t": 2**63 + 1,
    "size_t": 77,
    "_Bool": 1,
    "enum vtype": -1,
    "enum huge": 2**31 - 1,
    "vuint_t": 2**32 - 1,
    "const int": 9,
    "volatile long": -9,
}


def test_a_variable_is_its_number_as_its_type_says(kernel: Counting) -> None:
    """Any width, with a sign or without, behind typedefs and qualifiers."""
    expected = {}
    for at, (type_, number) in enumerate(INTEGERS.items()):
        kernel.variable(f"{type_} v{at}", number)
        expected[f"v{at}"] = number
    if not kernel.c.abi.plain_char_signed:
        expected["v0"] = 253
    assert values(kernel, list(expected)) == expected


def test_numbers_with_a_fraction(kernel: Counting) -> None:
    """Of four bytes and of eight."""
    kernel.variable("float small", 0.375)
    kernel.variable("double large", -1.5e300)
    assert values(kernel, ["small", "large"]) == {"small": 0.375, "large": -1.5e300}


MEMBERS: dict[str, int | float] = {
    "o.o_in.i_x": -7,
    "o.o_in.i_deep": -2,
    "o.o_in.i_deeper": 65534,  # an anonymous struct's member, and its union's, are the struct's own
    "o.o_in.i_bytes[3]": 250,
    "o.o_ptr->i_x": -70,
    "(*o.o_ptr).i_x": -70,
    "o.o_ptr[0].i_x": -70,
    "o.o_ptr->i_word": 0x01020304,
    "(&o)->o_in.i_x": -7,
    "(&o.o_in)->i_x": -7,
    "*&o.o_in.i_x": -7,
    "o.o_next->o_array[2]": 93,
    "o.o_next->o_ptr->i_x": -70,
    "(*o.o_back)->o_array[3]": 94,
    "o.o_back[0]->o_array[0]": 91,
    "o.o_array[0]": 10,
    "o.o_array[1]": -11,
    "*o.o_array": 10,
    "o.o_array[1 + 2]": 13,
    "o.o_array[VDIR]": 12,
    "o.o_array[(sizeof(int)) / 4]": -11,
    "o.o_grid[1][2]": -6,
    "o.o_grid[0][1]": 2,
    "o.o_structs[1].i_x": 101,
    "o.o_structs[1].i_deep": 7,
    "o.o_ptrs[2]->i_x": -70,
    "o.o_qualified": 2**32 - 2,
    "o.o_renamed": 2**32 - 3,
    "o.o_true": 1,
    "o.o_false": 0,
    "o.o_float": -0.5,
    "o.o_double": 1e-9,
    "o.o_kind": 2,
    "o.o_bad": -1,
    "po->o_array[3]": 13,
    "(*po).o_in.i_x": -7,
    "po[0].o_grid[1][0]": 4,
    "po->o_next->o_ptr->i_x": -70,
    "ppo[0]->o_kind": 2,
    "(*ppo)->o_kind": 2,
}


def test_members_elements_and_what_pointers_point_at(kernel: Counting) -> None:
    """Every way from a variable to a number, however many pointers lie on it."""
    thing = kernel.variable("struct outer o", outer(kernel))
    pointer = kernel.variable("struct outer *po", thing)
    kernel.variable("struct outer **ppo", pointer)
    assert values(kernel, list(MEMBERS)) == MEMBERS


BITS = {
    "b_low": 5,
    "b_mid": 100,
    "b_signed": -9,
    "b_wide": 2**40 - 77,
    "b_char": 2,
    "b_last": 1,
    "b_whole": 2**64 - 5,
    "b_kind": 2,
    "b_long": -(2**32),
}


def test_bit_fields(kernel: Counting) -> None:
    """Across bytes and words, signed or not, in either order of bits."""
    kernel.variable("struct bits b", BITS)
    if kernel.c.abi.pointer == 4:
        kernel = Counting(kernel.machine)
        kernel.declare(TYPES.replace("long b_long:33;", "int64_t b_long:33;"))
        kernel.variable("struct bits b", BITS)
    assert values(kernel, [f"b.{name}" for name in BITS]) == {
        f"b.{name}": number for name, number in BITS.items()
    }


CONSTANTS: dict[str, int | float] = {
    "7": 7,
    "0x10 + 010": 24,
    "1.5": 1.5,
    "u + 1": 1001,
    "u - 2000": -1000,
    "u * 4096": 4096000,
    "u / 8": 125,
    "u / 3": 1000 / 3,
    "u % 7": 6,
    "m % 7": -3,  # C's remainder has the dividend's sign
    "m / 2": -5,
    "u << 3": 8000,
    "u >> 3": 125,
    "m >> 1": -5,
    "u & 0xf": 8,
    "u | 1": 1001,
    "u ^ 0xff": 1000 ^ 0xFF,
    "~m": 9,
    "-m": 10,
    "!u": 0,
    "!zero": 1,
    "u == 1000": 1,
    "u != 1000": 0,
    "u < 1000": 0,
    "u <= 1000": 1,
    "u > m": 1,
    "u >= 1001": 0,
    "u && zero": 0,
    "u && m": 1,
    "zero || zero": 0,
    "zero || m": 1,
    "u + 2 * 3": 1006,
    "(u + 2) * 3": 3006,
    "u - 1 - 2": 997,
    "1 << 2 + 1": 8,
    "u & 8 == 8": 0,  # C's precedence: u & (8 == 8)
    "u * 1e-3": 1.0,
    "f * 2": 0.75,
    "-f": -0.375,
    "VBLK + 0": 5,
    "VBAD + 1": 0,
    "sizeof(int)": 4,
    "sizeof(u)": 4,
    "sizeof(struct inner)": 12,
    "sizeof(enum vtype)": 4,
    "sizeof(char[16])": 16,
    "(u_char)u": 232,
    "(signed char)u": -24,
    "(u_int)m": 2**32 - 10,
    "(uint64_t)m": 2**64 - 10,
    "(int64_t)huge": -1,
    "(int)2.9": 2,
    "(int)-2.9": -2,
    "(_Bool)u": 1,
    "(double)u": 1000.0,
    "(u_short)(u + 65536)": 1000,
}


def test_arithmetic(kernel: Counting) -> None:
    """As C has it, but that integers have no end, and / is a true division."""
    kernel.variable("u_int u", 1000)
    kernel.variable("int m", -10)
    kernel.variable("int zero", 0)
    kernel.variable("uint64_t huge", 2**64 - 1)
    kernel.variable("float f", 0.375)
    found = values(kernel, list(CONSTANTS))
    assert found == CONSTANTS
    whole = {text for text, number in CONSTANTS.items() if isinstance(number, int)}
    assert {text for text, number in found.items() if isinstance(number, int)} == whole


def test_division_by_zero_gives_nothing(kernel: Counting) -> None:
    """No series, and no error: the next collection may have a number."""
    kernel.variable("int zero", 0)
    kernel.variable("int one", 1)
    asked = ["one / zero", "one % zero", "one / (zero * 1.0)"]
    assert values(kernel, asked) == {text: {} for text in asked}


def test_an_index_may_be_a_variable(kernel: Counting) -> None:
    """Plain variables, in an index and as bounds of a slice."""
    kernel.variable("int a[6]", [10, 11, 12, 13, 14, 15])
    kernel.variable("int from", 1)
    kernel.variable("int to", 4)
    found = values(kernel, ["a[from]", "a[to - from]", "a[from:to]"])
    assert found == {
        "a[from]": 11,
        "a[to - from]": 13,
        "a[from:to]": {(("index", "1"),): 11, (("index", "2"),): 12, (("index", "3"),): 13},
    }


def test_every_element_has_its_index(kernel: Counting) -> None:
    """All of them, a slice, arrays in arrays; through pointers and members."""
    kernel.variable("struct outer o", outer(kernel))
    found = values(
        kernel,
        [
            "o.o_array[*]",
            "o.o_array[1:3]",
            "o.o_array[:2]",
            "o.o_array[2:]",
            "o.o_grid[*][*]",
            "o.o_grid[1][*]",
            "o.o_structs[*].i_x",
            "o.o_ptrs[*]->i_x",
            "o.o_array[*] * 2",
        ],
    )

    def by(numbers: dict[object, int]) -> dict[object, int]:
        return {(("index", str(at)),): number for at, number in numbers.items()}

    assert found["o.o_array[*]"] == by({0: 10, 1: -11, 2: 12, 3: 13})
    assert found["o.o_array[1:3]"] == by({1: -11, 2: 12})
    assert found["o.o_array[:2]"] == by({0: 10, 1: -11})
    assert found["o.o_array[2:]"] == by({2: 12, 3: 13})
    assert found["o.o_grid[*][*]"] == {
        (("index", str(row)), ("index2", str(column))): number
        for row, numbers in enumerate([[1, 2, 3], [4, 5, -6]])
        for column, number in enumerate(numbers)
    }
    assert found["o.o_grid[1][*]"] == by({0: 4, 1: 5, 2: -6})
    assert found["o.o_structs[*].i_x"] == by({0: 100, 1: 101, 2: 102})
    assert found["o.o_ptrs[*]->i_x"] == by({0: -70, 2: -70})
    assert found["o.o_array[*] * 2"] == by({0: 20, 1: -22, 2: 24, 3: 26})


def test_every_member_that_is_a_number_has_its_name(kernel: Counting) -> None:
    """``.*``: no pointers, texts, arrays or structs; anonymous ones' members are its own."""
    kernel.declare(
        "struct stat { u_int s_in, s_out; int *s_p; char s_t[4]; union { short s_u; };int s_b:3; };"
    )
    kernel.variable("struct stat s", {"s_in": 1, "s_out": 2, "s_u": -3, "s_b": 2, "s_t": "abc"})
    found = values(kernel, ["s.*"])
    assert found["s.*"] == {
        (("index", name),): number
        for name, number in {"s_in": 1, "s_out": 2, "s_u": -3, "s_b": 2}.items()
    }


def test_a_truth_is_0_or_1(kernel: Counting) -> None:
    """Whatever else is in its byte."""
    kernel.declare("struct truths { _Bool t_bit:1, t_other:1; _Bool t_byte; };")
    kernel.variable("_Bool odd", 0x40)
    kernel.variable("struct truths t", {"t_other": 1, "t_byte": 2})
    expected = {"odd": 1, "t.t_bit": 0, "t.t_other": 1, "t.t_byte": 1, "(u_char)odd": 1, "!odd": 0}
    assert values(kernel, list(expected)) == expected


def test_no_element_is_behind_the_end_of_all_addresses(kernel: Counting) -> None:
    """An index does not begin anew at the first one."""
    kernel.variable("int *p", kernel.variable("int a[3]", [1, 2, 3]))
    word = 8 * kernel.c.abi.pointer
    found = values(
        kernel, [f"p[1 << {word}]", f"p[1 << {word - 2}]", f"(&a)[1 << {word}][0]", "p[2]"]
    )
    assert found.pop("p[2]") == 3
    assert not [text for text, answer in found.items() if not isinstance(answer, str)]


def test_seconds(kernel: Counting) -> None:
    """Times are seconds, whatever struct they are kept in."""
    kernel.declare(
        "struct timeval { time_t tv_sec; long tv_usec; };"
        "struct timespec { time_t tv_sec; long tv_nsec; };"
        "struct bintime { time_t sec; uint64_t frac; };"
        "struct holder { struct timeval h_time; struct bintime *h_bin; };"
    )
    kernel.variable("struct timeval tv", {"tv_sec": 100, "tv_usec": 250000})
    kernel.variable("struct timespec ts", {"tv_sec": 2**31 - 1, "tv_nsec": 500_000_000})
    kernel.variable("struct bintime bt", {"sec": -2, "frac": 3 << 62})
    bin_ = kernel.new("struct bintime", sec=5, frac=1 << 63)
    kernel.variable("struct holder h", {"h_time": {"tv_sec": 7}, "h_bin": bin_})
    expected = {
        "tv": 100.25,
        "ts": 2**31 - 0.5,
        "bt": -1.25,
        "h.h_time": 7.0,
        "*h.h_bin": 5.5,
        "tv.tv_usec": 250000,
        "tv * 1000": 100250.0,
    }
    assert values(kernel, list(expected)) == expected


@pytest.mark.parametrize("machine", MACHINES)
def test_bit_fields_of_packed_structs(machine: str) -> None:
    """Also those that lie in no aligned integer, as in a processor's descriptors."""
    kernel = Counting(machine)
    kernel.declare(
        "struct packed { uint64_t p_low:16, p_base:24, p_kind:5, p_rest:11, p_high:40; "
        "int p_sign:16; } __packed;"
    )
    stored = {"p_low": 0xABCD, "p_base": 0x123456, "p_high": 0x9A_BCDE_F012, "p_sign": -3}
    kernel.variable("struct packed packed", stored)
    assert values(kernel, [f"packed.{name}" for name in stored]) == {
        f"packed.{name}": value for name, value in stored.items()
    }
