"""What are a running Linux's sysctls now?  The files of /proc/sys.

1. A file of numbers is a number, or an array of them; hexadecimal ones begin with 0x.  Any other
   is a text.
2. What can only be written is not opened, nor is a secret, nor what works when it is read:
   vm.stat_refresh folds all CPUs' counters, kernel.random.uuid spends entropy, and looking into
   fs.binfmt_misc mounts it (proc-sys-fs-binfmt_misc.automount).
3. Directories are listed at each collection, so that nothing that comes or goes is missed; what is
   remembered is each file's name.
4. Some parts of names are instances of something: those of LABELS.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator

from kvm_exporter.kvm.live.procfs import Procfs
from kvm_exporter.kvm.objects.sysctls import Setting, Sysctl, Value, below
from kvm_exporter.kvm.tally import Tally

ROOT = "sys"
SOURCE = "proc sys"

LARGEST = 1 << 14
"""Bytes of a file that are read; none of numbers is nearly as long."""

LONGEST = 24
"""Letters of a number of 64 bits, and more."""

DEEPEST = 12
MOST = 1 << 16
"""Directories in directories, and files, that are looked at; a machine with 1,000 interfaces has
some 60,000 of these."""

UNREAD = frozenset(
    {
        ("fs", "binfmt_misc"),
        ("kernel", "random", "uuid"),
        ("vm", "stat_refresh"),
    }
)
SECRETS = frozenset({"netdev_rss_key", "stable_secret", "tcp_fastopen_key"})
"""What is not read (rule 2): names, and the last part of names."""

NOTHING = (" ",)
"""A name that no setting has."""

ANY = "*"
LABELS: dict[tuple[str, ...], str] = {
    ("net", "ipv4", "conf", ANY): "interface",
    ("net", "ipv4", "neigh", ANY): "interface",
    ("net", "ipv6", "conf", ANY): "interface",
    ("net", "ipv6", "neigh", ANY): "interface",
    ("net", "mpls", "conf", ANY): "interface",
    ("kernel", "sched_domain", ANY): "cpu",
    ("kernel", "sched_domain", ANY, ANY): "domain",
}
"""What the last part of such a name is (rule 4)."""


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
        roots = [_parts(one) for one in prefixes]
        others = [*UNREAD, *map(_parts, without)]
        found = dict.fromkeys(parts for root in roots for parts in self._files(root, others))
        for gone in [one for one in self._known if one not in found and below(one, roots)]:
            del self._known[gone]
        for parts in found:
            setting = self._setting(parts)
            if setting and (texts or not isinstance(setting.value, str)):
                yield setting

    def one(self, name: str) -> Setting | None:
        """As Sysctls.one."""
        parts = _parts(name)
        return None if below(parts, UNREAD) else self._setting(parts)

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
        value = _value(raw)
        return None if sysctl is None or value is None else Setting(sysctl, value)

    def _sysctl(self, parts: tuple[str, ...]) -> Sysctl | None:
        """What a file is called; None for one that is not to be read (rule 2)."""
        if parts[-1:] and parts[-1] in SECRETS:
            return None
        if not self._procfs.readable(_path(parts)):
            return None
        labels = tuple(_label(parts[: end + 1]) for end in range(len(parts)))
        return Sysctl(parts, labels)


def _parts(name: str) -> tuple[str, ...]:
    """``net.ipv4.conf.eth0/100.mtu`` as sysctl(8) has it: a slash is a dot within a part.

    What is no name in a directory gives the name of nothing: none leads out of the tree.
    """
    parts = tuple(part.replace("/", ".") for part in name.split(".")) if name else ()
    return NOTHING if any(part in {"", ".", ".."} or "\0" in part for part in parts) else parts


def _path(parts: tuple[str, ...]) -> str:
    return "/".join((ROOT, *parts))


def _label(parts: tuple[str, ...]) -> str:
    for pattern, label in LABELS.items():
        if len(pattern) == len(parts) and all(
            wanted in (ANY, part) for wanted, part in zip(pattern, parts, strict=True)
        ):
            return label
    return ""


def _value(raw: bytes) -> Value | None:
    """Numbers where all words are such, else the text; None for nothing (rule 1)."""
    words = raw.split()
    if not words:
        return None
    try:
        numbers = tuple(map(_number, words))
    except ValueError:
        return raw.decode("utf-8", "surrogateescape").rstrip("\n")
    return numbers[0] if len(numbers) == 1 else numbers


def _number(word: bytes) -> int:
    if len(word) > LONGEST or not word.removeprefix(b"-").isalnum() or not word.isascii():
        raise ValueError("no number of a kernel")
    return int(word, 16 if word.startswith(b"0x") else 10)
