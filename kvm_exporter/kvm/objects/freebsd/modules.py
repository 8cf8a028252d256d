"""Which modules has a FreeBSD kernel loaded now?  Looked for again when others are loaded.

linker_files is walked for what tells that something has changed; symbol tables and linker sets
(linker_files.py) are read only when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.source import Source
from kvm_exporter.kvm.symbols.linker_files import LinkerFiles
from kvm_exporter.kvm.symbols.module import Module
from kvm_exporter.kvm.target import Target

FILES = "linker_files"
"""The list of modules, and what failures are counted under."""

MEMBERS = ("link.tqe_next", "address", "loadcnt")
"""Of struct linker_file: loadcnt tells one from another that was at its place before."""


class Modules:
    """The modules of the kernel in ``target``; ``find_file`` opens the .ko of a (name, path).

    ``changing``: they come and go, as a running kernel's do.
    """

    def __init__(
        self,
        target: Target,
        find_file: Callable[[str, str], Source | None],
        *,
        changing: bool = True,
    ) -> None:
        self._target = target
        self._find_file = find_file
        self._changing = changing
        self._known: tuple[Hashable, tuple[Module, ...]] | None = None
        self._reading = False

    def state(self) -> Hashable:
        """Changes when a module is loaded or unloaded; None where that cannot be told.

        Errors: those of memory.
        """
        target = self._target
        (symbol,) = target.symbols.lookup([FILES])
        if symbol is None:
            return None
        try:
            record = target.record("struct linker_file", MEMBERS)
        except KvmError:  # the list's two ends tell of what comes, and of most that goes
            return target.read(symbol.value, 2 * target.abi.pointer_size)
        return tuple(target.rows(target.pointer(symbol.value), record, FILES))

    def loaded(self) -> tuple[Module, ...]:
        """The modules; none where they could not be found, which is counted."""
        if self._reading:  # types are looked for in modules, and modules are read by their types
            return ()
        self._reading = True
        try:
            return self._looked_up()
        except KvmError:
            self._target.tally.add(FILES, None)
            return ()
        finally:
            self._reading = False

    def _looked_up(self) -> tuple[Module, ...]:
        state = self.state() if self._changing else None
        if self._known is None or self._known[0] != state:
            self._known = state, tuple(LinkerFiles(self._target, self._find_file))
        return self._known[1]
