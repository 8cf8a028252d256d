"""What is a file called that is nowhere mounted?  A function of its file system says (d_dname).

Which function that is, its symbol tells.  Sources: fs/pipe.c, net/socket.c, fs/anon_inodes.c,
fs/nsfs.c, fs/pidfs.c, fs/libfs.c (simple_dname()).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.objects.structs import Struct, Values, read_numbers
from kvm_exporter.kvm.remembered import Remembered
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.flatten import composite, member
from kvm_exporter.kvm.types.model import Pointer, resolve

OPERATIONS = "struct dentry_operations"
COMMON = "struct ns_common"

LONGEST = 64
"""Bytes of the name of a kind of namespace, its NUL included."""

MOST_KNOWN = 1 << 12
"""Operations that are remembered; then all are forgotten."""

Name = Callable[[Values, bytes], bytes]
"""From a struct dentry and its own name.  Errors: Fault."""


class Dnames:
    """Names of such files of ``target``.  Errors: TypeMissing."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._at = target.offset(OPERATIONS, "d_dname")
        self._inode = Struct(target, "struct inode", ("i_ino", "i_private"))
        kinds: Mapping[str, Name] = {
            "pipefs_dname": self._numbered(b"pipe"),
            "sockfs_dname": self._numbered(b"socket"),
            "anon_inodefs_dname": lambda _, name: b"anon_inode:" + name,
            "pidfs_dname": lambda _, __: b"anon_inode:[pidfd]",
            "simple_dname": lambda _, name: b"/" + name + b" (deleted)",
            "ns_dname": self._namespace,
        }
        found = target.symbols.lookup(list(kinds))
        self._kinds = {
            symbol.value: kind for symbol, kind in zip(found, kinds.values(), strict=True) if symbol
        }
        self._known: Remembered[int, int] = Remembered(MOST_KNOWN)

    def of(self, dentry: Values, name: bytes) -> bytes | None:
        """The name of a struct dentry with operations; None where its file system names none.

        Errors: Fault; FormatError for a function that is not known.
        """
        function = self._known.of(dentry["d_op"] + self._at, self._target.pointer)
        if not function:
            return None
        if function not in self._kinds:
            raise FormatError(f"a file is named by an unknown function at {function:#x}")
        return self._kinds[function](dentry, name)

    def _numbered(self, kind: bytes) -> Name:
        return lambda dentry, _: b"%s:[%d]" % (kind, self._inode_of(dentry)["i_ino"])

    def _namespace(self, dentry: Values, _: bytes) -> bytes:
        """``net:[4026531840]``"""
        inode, target = self._inode_of(dentry), self._target
        operations = dentry["d_fsdata"]
        if _is_stashed(target):
            (operations,) = read_numbers(target, COMMON, ("ops",), inode["i_private"])
        (name,) = read_numbers(target, "struct proc_ns_operations", ("name",), operations)
        kind = target.memory.read(name, LONGEST).partition(b"\0")[0]
        return b"%s:[%d]" % (kind, inode["i_ino"])

    def _inode_of(self, dentry: Values) -> Values:
        return self._inode.needed(dentry["d_inode"])


def _is_stashed(target: Target) -> bool:
    """Whether a namespace knows its file, and not the other way round: since 6.9 (1fa08aece425)."""
    stashed = member(composite(target.types, COMMON), "stashed")
    return stashed is not None and isinstance(resolve(stashed.type), Pointer)
