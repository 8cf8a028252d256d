"""Is a type's name the type that C means, also where the kernel's type information lacks it?"""

from __future__ import annotations

import pytest
from fakes.counting import opened
from forge.counting import Counting
from hypothesis import given
from hypothesis import strategies as st

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import TypeMissing
from kvm_exporter.kvm.expressions.compiling.type_names import find_type, type_name
from kvm_exporter.kvm.expressions.language.syntax import ExpressionError
from kvm_exporter.kvm.types.declare import spell
from kvm_exporter.kvm.types.flatten import is_signed, size_of
from kvm_exporter.kvm.types.model import (
    Array,
    Composite,
    Enum,
    Float,
    Integer,
    Named,
    Pointer,
    Void,
    resolve,
)
from kvm_exporter.kvm.types.tables import Tables

DECLARED = """
struct proc { int p_pid; struct proc *p_next; };
union sigval { int sival_int; void *sival_ptr; };
enum states { S_IDLE, S_BUSY };
typedef struct proc proc_t;
typedef long time_t;
"""
WIDE, NARROW = Abi("<", 8), Abi(">", 4)


@pytest.fixture(scope="module", params=["amd64", "powerpc"])
def target(request):
    """A kernel with types."""
    kernel = Counting(request.param)
    kernel.declare(DECLARED)
    kernel.variable("struct proc proc0")
    kernel.variable("union sigval sigval0")
    kernel.variable("enum states state")
    kernel.variable("proc_t *last")
    kernel.variable("time_t now")
    return opened(kernel)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("struct proc", Composite),
        ("union sigval", Composite),
        ("enum states", Enum),
        ("proc_t", Named),
        ("time_t", Named),
        ("int", Integer),
        ("struct proc *", Pointer),
        ("struct proc *[4]", Array),
        ("void", Void),
        ("void *", Pointer),
    ],
)
def test_what_the_kernel_tells(text, kind, target):
    """A name of the kernel's type information, and what C makes of it."""
    found = find_type(target.types, target.abi, text)
    assert isinstance(found, kind)
    assert spell(found).replace(" [", "[") == text


def test_pointers_and_arrays_lead_on(target):
    """An array of three of two of pointers to structs, as C declares it."""
    found = find_type(target.types, target.abi, "const struct proc * [3][0x2]")
    width = target.abi.pointer_size
    assert isinstance(found, Array)
    assert (found.count, size_of(found)) == (3, 6 * width)
    inner = found.element()
    assert isinstance(inner, Array)
    assert inner.count == 2
    pointer = inner.element()
    assert isinstance(pointer, Pointer)
    assert pointer.size == width
    assert resolve(pointer.target()).name == "proc"


@pytest.mark.parametrize("known", [True, False], ids=["types", "no types"])
@pytest.mark.parametrize(
    ("text", "size", "signed"),
    [
        ("signed char", 1, True),
        ("unsigned char", 1, False),
        ("short", 2, True),
        ("short int", 2, True),
        ("unsigned short", 2, False),
        ("short unsigned int", 2, False),
        ("int", 4, True),
        ("signed", 4, True),
        ("unsigned", 4, False),
        ("unsigned int", 4, False),
        ("int unsigned", 4, False),
        ("long", 0, True),
        ("long int", 0, True),
        ("unsigned long", 0, False),
        ("long unsigned int", 0, False),
        ("long long", 8, True),
        ("long long unsigned int", 8, False),
        ("u_int", 4, False),
        ("u_long", 0, False),
        ("uint64_t", 8, False),
        ("int8_t", 1, True),
        ("u_int16_t", 2, False),
        ("u32", 4, False),
        ("__s64", 8, True),
        ("size_t", 0, False),
        ("ssize_t", 0, True),
        ("bool", 1, False),
        ("_Bool", 1, False),
    ],
)
def test_integers_of_c(known, text, size, signed, target):
    """In any order of their words, of the machine's width, whether the kernel lists them or not."""
    for abi in (target.abi,) if known else (WIDE, NARROW):
        types = target.types if known else Tables("", abi.pointer_size)
        found = resolve(find_type(types, abi, text))
        assert (found.size, is_signed(found)) == (size or abi.pointer_size, signed)


def test_floats_and_counters_without_type_information():
    """They have a size that every machine has; a counter is a pointer."""
    types = Tables("", 8)
    assert find_type(types, WIDE, "double") == Float("double", 8)
    assert find_type(types, WIDE, "float") == Float("float", 4)
    counter = find_type(types, NARROW, "counter_u64_t")
    assert isinstance(counter, Named)
    pointer = resolve(counter)
    assert isinstance(pointer, Pointer)
    assert (pointer.size, size_of(pointer.target())) == (4, 8)
    assert find_type(types, WIDE, "char").kind == "char"
    assert find_type(types, WIDE, "bool").kind == "bool"


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("struct prc", "struct proc"),
        ("proc", "struct proc"),
        ("struct states", "enum states"),
        ("uint46_t", "uint64_t"),
        ("struct time_t", "time_t"),
    ],
)
def test_near_names(text, near, target):
    """What is missing is told with what is spelled nearly so, and what has another tag."""
    with pytest.raises(TypeMissing, match=f"no {text}; near: ") as caught:
        find_type(target.types, target.abi, text)
    assert near in str(caught.value).partition("near: ")[2].split(", ")


@pytest.mark.parametrize("text", ["unsigned double", "unsigned void", "long double", "short long"])
def test_words_of_c_that_are_no_type(text, target):
    """Together they name nothing that a kernel has."""
    with pytest.raises(TypeMissing):
        find_type(target.types, target.abi, text)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("", 1),
        ("struct", 1),
        ("struct int", 1),
        ("*", 1),
        ("int x", 5),
        ("int[", 4),
        ("int[n]", 4),
        ("int[2.5]", 4),
        ("int (*)(void)", 5),
        ("4", 1),
        ("`int`", 1),
        ("const", 1),
        ("int" + "*" * 9, 1),
        ("int" + "[1]" * 9, 1),
    ],
)
def test_what_is_no_name_of_a_type(text, column, target):
    """The error has the column."""
    with pytest.raises(ExpressionError) as caught:
        find_type(target.types, target.abi, text)
    assert caught.value.column == column


@given(st.text("structin *[]4`const_voade", max_size=30))
def test_any_text(text):
    """Any text is a type's name, which is read back from its own text, or an error."""
    try:
        found = type_name(text)
    except ExpressionError as error:
        column = error.column
        assert 1 <= column <= len(text) + 1
        return
    again = type_name(str(found))
    assert again == found
    assert str(again) == str(found)
