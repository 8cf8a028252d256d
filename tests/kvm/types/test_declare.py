"""Types as C text: compilers take it back, and it reads as people expect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import shapes
from forge import cdecl, ctf

from kvm_exporter.kvm.types.ctf import Ctf
from kvm_exporter.kvm.types.declare import declare, spell
from kvm_exporter.kvm.types.model import Array, Composite, Member, Named, Pointer

TEXT = """
enum color { RED = -1, GREEN = 4 };
struct point { int x; int y; };
struct all { char c; long l; struct point in[2]; union { int i; struct { short lo; short hi; } h; };
    int (*fn)(struct all *, const char *, ...); int *(*table[3])(void); int (*grid)[4];
    const char *const *argv; volatile int *vp; int *const cp; unsigned a:3; unsigned b:7;
    enum color col; _Bool ok; char flex[]; };
typedef struct all *all_t;
typedef const int (*getter)(all_t, int[2]);
"""
LISTING = """\
struct s {
        char c;                                          /*     0     1 */
        /* 7 bytes unused */
        struct point *p;                                 /*     8     8 */
        union {
                int i;                                   /*    16     4 */
                char b[4];                               /*    16     4 */
        } u;                                             /*    16     4 */
        unsigned int x:3;                                /*    20:0 */
        unsigned int y:7;                                /*    20:3 */
};                                                       /* 24 bytes */"""


def read(text: str) -> Ctf:
    """The types of a C text."""
    return Ctf(ctf.Ctf(cdecl.Declarations(text)).data, 8)


def test_a_struct_is_listed_as_pahole_does() -> None:
    """Members with offset and size, bit-fields with byte and bit, gaps, nested unnamed structs."""
    types = read("struct s { char c; struct point *p; union { int i; char b[4]; } u; "
                 "unsigned x:3; unsigned y:7; };")  # fmt: skip
    assert declare(types.find("struct s")) == LISTING


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pid_t", "typedef int pid_t;"),
        ("int", "int;"),
        ("enum color", "enum color {\n        RED = -1,\n        GREEN = 4,\n};"),
        ("all_t", "typedef struct all *all_t;"),
        ("getter", "typedef const int (*getter)(all_t, int [2]);"),
    ],
)
def test_other_types_are_declared(name: str, text: str) -> None:
    """Typedefs, numbers and enums, as C has them, with their size."""
    lines = [
        line.partition("/*")[0].rstrip() for line in declare(read(TEXT).find(name)).split("\n")
    ]
    assert "\n".join(lines) == text


def test_a_compiler_takes_a_declaration_back(compiler: Callable[[str, str, str], Path]) -> None:
    """What is printed is C: read again, it is the same type."""
    types = read(TEXT)
    names = ("enum color", "struct point", "struct all", "all_t", "getter")
    again = read("\n".join(declare(types.find(name)) for name in names))
    compiler("x86_64-freebsd", "", "\n".join(declare(types.find(name)) for name in names))
    for name in names:
        assert shapes.ours(again.find(name)) == shapes.ours(types.find(name))
        assert declare(again.find(name)) == declare(types.find(name))


def test_circles_are_cut() -> None:
    """A pointer to itself and a struct in itself are printed up to a bound."""
    pointer: Pointer
    pointer = Pointer(8, lambda: pointer)
    assert "..." in spell(pointer)
    named: Named
    named = Named("const", lambda: named)
    assert "..." in spell(named)
    array: Array
    array = Array(lambda: array, 2)
    assert "..." in spell(array)
    struct: Composite
    struct = Composite(
        "struct", "", 8, (Member("a", lambda: struct, 0), Member("b", lambda: struct, 0))
    )
    assert len(declare(struct).split("\n")) <= 1 << 16
