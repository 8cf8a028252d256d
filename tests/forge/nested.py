"""Which structs does a test of expressions need?  Members of every kind, and pointers to more."""

from __future__ import annotations

from forge.counting import Counting

TYPES = """
enum vtype { VNON, VREG, VDIR, VBLK = 5, VBAD = -1 };
enum huge { HUGE_A = 3, HUGE_B = 0x7fffffff };
typedef volatile u_int vuint_t;
struct inner {
    int i_x;
    union { u_int i_word; u_char i_bytes[4]; };
    struct { union { short i_deep; u_short i_deeper; }; };
};
struct bits {
    u_int b_low:3, b_mid:7; int b_signed:5; uint64_t b_wide:40; u_char b_char:2; u_int b_last:1;
    uint64_t b_whole; enum vtype b_kind:8; long b_long:33;
};
struct hidden;
struct outer {
    char o_pad[3];
    struct inner o_in; struct inner *o_ptr; struct outer *o_next, **o_back;
    int o_array[4]; short o_grid[2][3]; struct inner o_structs[3]; struct inner *o_ptrs[4];
    char o_name[8]; char *o_text; void *o_void; int (*o_function)(int);
    volatile const u_long o_qualified; vuint_t o_renamed; _Bool o_true, o_false;
    float o_float; double o_double; enum vtype o_kind, o_bad; struct hidden *o_hidden;
    int o_flexible[];
};
"""


def kernel_of(machine: str) -> Counting:
    """A kernel of that machine with these types."""
    kernel = Counting(machine)
    kernel.declare(TYPES)
    return kernel


def outer(kernel: Counting) -> dict[str, object]:
    """A struct outer's members, and what they point at."""
    inner = kernel.new("struct inner", i_x=-70, i_word=0x01020304)
    last = kernel.new("struct outer", o_array=[91, 92, 93, 94], o_ptr=inner)
    back = kernel.world.bytes(kernel.world.pointer(last.address))
    return {
        "o_in": {"i_x": -7, "i_deep": -2, "i_bytes": [1, 2, 3, 250]},
        "o_ptr": inner,
        "o_next": last,
        "o_back": back,
        "o_array": [10, -11, 12, 13],
        "o_grid": [[1, 2, 3], [4, 5, -6]],
        "o_structs": [{"i_x": 100}, {"i_x": 101, "i_deep": 7}, {"i_x": 102}],
        "o_ptrs": [inner, None, inner, None],
        "o_name": "disk",
        "o_text": kernel.text("text"),
        "o_void": inner,
        "o_function": 0x1234,
        "o_qualified": 2**32 - 2,
        "o_renamed": 2**32 - 3,
        "o_true": 1,
        "o_float": -0.5,
        "o_double": 1e-9,
        "o_kind": 2,
        "o_bad": -1,
        "o_hidden": inner,
    }
