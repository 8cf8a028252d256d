"""What does opening a kernel give?  The parts that handle.Kvm joins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvm_exporter.kvm.dump import Dump, TextDump
from kvm_exporter.kvm.memory import Memory, Symbols
from kvm_exporter.kvm.objects.system import System
from kvm_exporter.kvm.tally import Tally

if TYPE_CHECKING:  # a running Linux's is made, and what it takes imported, when it is asked for
    from kvm_exporter.kvm.target import Target


@dataclass(frozen=True, slots=True)
class Opened:
    """One kernel.

    ``close`` gives every file back.  ``target`` reads it by type, where its types are known, or
    ``find_target`` makes what does; ``dump`` None: it runs.
    """

    system: System
    memory: Memory
    symbols: Symbols
    tally: Tally
    close: Callable[[], None]
    target: Target | None = None
    dump: Dump | TextDump | None = None
    find_target: Callable[[], Target] | None = None
