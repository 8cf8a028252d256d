"""Where are Linux's kernel symbols?  /proc/kallsyms (proc_kallsyms(5)).

Rule 1: of several symbols of one name nm.py's rule 2 says which counts; the kernel's come before
        its modules', as kallsyms_lookup_name() has it.
Rule 2: a name is looked for as it is, and failing that without one leading ``_``, as kvm_nlist(3)
        does for the names of a.out times.
Rule 3: where every address is 0 the kernel hides them (kptr_restrict in proc_sys_kernel(5)).  A
        single 0 is an address: that of the first per-CPU variable on x86-64 before Linux 6.15,
        where the value of a per-CPU symbol is its offset in each CPU's area.
Rule 4: the text of a look-up is kept, some 10 MB which the kernel makes in 100 ms, until
        /proc/modules tells of other modules.  The names of BPF programs that are loaded meanwhile
        are not in it.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Sequence

from kvm_exporter.kvm.errors import AccessDenied, KvmError, Unsupported
from kvm_exporter.kvm.live.procfs import Procfs
from kvm_exporter.kvm.memory import Symbol
from kvm_exporter.kvm.nm import N_EXT, NLIST_TYPES

SOURCE = "kallsyms"
MODULES = "modules"

VARIABLE = b"init_task"
"""One that every kernel has."""

_SHOWN = re.compile(rb"^0*[1-9A-Fa-f]", re.MULTILINE)
"""An address that is not 0."""


Entry = tuple[int, int]
"""A symbol's value and type."""


class Kallsyms:
    """The symbols of the kernel and its modules."""

    def __init__(self, procfs: Procfs) -> None:
        self._procfs = procfs
        self._text = b""
        self._modules: Sequence[bytes] | None = None

    def lookup(self, names: Sequence[str]) -> list[Symbol | None]:
        """Each name's symbol, under the name that was asked; None where there is none.

        Errors: AccessDenied where the kernel hides addresses, if a name has one or, without
        CONFIG_KALLSYMS_ALL, might have; Unsupported without CONFIG_KALLSYMS.
        """
        self._read()
        found = [self._symbol(name) for name in names]
        if found and (any(found) or not self.has_variables) and not self.shown:
            raise AccessDenied(
                f"{self._procfs.path(SOURCE)}: all addresses are 0; "
                "it takes CAP_SYSLOG, or the sysctl kernel.kptr_restrict at 0"
            )
        return found

    def __iter__(self) -> Iterator[Symbol]:
        """Every symbol, the modules' too; all at address 0 where the kernel hides addresses.

        Nothing of them is kept.  Errors: as ``lookup``.
        """
        try:
            for line in self._procfs.lines(SOURCE):
                tokens = line.split(None, 3)
                entry = _entry(tokens) if len(tokens) > 2 else None
                if entry:
                    yield Symbol(tokens[2].decode("utf-8", "surrogateescape"), *entry)
        except OSError as error:
            raise self._refusal(error) from error

    @property
    def shown(self) -> bool:
        """Whether the kernel shows addresses.  Errors: as ``lookup``, where it has no symbols."""
        self._read()
        return _SHOWN.search(self._text) is not None

    @property
    def has_variables(self) -> bool:
        """Whether it lists more than functions (CONFIG_KALLSYMS_ALL).  Errors: as ``lookup``."""
        self._read()
        return self._find(VARIABLE) is not None

    def _read(self) -> None:
        """The text as it is now (rule 4)."""
        try:
            modules = loaded_modules(self._procfs)
            if modules != self._modules:
                self._text = b"\n" + self._procfs.read(SOURCE)
                self._modules = modules
        except OSError as error:
            raise self._refusal(error) from error

    def _symbol(self, name: str) -> Symbol | None:
        spelling = name.encode("utf-8", "surrogateescape")
        entry = self._find(spelling) or self._find(spelling.removeprefix(b"_"))
        return None if entry is None else Symbol(name, *entry)

    def _find(self, name: bytes) -> Entry | None:
        """The symbol of just that name (rule 1)."""
        if name.split() != [name]:
            return None
        for end in (b"\n", b"\t"):  # a module's name would follow: ``\t[ext4]``
            found = list(self._entries(b" " + name + end))
            if found:
                return next((one for one in found if one[1] & N_EXT), found[0])
        return None

    def _entries(self, wanted: bytes) -> Iterator[Entry]:
        """Of each line that has ``wanted``, behind an address and a letter."""
        at = self._text.find(wanted)
        while at >= 0:
            start = self._text.rfind(b"\n", 0, at) + 1
            tokens = self._text[start:at].split()
            if len(tokens) == 2 and (entry := _entry(tokens)):
                yield entry
            at = self._text.find(wanted, at + 1)

    def _refusal(self, error: OSError) -> KvmError:
        path = self._procfs.path(SOURCE)
        if error.errno == errno.ENOENT:
            return Unsupported(f"{path}: not there; this kernel has no CONFIG_KALLSYMS")
        if error.errno in (errno.EACCES, errno.EPERM):
            return AccessDenied(f"{path}: {error.strerror}; it takes root")
        return KvmError(f"{path}: {error.strerror}")


def loaded_modules(procfs: Procfs) -> Sequence[bytes]:
    """The name and address of each module; none where the kernel has none.  Errors: OSError."""
    try:
        lines = list(procfs.lines(MODULES))
    except FileNotFoundError:
        return ()
    # what else a line tells, such as how often the module is in use, changes all the time
    return tuple(b" ".join(line.split()[::5]) for line in lines)


def _entry(tokens: Sequence[bytes]) -> Entry | None:
    try:
        return int(tokens[0], 16), NLIST_TYPES[tokens[1][0]]
    except ValueError:
        return None
