"""What are a running Linux's sysctls now?  The files of /proc/sys.

1. A file of numbers is a number, or an array of them; any other is a text.
2. What can only be written is not opened; nor is what sysctlnames.py leaves untold.
3. Directories are listed at each collection, so that nothing that comes or goes is missed; what is
   remembered is each file's name.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator

from kvm_exporter.kvm.live.procfs import Procfs
from kvm_exporter.kvm.objects.linux.sysctlnames import UNREAD, described, parts_of, shown, told
from kvm_exporter.kvm.objects.sysctls import Setting, Sysctl, below
from kvm_exporter.kvm.tally import Tally

ROOT = "sys"
SOURCE = "proc sys"

LARGEST = 1 << 14
"""Bytes of a file that are read; none of numbers is nearly as long."""

DEEPEST = 12
MOST = 1 << 16
"""Directories in directories, and files, that are looked at; a machine with 1,000 interfaces has
some 60,000 of these."""


class ProcSys:
    """The sysctls in ``procfs`` (objects/sysctls.py's Sysctls); failures are counted."""

    def __init__(self, procfs: Procfs, tally: Tally) -> None:
        self._procfs = procfs
        self._tally = tally
        self._known: dict[tuple[str, ...], Sysctl | None] = {}

    def read(
        self, prefixes: Collection[str], without: Collection[str] = (), *, texts: bool = False
    ) -> Iterator[Setting]:
        """As Sysctls.read."""
        roots = [parts_of(one) for one in prefixes]
        others = [*UNREAD, *map(parts_of, without)]
        found = dict.fromkeys(parts for root in roots for parts in self._files(root, others))
        for gone in [one for one in self._known if one not in found and below(one, roots)]:
            del self._known[gone]
        for parts in found:
            setting = self._setting(parts)
            if setting and (texts or not isinstance(setting.value, str)):
                yield setting

    def one(self, name: str) -> Setting | None:
        """As Sysctls.one."""
        return self._setting(parts_of(name))

    def _files(
        self, root: tuple[str, ...], others: Collection[tuple[str, ...]]
    ) -> Iterator[tuple[str, ...]]:
        """The files below a directory, or the file itself, but for ``others``; names ascend."""
        waiting = [(root, True)]
        for _ in range(MOST):
            if not waiting:
                return
            parts, directory = waiting.pop()
            if below(parts, others) or len(parts) > DEEPEST:
                continue
            inside = self._entries(parts) if directory else None
            if inside is None:
                yield parts
            else:
                waiting += [((*parts, name), deeper) for name, deeper in inside]
        if waiting:
            self._tally.add(SOURCE, errno.E2BIG)

    def _entries(self, parts: tuple[str, ...]) -> list[tuple[str, bool]] | None:
        """What a directory has, the last first; None for a file."""
        try:
            return sorted(self._procfs.entries(_path(parts)), reverse=True)
        except NotADirectoryError:
            return None
        except OSError as e:
            if e.errno != errno.ENOENT:
                self._tally.add(SOURCE, e.errno)
            return []

    def _setting(self, parts: tuple[str, ...]) -> Setting | None:
        try:
            if parts not in self._known:
                self._known[parts] = self._sysctl(parts)
            sysctl = self._known[parts]
            raw = self._procfs.beginning(_path(parts), LARGEST) if sysctl else b""
        except IsADirectoryError:
            return None
        except OSError as e:
            if e.errno != errno.ENOENT:
                self._tally.add(SOURCE, e.errno)
            return None
        value = shown(raw)
        return None if sysctl is None or value is None else Setting(sysctl, value)

    def _sysctl(self, parts: tuple[str, ...]) -> Sysctl | None:
        """What a file is called; None for one that is not to be read (rule 2)."""
        if not told(parts) or not self._procfs.readable(_path(parts)):
            return None
        return described(parts)


def _path(parts: tuple[str, ...]) -> str:
    return "/".join((ROOT, *parts))
