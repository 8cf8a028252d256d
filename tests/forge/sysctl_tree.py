"""What would a FreeBSD kernel's whole sysctl tree answer?  Leaves, and CTL_SYSCTL's questions.

    tree = SysctlTree()
    tree.add("vm.stats.vm.v_swtch", U64, "QU", bytes(8), description="Context switches")
    tree.add("dev.cpu.0.freq", INT, "I", bytes(4), labels={"dev.cpu.0": "device_index"})
    tree.node("kern.proc.args")         # a node that wants arguments

Written from sys/kern/kern_sysctl.c (sysctl_sysctl_next and its kin); it shares nothing with the
package.  Nodes get numbers as OID_AUTO gives them: from 0x7fffffff downward, so that later siblings
come first.  ``asked`` are the MIBs of the questions; a NEXT question's is as the kernel gets it.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

NODE, INT, STRING, S64, OPAQUE, UINT, LONG, ULONG, U64 = range(1, 10)
U8, U16, S8, S16, S32, U32 = range(10, 16)
RD, SKIP, DORMANT = 0x80000000, 0x01000000, 0x20000000

TOP = {"sysctl": 0, "kern": 1, "vm": 2, "vfs": 3, "net": 4, "debug": 5, "hw": 6, "machdep": 7}

Answer = bytes | int | Callable[[int | None], bytes]
"""What a leaf answers: bytes, an errno, or something that depends on the buffer's size."""


@dataclass
class Oid:
    """A node; ``handler`` of a node says that it wants arguments."""

    name: str
    number: int
    kind: int = NODE
    format: str | None = "N"
    description: str | None = None
    label: str | None = None
    answer: Answer = b""
    handler: bool = False
    children: dict[str, Oid] = field(default_factory=dict)

    def sorted(self) -> list[Oid]:
        """Children by number."""
        return sorted(self.children.values(), key=lambda one: one.number)


class SysctlTree:
    """A tree, as LibcSysctl would show it; ``order`` is the machine's byte order."""

    def __init__(self, order: str = "<") -> None:
        self.order = order
        self.root = Oid("", -1)
        self.asked: list[tuple[int, ...]] = []
        self._auto = 0x80000000

    def node(self, name: str, *, flags: int = RD, handler: bool = True) -> Oid:
        """A node; with ``handler`` one that wants arguments."""
        oid = self._made(name)
        oid.kind, oid.handler = NODE | flags, handler
        return oid

    def add(
        self,
        name: str,
        kind: int,
        form: str | None,
        answer: Answer,
        *,
        description: str | None = None,
        labels: Mapping[str, str] | None = None,
        flags: int = RD,
    ) -> Oid:
        """A leaf; ``labels`` of the nodes on the way to it, and of itself, by their names."""
        oid = self._made(name)
        oid.kind, oid.format, oid.answer, oid.description = kind | flags, form, answer, description
        for at, label in (labels or {}).items():
            self._found(at).label = label
        return oid

    def remove(self, name: str) -> None:
        """A leaf or a node that is gone."""
        parent, _, last = name.rpartition(".")
        del self._found(parent).children[last]

    def mib(self, name: str) -> tuple[int, ...]:
        """sysctlnametomib(3)."""
        at, numbers = self.root, []
        for part in name.split("."):
            if part not in at.children:
                raise _error(errno.ENOENT)
            at = at.children[part]
            numbers.append(at.number)
        return tuple(numbers)

    def by_name(self, name: str, size: int | None = None) -> bytes:
        """The answer of a name."""
        return self.by_mib(self.mib(name), size)

    def by_mib(
        self, mib: Sequence[int], size: int | None = None, *, keep_partial: bool = False
    ) -> bytes:
        """The answer of a MIB, CTL_SYSCTL's among them."""
        mib = tuple(mib)
        self.asked.append(mib)
        if not 2 <= len(mib) <= 24:
            raise _error(errno.EINVAL)
        answer = self._about(mib[1], mib[2:]) if mib[0] == 0 else self._value(mib, size)
        if size is None or len(answer) <= size:
            return answer
        if keep_partial:
            return answer[:size]
        raise _error(errno.ENOMEM)

    def _value(self, mib: tuple[int, ...], size: int | None) -> bytes:
        oid = self._exact(mib)
        if oid.kind & 15 == NODE:
            raise AssertionError(f"a node was asked for a value: {oid.name}")
        answer = oid.answer(size) if callable(oid.answer) else oid.answer
        if isinstance(answer, int):
            raise _error(answer)
        return answer

    def _about(self, question: int, mib: tuple[int, ...]) -> bytes:
        if question == 2:
            following = self._next(self.root, mib)
            if following is None:
                raise _error(errno.ENOENT)
            return struct.pack(f"{self.order}{len(following)}i", *following)
        if question == 1:
            return ".".join(self._names(mib)).encode() + b"\0"
        oid = self._exact(mib)
        text = {4: oid.format, 5: oid.description, 6: oid.label}[question]
        if text is None:
            raise _error(errno.ENOENT)
        kind = struct.pack(f"{self.order}I", oid.kind) if question == 4 else b""
        return kind + text.encode() + b"\0"

    def _next(self, node: Oid, name: tuple[int, ...]) -> tuple[int, ...] | None:
        """sysctl_sysctl_next_action(): the first leaf behind ``name``."""
        for oid in node.sorted():
            if oid.kind & (SKIP | DORMANT) or (name and oid.number < name[0]):
                continue
            inside = oid.kind & 15 == NODE and not oid.handler
            if not name or oid.number > name[0]:
                if not inside:
                    return (oid.number,)
                rest: tuple[int, ...] = ()
            elif not inside:
                continue
            else:
                rest = name[1:]
            found = self._next(oid, rest)
            if found is not None:
                return (oid.number, *found)
            name = ()
        return None

    def _names(self, mib: tuple[int, ...]) -> list[str]:
        at, names = self.root, []
        for number in mib:
            found = [one for one in at.children.values() if one.number == number]
            at = found[0] if found else Oid("", -1)
            names.append(at.name if found else str(number))
        return names

    def _exact(self, mib: tuple[int, ...]) -> Oid:
        at = self.root
        for number in mib:
            found = [one for one in at.children.values() if one.number == number]
            if not found:
                raise _error(errno.ENOENT)
            at = found[0]
        return at

    def _found(self, name: str) -> Oid:
        at = self.root
        for part in name.split("."):
            at = at.children[part]
        return at

    def _made(self, name: str) -> Oid:
        at = self.root
        for depth, part in enumerate(name.split(".")):
            if part not in at.children:
                self._auto -= 1
                number = TOP.get(part, self._auto) if depth == 0 else self._auto
                at.children[part] = Oid(part, number, NODE | RD)
            at = at.children[part]
        return at


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
