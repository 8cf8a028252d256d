"""Which lists does a kernel keep, and how are they linked?  Heads by what they are made of.

1. FreeBSD's queue(3) and ConcurrencyKit's lists: the head's member points at the first element, a
   member of the element (``via``) at the next one, and in some at the pointer that leads to it.
2. FreeBSD's tree(3): the same with a left and a right element.  A RB tree's are in an array of
   links, parent, left, right (RB_ENTRY of sys/sys/tree.h); in older kernels each has its own name.
3. Linux's lists join nodes in the elements, not the elements (include/linux/list.h, list_nulls.h,
   llist.h, list_bl.h, rbtree.h).
"""

from __future__ import annotations

from typing import NamedTuple


class Queue(NamedTuple):
    """Members: of the head, and of what links the elements; ``back`` empty where there is none."""

    first: str
    next: str
    back: str = ""


QUEUES = (
    Queue("tqh_first", "tqe_next", "tqe_prev"),
    Queue("stqh_first", "stqe_next"),
    Queue("lh_first", "le_next", "le_prev"),
    Queue("slh_first", "sle_next"),
    Queue("cstqh_first", "cstqe_next"),
    Queue("clh_first", "cle_next", "cle_prev"),
    Queue("cslh_first", "csle_next"),
)


class Branches(NamedTuple):
    """Members: of the head, and of what links the elements; with an index for one of an array."""

    root: str
    left: tuple[str, int | None]
    right: tuple[str, int | None]


TREES = (
    Branches("rbh_root", ("rbe_link", 1), ("rbe_link", 2)),
    Branches("rbh_root", ("rbe_left", None), ("rbe_right", None)),
    Branches("sph_root", ("spe_left", None), ("spe_right", None)),
)


class Ring(NamedTuple):
    """A Linux list: its head's struct with the pointer to the first node, the node's struct with
    those to the next and to the one before."""

    head: str
    first: str
    node: str
    next: str
    back: str = ""
    circular: bool = False
    marked: bool = False
    locked: bool = False


RINGS = (
    Ring("list_head", "next", "list_head", "next", "prev", circular=True),
    Ring("hlist_head", "first", "hlist_node", "next", "pprev"),
    Ring("hlist_nulls_head", "first", "hlist_nulls_node", "next", "pprev", marked=True),
    Ring("hlist_bl_head", "first", "hlist_bl_node", "next", "pprev", locked=True),
    Ring("llist_head", "first", "llist_node", "next"),
)


class Root(NamedTuple):
    """A Linux tree: its head's struct with the pointer to the root."""

    head: str
    root: str


ROOTS = (Root("rb_root", "rb_node"), Root("rb_root_cached", "rb_root.rb_node"))
NODE, LEFT, RIGHT = "rb_node", "rb_left", "rb_right"
