"""Which walks does a list become?"""

from __future__ import annotations

import pytest
from fakes.compiling import HOST, PERCPU, VNET, Forged, forged
from forge import cdecl

from kvm_exporter.kvm.expressions.program import (
    ABSOLUTE,
    ELEMENT,
    Address,
    Chain,
    Compiled,
    Constant,
    Position,
    Read,
    Strided,
    Tree,
    Value,
)
from kvm_exporter.kvm.expressions.wanted import List, Metric, Step
from kvm_exporter.kvm.objects.copies import Vnet

QUEUES = """
struct tail { struct e *tqh_first, **tqh_last; };
struct tail_link { struct e *tqe_next, **tqe_prev; };
struct single { struct e *slh_first; }; struct single_link { struct e *sle_next; };
struct stail { struct e *stqh_first, **stqh_last; }; struct stail_link { struct e *stqe_next; };
struct list { struct e *lh_first; }; struct list_link { struct e *le_next, **le_prev; };
struct cs { struct e *cslh_first; }; struct cs_link { struct e *csle_next; };
struct cst { struct e *cstqh_first, **cstqh_last; }; struct cst_link { struct e *cstqe_next; };
struct cl { struct e *clh_first; }; struct cl_link { struct e *cle_next, **cle_prev; };
struct rb { struct e *rbh_root; }; struct rb_link { struct e *rbe_link[3]; };
struct old_link { struct e *rbe_left, *rbe_right, *rbe_parent; int rbe_color; };
struct splay { struct e *sph_root; }; struct splay_link { struct e *spe_left, *spe_right; };
struct e {
    int e_id; char e_name[8]; struct e *e_plain; struct list e_inside;
    %s_link e_link;
};
struct tail tail; struct single single; struct stail stail; struct list list; struct cs cs;
struct cst cst; struct cl cl; struct rb rb; struct splay splay; struct e *first;
struct list table[4], *hash; struct e es[3], *ptrs[4]; struct tail *head;
int mask;
"""


def queues(link: str) -> Forged:
    """A kernel with lists of all kinds, elements linked by a struct."""
    made = forged(QUEUES % f"struct {link}")
    for number, name in enumerate(made.c.variables):
        made.put(name, 0x1000 * (1 + number))
    return made


def compiled(kernel: Forged, *steps: Step, **more: object) -> Compiled:
    """A list of one metric, the element's e_id."""
    wanted = List("l", steps, (Metric("m", ("e_id",)),), **more)
    found = kernel.module(lists=[wanted])
    assert not found.missing, found.missing
    return found


@pytest.mark.parametrize(
    ("head", "link", "back"),
    [
        ("tail", "tail", True),
        ("single", "single", False),
        ("stail", "stail", False),
        ("list", "list", True),
        ("cs", "cs", False),
        ("cst", "cst", False),
        ("cl", "cl", True),
    ],
)
def test_queues(head: str, link: str, back: bool) -> None:
    """A FreeBSD list's head tells its kind, its elements and the only member that links them."""
    kernel = queues(link)
    (found,) = compiled(kernel, Step((head,))).lists
    at = kernel.c.offset("e", "e_link")
    shape = Chain(0, at, 0, at + 8 if back else None, at)
    (walk,) = found.walks
    assert walk.heads == (Address(ABSOLUTE, kernel.variables[head][1]),)
    assert walk.shape == shape
    assert walk.reads == ()
    assert found.program.reads == (Read(ELEMENT, 0, "i"),)


@pytest.mark.parametrize(
    ("head", "link", "left", "right"),
    [("rb", "rb", 8, 16), ("rb", "old", 0, 8), ("splay", "splay", 0, 8)],
)
def test_trees(head: str, link: str, left: int, right: int) -> None:
    """A tree's links are found in their old and their new form."""
    kernel = queues(link)
    (found,) = compiled(kernel, Step((head,))).lists
    at = kernel.c.offset("e", "e_link")
    assert found.walks[0].shape == Tree(0, at + left, at + right, 0)


LINUX = """
struct list_head { struct list_head *next, *prev; };
struct hlist_node { struct hlist_node *next, **pprev; };
struct hlist_head { struct hlist_node *first; };
struct hlist_nulls_node { struct hlist_nulls_node *next, **pprev; };
struct hlist_nulls_head { struct hlist_nulls_node *first; };
struct llist_node { struct llist_node *next; }; struct llist_head { struct llist_node *first; };
struct hlist_bl_node { struct hlist_bl_node *next, **pprev; };
struct hlist_bl_head { struct hlist_bl_node *first; };
struct rb_node { unsigned long __rb_parent_color; struct rb_node *rb_right, *rb_left; };
struct rb_root { struct rb_node *rb_node; };
struct rb_root_cached { struct rb_root rb_root; struct rb_node *rb_leftmost; };
struct e { int e_id; struct { struct list_head ring; struct list_head other; } in;
    struct hlist_node hash; struct hlist_nulls_node nulls; struct llist_node lockless;
    struct rb_node tree; struct hlist_bl_node bits; };
struct list_head ring; struct hlist_head hash; struct hlist_nulls_head nulls;
struct llist_head lockless; struct rb_root root; struct rb_root_cached cached;
struct hlist_bl_head locked;
"""


@pytest.mark.parametrize(
    ("head", "via", "shape"),
    [
        ("ring", "in.ring", Chain(0, 0, 8, 8, 0, circular=True)),
        ("ring", "in.other", Chain(0, 0, 24, 8, 0, circular=True)),
        ("hash", "", Chain(0, 0, 40, 8, 0)),
        ("nulls", "", Chain(0, 0, 56, 8, 0, marked=True)),
        ("lockless", "", Chain(0, 0, 72, None, 0)),
        ("locked", "", Chain(0, 0, 104, 8, 0, locked=True)),
        ("root", "tree", Tree(0, 16, 8, 80)),
        ("cached", "", Tree(0, 16, 8, 80)),
    ],
)
def test_linux_lists(head: str, via: str, shape: Chain | Tree) -> None:
    """Linux's lists join nodes in the elements: the shape tells where."""
    kernel = forged(LINUX, **{head: 0x5000})
    (found,) = compiled(kernel, Step((head,), via, "struct e")).lists
    assert found.walks[0].shape == shape
    assert found.walks[0].heads == (Address(ABSOLUTE, 0x5000),)


def test_plain_pointers() -> None:
    """A pointer to a struct is a list with the member that points at the next."""
    kernel = queues("list")
    (found,) = compiled(kernel, Step(("first",), "e_plain")).lists
    at = kernel.c.offset("e", "e_plain")
    assert found.walks[0].shape == Chain(0, at, 0, ring=True)
    assert found.walks[0].heads == (Address(ABSOLUTE, kernel.variables["first"][1]),)


def test_a_pointer_to_a_head() -> None:
    """The head may be behind a pointer."""
    kernel = queues("tail")
    (found,) = compiled(kernel, Step(("head",))).lists
    (walk,) = found.walks
    assert walk.reads == (Read(ABSOLUTE, kernel.variables["head"][1], "Q"),)
    assert walk.heads == (Address(0, 0),)


@pytest.mark.parametrize(
    ("expression", "count", "pointers", "numbers"),
    [
        ("es", 3, False, None),
        ("es[*]", 3, False, None),
        ("es[1:]", 3, False, (1, 2)),
        ("ptrs[*]", 4, True, None),
        ("ptrs[:mask]", 2, True, None),
        ("ptrs[cpu]", 3, True, (0, 2)),
        ("first[0:7]", 7, False, None),
    ],
)
def test_arrays(
    expression: str, count: int, pointers: bool, numbers: tuple[int, ...] | None
) -> None:
    """Arrays of structs and of pointers are walked in place; slices are worked out."""
    kernel = queues("list")
    kernel.memory[kernel.variables["mask"][1]] = (2).to_bytes(4, "little")
    (found,) = compiled(kernel, Step((expression,))).lists
    size = 8 if pointers else kernel.c.size("e")
    assert found.walks[0].shape == Strided(count, size, pointers, numbers)


@pytest.mark.parametrize("expression", ["table[*]", "hash[0:4]"])
def test_hash_tables(expression: str) -> None:
    """Elements that are heads themselves are lists; the element is that of the inner one."""
    kernel = queues("list")
    (found,) = compiled(
        kernel, Step((expression,)), labels={"at": "position", "name": "it.e_name"}
    ).lists
    table, inside = found.walks
    assert table.shape == Strided(4, 8, heads=True)
    at = kernel.c.offset("e", "e_link")
    assert inside.heads == (Address(ELEMENT, 0),)
    assert inside.shape == Chain(0, at, 0, at + 8, at)
    position, name = found.program.series[0].labels
    assert position == Position(ELEMENT)
    assert found.program.reads[name.read] == Read(ELEMENT, 4, "8s")


def test_lists_in_lists() -> None:
    """A step begins in the element of the one before, which is ``outer``."""
    kernel = queues("tail")
    kernel.c.read("struct f { int f_id; struct { struct f *le_next, **le_prev; } f_link; };")
    kernel.c.read("struct fs { struct f *lh_first; };")
    inside = Step(("((struct fs)e_inside)",), "f_link")
    labels = {"a": "outer.e_name", "b": "outer.e_plain->e_id"}
    wanted = List("l", (Step(("tail",)), inside), (Metric("m", ("f_id + mask",)),), labels)
    found = kernel.module(lists=[wanted])
    assert not found.missing
    (of,) = found.lists
    assert of.walks[1].heads == (Address(ELEMENT, kernel.c.offset("e", "e_inside")),)
    outer = [read for read in of.program.reads if read.base == ELEMENT - 1]
    assert [read.code for read in outer] == ["8s", "Q"]
    assert Read(ABSOLUTE, kernel.variables["mask"][1], "i") in of.program.reads
    assert Read(ELEMENT, 0, "i") in of.program.reads


def test_heads_of_every_cpu() -> None:
    """A per-CPU head is a list of each CPU."""
    kernel = queues("tail")
    kernel.put("tail", 0x9000, "percpu")
    (found,) = compiled(kernel, Step(("tail",))).lists
    assert found.walks[0].heads == (
        Address(ABSOLUTE, 0x9000),
        Address(ABSOLUTE, 0x9000 + 2 * PERCPU),
    )


STACKS = (HOST, Vnet(0xFF10, "web", 3))


def test_lists_of_every_network_stack() -> None:
    """A list that each network stack has is a program for each, with a label."""
    kernel = queues("tail")
    kernel.put("tail", 0x9000, "vnet")
    kernel.put("mask", 0xA000, "vnet")
    kernel.stacks = STACKS
    found = compiled(kernel, Step(("tail",)), labels={"x": "=x", "n": "mask"}, vnet="all")
    assert found.labels == (("x", "n", "jail"),)
    assert [one.walks[0].heads[0].offset for one in found.lists] == [0x9000, 0x9000 + 3 * VNET]
    assert [one.program.series[0].labels[2].value for one in found.lists] == ["", "web"]
    assert [one.program.reads[0].offset for one in found.lists] == [0xA000, 0xA000 + 3 * VNET]


def test_a_plain_list_is_walked_once() -> None:
    """Of a list that is no network stack's there is one, the host's."""
    kernel = queues("tail")
    kernel.stacks = STACKS
    found = compiled(kernel, Step(("tail",)), vnet="all")
    assert len(found.lists) == 1
    assert found.lists[0].program.series[0].labels == (Constant(""),)


def test_conditions() -> None:
    """``where`` is any number, or a pointer, of the element."""
    kernel = queues("tail")
    (found,) = compiled(kernel, Step(("tail",)), where="e_id").lists
    assert found.where == found.program.series[0].value == Value(0)
    (found,) = compiled(kernel, Step(("tail",)), where="e_plain").lists
    assert found.program.reads[0].code == "Q"


def test_numbers_of_metrics() -> None:
    """Metrics of lists are numbered after the module's own; each fails for itself."""
    kernel = queues("tail")
    good = Metric("good", ("e_id",))
    lists = [
        List("a", (Step(("tail",)),), (Metric("bad", ("e_none",)), good)),
        List("b", (Step(("gone",)),), (good, good)),
        List("c", (Step(("gone", "tail")),), (good,), labels={"n": "e_name"}),
    ]
    found = kernel.module([Metric("plain", ("mask",))], lists)
    assert [one.metric for one in found.missing] == ["bad", "b"]
    assert found.labels == ((), (), (), (), (), ("n",))
    assert [one.name for one in found.lists] == ["a", "c"]
    assert [one.program.series[0].metric for one in found.lists] == [2, 5]


@pytest.mark.parametrize(
    ("steps", "more", "reason"),
    [
        ([Step(("mask",))], {}, "mask: column 1: an int is no head of a list"),
        ([Step(("first",))], {}, "no list without via"),
        ([Step(("first",), "e_name")], {}, "e_name is no pointer to the next"),
        ([Step(("tail",), "e_link.tqe_next")], {}, "these do: e_link"),
        ([Step(("tail",), "e_none")], {}, "no member e_none"),
        (
            [Step(("list",))],
            {},
            "no member of struct e has le_next; of what is deeper write the whole way",
        ),
        ([Step(("tail",))], {"labels": {"l": "e_none"}}, "e_none: column 1"),
        ([Step(("tail",))], {"where": "e_none"}, "e_none: column 1"),
        ([Step(("tail",))], {"where": "es[*].e_id"}, "several values"),
        ([Step(("tail",))], {"vnet": "gone"}, "no jail gone"),
        ([Step(("tail",), "", "gone_t")], {}, "gone_t"),
        ([Step(("first[*]",))], {}, "does not tell how many elements"),
        ([Step(("es[0:9]",))], {}, "ends behind its 3 elements"),
    ],
)
def test_what_is_wrong_with_lists(steps: list[Step], more: dict[str, object], reason: str) -> None:
    """A list that cannot be had is missing as a whole, and says why."""
    wanted = List("l", tuple(steps), (Metric("m", ("e_id",)),), **more)
    found = queues("tail").module(lists=[wanted])
    assert found.lists == ()
    assert [one.metric for one in found.missing] == ["l"]
    assert reason in found.missing[0].reason


def test_near_members() -> None:
    """What is no member of the element may be one that is spelled nearly so."""
    wanted = List("l", (Step(("tail",)),), (Metric("m", ("e_idd",)), Metric("n", ("e_idd[1]",))))
    for missing in queues("tail").module(lists=[wanted]).missing:
        assert "no member of the element, and no variable, is called e_idd" in missing.reason
        assert "near members: e_id" in missing.reason


def test_an_index_is_no_member() -> None:
    """Indexes and bounds are worked out before there are elements; also where a variable of the
    same name is there."""
    kernel = queues("tail")
    kernel.c.read("int e_id;")
    kernel.put("e_id", 0xF000)
    for text, name in (("es[e_id].e_id", "e_id"), ("es[0:it.e_id].e_id", "it")):
        wanted = List("l", (Step(("tail",)),), (Metric("m", (text,)),))
        (missing,) = kernel.module(lists=[wanted]).missing
        assert f"{name} is of an element: an index is worked out while compiling" in missing.reason


def test_lists_of_each_cpu_are_one() -> None:
    """A label cpu cannot be had of them; a CPU's struct that is no list is told as such."""
    kernel = queues("tail")
    kernel.c.read("struct of_cpu { int o_n; struct tail o_list; } own;")
    kernel.put("own", 0x9000, "percpu")
    metrics = (Metric("m", ("e_id",), cpu="each"), Metric("n", ("e_id",)))
    found = kernel.module(lists=[List("l", (Step(("own.o_list",)),), metrics)])
    assert [one.metric for one in found.missing] == ["m"]
    assert "the lists of all CPUs are walked as one list" in found.missing[0].reason
    for of in ("own", "own[cpu]", "&own"):
        (missing,) = kernel.module(lists=[List("l", (Step((of,)),), metrics)]).missing
        assert "each CPU has its own struct of_cpu, which is no list" in missing.reason


def test_lists_in_lists_in_lists() -> None:
    """``outer.outer`` is the element of the list around the one around."""
    kernel = queues("tail")
    steps = (Step(("tail",)), Step(("e_plain",), "e_plain"), Step(("e_plain",), "e_plain"))
    metrics = tuple(Metric(text, (text,)) for text in ("e_id", "outer.e_id", "outer.outer.e_id"))
    found = kernel.module(lists=[List("l", steps, metrics)])
    assert not found.missing
    reads = found.lists[0].program.reads
    assert [read.base for read in reads] == [ELEMENT, ELEMENT - 1, ELEMENT - 2]
    more = [Metric("x", ("outer.outer.outer.e_id",))]
    (missing,) = kernel.module(lists=[List("l", steps, tuple(more))]).missing
    assert "has no member outer" in missing.reason


def test_linux_heads_need_an_element() -> None:
    """A list_head does not tell of what it is one, nor which of several members links."""
    kernel = forged(LINUX, ring=0x5000)
    for step, reason in (
        (Step(("ring",), "in.ring"), "element: of what type"),
        (Step(("ring",), "hash", "struct e"), "hash does not link"),
    ):
        found = kernel.module(lists=[List("l", (step,), (Metric("m", ("e_id",)),))])
        assert reason in found.missing[0].reason


def test_narrow_pointers() -> None:
    """On 32-bit machines links are four bytes."""
    made = forged(QUEUES % "struct tail", cdecl.POWERPC, tail=0x1000)
    (found,) = compiled(made, Step(("tail",))).lists
    at = made.c.offset("e", "e_link")
    assert found.walks[0].shape == Chain(0, at, 0, at + 4, at)
