"""Are Linux's lists and trees walked in their order, to their end, and never for ever?"""

from __future__ import annotations

from fakes.world import target
from forge import cdecl
from forge.linux_paths import ring
from forge.world import Thing, World

from kvm_exporter.kvm.objects.linux import lists
from kvm_exporter.kvm.tally import Tally

DECLARATIONS = """
struct list_head { struct list_head *next, *prev; };
struct rb_node { u_long __rb_parent_color; struct rb_node *rb_right; struct rb_node *rb_left; };
struct rb_root { struct rb_node *rb_node; };
struct thing { int number; struct list_head link; struct rb_node node; };
"""


def things(count: int) -> tuple[World, Thing, list[Thing]]:
    """A world, the head of a list, and things on it."""
    world = World(DECLARATIONS, cdecl.ARMV7)
    head = world.new("struct list_head")
    found = [world.new("struct thing", number=number) for number in range(count)]
    if found:
        ring(head.address, found, "link")
    else:
        head.set(next=head, prev=head)
    return world, head, found


def walked(world: World, head: Thing) -> tuple[list[int], Tally]:
    """The addresses on the list."""
    tally = Tally()
    kernel = target(world, tally)
    return list(lists.ring(kernel, head.address, "struct thing", "link")), tally


def test_a_list_has_its_elements_in_order() -> None:
    """Three, and none."""
    world, head, found = things(3)
    addresses, tally = walked(world, head)
    assert addresses == [one.address for one in found]
    world, head, _ = things(0)
    assert walked(world, head)[0] == []
    assert not tally.counts()


def test_a_list_that_goes_in_circles_ends_and_is_counted() -> None:
    """The third leads to the second."""
    world, head, found = things(3)
    found[2].put("link.next", found[1].at("link"))
    addresses, tally = walked(world, head)
    assert addresses == [one.address for one in found]
    assert sum(tally.counts().values()) == 1


def test_a_list_that_leads_nowhere_ends_and_is_counted() -> None:
    """The second leads to where no page is; what is known up to there stays."""
    world, head, found = things(3)
    found[1].put("link.next", 0x10)
    addresses, tally = walked(world, head)
    assert addresses == [one.address for one in found[:2]]
    assert sum(tally.counts().values()) == 1


def tree(depth: int) -> tuple[World, Thing, list[Thing]]:
    """A full tree, and its things in order."""
    world = World(DECLARATIONS, cdecl.POWERPC64)
    root = world.new("struct rb_root")
    found = [world.new("struct thing", number=number) for number in range(2**depth - 1)]

    def grow(some: list[Thing]) -> int:
        middle = len(some) // 2
        if not some:
            return 0
        some[middle].put("node.rb_left", grow(some[:middle]))
        some[middle].put("node.rb_right", grow(some[middle + 1 :]))
        return some[middle].at("node")

    root.set(rb_node=grow(found))
    return world, root, found


def climbed(world: World, root: Thing) -> tuple[list[int], Tally]:
    """The addresses in the tree."""
    tally = Tally()
    kernel = target(world, tally)
    return list(lists.tree(kernel, root.address, "struct thing", "node")), tally


def test_a_tree_has_its_elements_in_order() -> None:
    """Fifteen, and none."""
    world, root, found = tree(4)
    addresses, tally = climbed(world, root)
    assert addresses == [one.address for one in found]
    assert not tally.counts()
    world, root, _ = tree(0)
    assert climbed(world, root)[0] == []


def test_a_tree_that_goes_in_circles_ends_and_is_counted() -> None:
    """A leaf has the root as its child."""
    world, root, found = tree(3)
    found[4].put("node.rb_left", root.get("rb_node"))
    addresses, tally = climbed(world, root)
    assert addresses == [one.address for one in found[:4]]
    assert sum(tally.counts().values()) == 1
