"""What is on a Linux list or tree?  Addresses of the structs that struct list_head or rb_node join.

A list_head's first pointer is the next one, the ring ends where it began (include/linux/list.h).
A tree is walked in order, from its leftmost node on (lib/rbtree.c).
"""

from __future__ import annotations

from collections.abc import Iterator

from kvm_exporter.kvm.errors import Fault, FormatError
from kvm_exporter.kvm.target import LONGEST_LIST, Target

NODE = "struct rb_node"


def ring(target: Target, head: int, struct: str, member: str) -> Iterator[int]:
    """Each ``struct`` on the list with that head, which its ``member`` links.

    A damaged list ends early, which is counted.  Errors: TypeMissing.
    """
    within, mask = target.offset(struct, member), target.abi.address_mask
    head &= mask
    seen = {head}
    try:
        node = target.pointer(head)
        while node != head:
            if node in seen or len(seen) > LONGEST_LIST:
                raise FormatError(f"{struct}: the list goes in circles at {node:#x}")
            seen.add(node)
            following = target.pointer(node)
            yield node - within & mask
            node = following
    except (Fault, FormatError):
        target.tally.add(struct, None)


def tree(target: Target, root: int, struct: str, member: str) -> Iterator[int]:
    """Each ``struct`` in the tree with that struct rb_root, which its ``member`` links, in order.

    A damaged tree ends early, which is counted.  Errors: TypeMissing.
    """
    within, mask = target.offset(struct, member), target.abi.address_mask
    record = target.record(NODE, ("rb_left", "rb_right"))
    parents: list[tuple[int, int]] = []
    seen: set[int] = set()
    try:
        node = target.pointer(root & mask)
        while node or parents:
            while node:
                if node in seen or len(seen) >= LONGEST_LIST:
                    raise FormatError(f"{struct}: the tree goes in circles at {node:#x}")
                seen.add(node)
                left, right = record.at(node)
                parents.append((node, right))
                node = left
            done, node = parents.pop()
            yield done - within & mask
    except (Fault, FormatError):
        target.tally.add(struct, None)
