"""Where are Linux's kernel symbols?  /proc/kallsyms (proc_kallsyms(5)), read as a stream.

Rule 1: of several symbols of one name the first counts, as kallsyms_lookup_name() has it.
Rule 2: a name is looked for as it is, and failing that without one leading ``_``, as kvm_nlist(3)
        does for the names of a.out times.
Rule 3: where every address is 0 the kernel hides them (kptr_restrict in proc_sys_kernel(5)).  A
        single 0 is an address: that of the first per-CPU variable on x86-64 before Linux 6.15,
        where the value of a per-CPU symbol is its offset in each CPU's area.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence

from kvm_exporter.kvm.errors import AccessDenied, KvmError, Unsupported
from kvm_exporter.kvm.live.procfs import Procfs
from kvm_exporter.kvm.memory import Symbol

SOURCE = "kallsyms"

_ABS, _TEXT, _DATA, _BSS, _EXT = 2, 4, 6, 8, 1
"""N_ABS … of a.out.h (nlist(3)); N_EXT is added for an upper-case letter of nm(1)."""

_TYPES = {
    b"A": _ABS,
    b"B": _BSS,
    b"D": _DATA,
    b"G": _DATA,
    b"R": _DATA,
    b"S": _BSS,
    b"T": _TEXT,
    b"V": _DATA,
    b"W": _TEXT,
}


class Kallsyms:
    """The symbols of the kernel and its modules; nothing of the file is kept."""

    def __init__(self, procfs: Procfs) -> None:
        self._procfs = procfs

    def lookup(self, names: Sequence[str]) -> list[Symbol | None]:
        """Each name's symbol, under the name that was asked; None where there is none.

        Errors: AccessDenied where the kernel hides addresses; Unsupported without
        CONFIG_KALLSYMS.
        """
        spellings = {name: _encode(name) for name in names}
        try:
            found, visible = self._scan(set(spellings.values()))
        except OSError as error:
            raise self._refusal(error) from error
        if found and not visible:
            raise AccessDenied(
                f"{self._procfs.path(SOURCE)}: all addresses are 0; "
                "it takes CAP_SYSLOG, or the sysctl kernel.kptr_restrict at 0"
            )
        return [_choose(name, spellings[name], found) for name in names]

    def __iter__(self) -> Iterator[Symbol]:
        """Every symbol, the modules' too; all at address 0 where the kernel hides addresses.

        Errors: as ``lookup``.
        """
        try:
            for line in self._procfs.lines(SOURCE):
                tokens = line.split(None, 3)
                entry = _entry(tokens) if len(tokens) > 2 else None
                if entry:
                    yield Symbol(tokens[2].decode("utf-8", "surrogateescape"), *entry)
        except OSError as error:
            raise self._refusal(error) from error

    def _scan(self, wanted: set[bytes]) -> tuple[dict[bytes, tuple[int, int]], bool]:
        """The (value, type) of every wanted spelling, and whether any address was not 0."""
        missing = set(wanted)
        spellings = wanted | {name[1:] for name in wanted if name[:1] == b"_"}
        found: dict[bytes, tuple[int, int]] = {}
        visible = False
        for line in self._procfs.lines(SOURCE):
            tokens = line.split(None, 3)
            if len(tokens) < 3:
                continue
            visible = visible or bool(tokens[0].strip(b"0"))
            name = tokens[2]
            if name in spellings and name not in found and (entry := _entry(tokens)):
                found[name] = entry
                missing.discard(name)
            if visible and not missing:
                break
        return found, visible

    def _refusal(self, error: OSError) -> KvmError:
        path = self._procfs.path(SOURCE)
        if error.errno == errno.ENOENT:
            return Unsupported(f"{path}: not there; this kernel has no CONFIG_KALLSYMS")
        if error.errno in (errno.EACCES, errno.EPERM):
            return AccessDenied(f"{path}: {error.strerror}; it takes root")
        return KvmError(f"{path}: {error.strerror}")


def _encode(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _choose(name: str, spelling: bytes, found: dict[bytes, tuple[int, int]]) -> Symbol | None:
    entry = found.get(spelling) or found.get(spelling.removeprefix(b"_"))
    return None if entry is None else Symbol(name, *entry)


def _entry(tokens: list[bytes]) -> tuple[int, int] | None:
    try:
        value = int(tokens[0], 16)
    except ValueError:
        return None
    letter = tokens[1]
    return value, _TYPES.get(letter.upper(), _ABS) | (_EXT if letter.isupper() else 0)
