"""What would a FreeBSD kernel's sysctl tree look like in memory?  Nodes of struct sysctl_oid.

    kernel = Counting("amd64")
    oids = Oids(kernel, "tree")
    oids.leaf("kern.maxproc", INT, "sysctl_handle_int", kernel.variable("int maxproc", 7), "I")
    oids.node("kern.proc.args", handler="sysctl_kern_proc_args")
    oids.link()

Written from sys/sys/sysctl.h of 9, 13 and 15; it shares nothing with the package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from forge.counting import Counting
from forge.world import FUNC, Thing

COMMON = """
    int oid_number; u_int oid_kind; void *oid_arg1; {arg2} oid_arg2; char *oid_name;
    void *oid_handler; char *oid_fmt; int oid_refcnt; u_int oid_running; char *oid_descr;
"""
SHAPES: Mapping[str, str] = {
    "tree": """
struct sysctl_oid_list { struct sysctl_oid *rbh_root; };
struct sysctl_oid {
    struct sysctl_oid_list oid_children; struct sysctl_oid_list *oid_parent;
    struct { struct sysctl_oid *rbe_link[3]; } oid_link;"""
    + COMMON.format(arg2="int64_t")
    + "char *oid_label; };",
    "list": """
struct sysctl_oid_list { struct sysctl_oid *slh_first; };
struct sysctl_oid {
    struct sysctl_oid_list oid_children; struct sysctl_oid_list *oid_parent;
    struct { struct sysctl_oid *sle_next; } oid_link;"""
    + COMMON.format(arg2="int64_t")
    + "char *oid_label; };",
    "arg1": """
struct sysctl_oid_list { struct sysctl_oid *slh_first; };
struct sysctl_oid {
    struct sysctl_oid_list *oid_parent; struct { struct sysctl_oid *sle_next; } oid_link;"""
    + COMMON.format(arg2="long")
    + "};",
}
"""Since 14, 10 to 13, until 9 (which hangs children on oid_arg1, and has no labels)."""

NODE = 1
TOP = {"sysctl": 0, "kern": 1, "vm": 2, "vfs": 3, "net": 4, "debug": 5, "hw": 6, "machdep": 7}


@dataclass
class Made:
    """A node, and what hangs on it."""

    number: int
    thing: Thing | None
    head: Thing
    children: dict[str, Made] = field(default_factory=dict)


class Oids:
    """The tree of ``kernel``; ``shape`` is one of SHAPES."""

    def __init__(self, kernel: Counting, shape: str = "tree") -> None:
        kernel.declare(SHAPES[shape])
        self.kernel = kernel
        self.shape = shape
        self._auto = 0x80000000
        self._handlers: dict[str, int] = {}
        head = kernel.world.define("sysctl__children", "struct sysctl_oid_list", {})
        self.root = Made(-1, None, head)

    def leaf(
        self,
        name: str,
        kind: int,
        handler: str,
        arg1: object = None,
        form: str | None = "",
        *,
        arg2: int = 0,
        description: str | None = None,
        flags: int = 0x80000000,
    ) -> Thing:
        """A leaf; ``arg1`` is a Thing or an address."""
        made = self._made(name)
        assert made.thing
        return made.thing.set(
            oid_kind=kind | flags,
            oid_handler=self.handler(handler),
            oid_arg1=arg1,
            oid_arg2=arg2,
            oid_fmt=None if form is None else self.kernel.text(form),
            oid_descr=None if description is None else self.kernel.text(description),
        )

    def node(self, name: str, *, flags: int = 0x80000000, handler: str = "") -> Thing:
        """A node; with a handler one that wants arguments."""
        made = self._made(name)
        assert made.thing
        at = self.handler(handler) if handler else 0
        return made.thing.set(oid_kind=NODE | flags, oid_handler=at)

    def label(self, name: str, label: str) -> None:
        """What a part of a name is an instance of."""
        made = self._made(name)
        assert made.thing
        made.thing.set(oid_label=self.kernel.text(label))

    def handler(self, name: str) -> int:
        """The address of a function."""
        if name not in self._handlers:
            at = self._handlers[name] = self.kernel.world.allocate(64)
            self.kernel.world.symbol(name, at, 64, FUNC)
        return self._handlers[name]

    def link(self) -> None:
        """Link all nodes there are."""
        self._link(self.root)

    def _link(self, made: Made) -> None:
        children = sorted(made.children.values(), key=lambda one: one.number)
        things = [one.thing for one in children if one.thing]
        if self.shape == "tree":
            self.kernel.link_tree(made.head, things, "oid_link")
        else:
            self.kernel.world.slist(made.head, things, "oid_link")
        for child in children:
            self._link(child)

    def _made(self, name: str) -> Made:
        at = self.root
        for depth, part in enumerate(name.split(".")):
            if part not in at.children:
                self._auto -= 1
                number = TOP.get(part, self._auto) if depth == 0 else self._auto
                at.children[part] = self._new(part, number)
            at = at.children[part]
        return at

    def _new(self, part: str, number: int) -> Made:
        thing = self.kernel.new("struct sysctl_oid", oid_number=number, oid_kind=NODE | 0x80000000)
        thing.set(oid_name=self.kernel.text(part))
        if self.shape == "arg1":
            head = self.kernel.new("struct sysctl_oid_list")
            thing.set(oid_arg1=head)
        else:
            head = Thing(thing.world, "struct sysctl_oid_list", thing.at("oid_children"))
        return Made(number, thing, head)
