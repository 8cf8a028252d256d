"""How is the running Linux kernel read by name and type?  Its symbols, and its Target.

1. Nothing of this is needed by who asks for processes or the load: it is imported, and files are
   opened, by who asks for a symbol's address or a type.
2. Symbols are those of /proc/kallsyms; where that hides their addresses, is not there, or has no
   variables (CONFIG_KALLSYMS_ALL), those that the kernel keeps in its memory, if that may be read.
3. Types are those that the kernel shows in /sys/kernel/btf, which anybody may read; else what lies
   in its memory; else those of its vmlinux, if that is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

from kvm_exporter.kvm.abi import NATIVE, Abi
from kvm_exporter.kvm.errors import AccessDenied, KvmError, Unsupported
from kvm_exporter.kvm.live.kallsyms import Kallsyms
from kvm_exporter.kvm.live.kcore import Kcore
from kvm_exporter.kvm.live.procfs import Procfs
from kvm_exporter.kvm.memory import Memory, Symbol, Symbols
from kvm_exporter.kvm.tally import Tally

if TYPE_CHECKING:  # rule 1
    from kvm_exporter.kvm.target import Target
    from kvm_exporter.kvm.types.lazy import LazyTypes


class RunningSymbols:
    """The symbols of the running kernel and its modules (memory.py's Symbols)."""

    def __init__(self, listed: Kallsyms, in_memory: Callable[[], Symbols]) -> None:
        self._listed = listed
        self._find = in_memory
        self._found: Symbols | KvmError | None = None

    def lookup(self, names: Sequence[str]) -> list[Symbol | None]:
        """As Kallsyms.lookup.

        Errors: those of Kallsyms, where memory does not help; those of memory, once it did.
        """
        try:
            found = self._listed.lookup(names)
        except (AccessDenied, Unsupported) as refusal:
            return self._instead(refusal).lookup(names)
        if None in found and not self._listed.has_variables:
            with suppress(KvmError):
                others = self._instead(None).lookup(names)
                return [one or other for one, other in zip(found, others, strict=True)]
        return found

    def __iter__(self) -> Iterator[Symbol]:
        """Every symbol, the modules' too.

        All at address 0 where the kernel hides addresses, in memory, too.  Errors: as ``lookup``.
        """
        try:
            shown = self._listed.shown
        except (AccessDenied, Unsupported) as refusal:
            return iter(self._instead(refusal))
        if shown:
            return iter(self._listed)
        try:
            return iter(self._instead(None))
        except KvmError:
            return iter(self._listed)

    def _instead(self, refusal: KvmError | None) -> Symbols:
        """The symbols in memory, looked for once; where there are none ``refusal`` tells that, too.

        Errors: those of ``in_memory`` without a refusal.
        """
        if self._found is None:
            try:
                self._found = self._find()
            except KvmError as error:
                self._found = error
        if not isinstance(self._found, KvmError):
            return self._found
        if refusal is None:
            raise self._found
        raise type(refusal)(f"{refusal}; nor does memory tell: {self._found}") from self._found


class Running:
    """What of the running kernel is read by name: ``symbols``, and ``target()``.

    ``root`` is the directory that has its /sys, and its vmlinux if there is one.
    """

    def __init__(self, memory: Memory, procfs: Procfs, tally: Tally, root: str = "") -> None:
        self._memory = memory
        self._tally = tally
        self._root = root
        self._types: LazyTypes | None = None
        self._files = ExitStack()
        self._files.callback(memory.close)
        self.symbols = RunningSymbols(Kallsyms(procfs), self._symbols_in_memory)

    def target(self) -> Target:
        """The kernel's memory by name and type; of both nothing is read yet."""
        from kvm_exporter.kvm.target import Target  # noqa: PLC0415 - rule 1

        return Target(self._memory, self.symbols, self._known_types(), self._abi(), self._tally)

    def close(self) -> None:
        """Give every file back."""
        self._files.close()

    def _known_types(self) -> LazyTypes:
        from kvm_exporter.kvm.objects.linux.running_types import open_types  # noqa: PLC0415 - rule 1
        from kvm_exporter.kvm.types.lazy import LazyTypes  # noqa: PLC0415

        if self._types is None:
            self._types = LazyTypes(partial(open_types, self._memory, self.symbols, self._root))
            self._files.callback(self._types.close)
        return self._types

    def _abi(self) -> Abi:
        """The kernel's, which may be wider than ours; ours where its memory cannot be read."""
        if isinstance(self._memory, Kcore):
            with suppress(KvmError):
                return self._memory.header().abi
        return NATIVE

    def _symbols_in_memory(self) -> Symbols:
        from kvm_exporter.kvm.objects.linux.running_symbols import find_symbols  # noqa: PLC0415
        from kvm_exporter.kvm.objects.linux.vmlinux import open_symbols  # noqa: PLC0415

        if not isinstance(self._memory, Kcore):
            raise Unsupported("this handle was opened without the kernel's memory")
        vmlinux = partial(open_symbols, self._root, self._files)
        return find_symbols(self._memory, self._known_types(), self._tally, vmlinux)
