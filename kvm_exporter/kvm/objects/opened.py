"""What does opening a kernel give?  The parts that handle.Kvm joins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvm_exporter.kvm.dump import Dump, TextDump
from kvm_exporter.kvm.memory import Memory, Symbols
from kvm_exporter.kvm.objects.system import System
from kvm_exporter.kvm.tally import Tally

if TYPE_CHECKING:  # of a running Linux no types are read
    from kvm_exporter.kvm.target import Target


@dataclass(frozen=True, slots=True)
class Opened:
    """One kernel.

    ``close`` gives every file back.  ``target`` reads it by type, where its types are known;
    ``dump`` None: it runs.
    """

    system: System
    memory: Memory
    symbols: Symbols
    tally: Tally
    close: Callable[[], None]
    target: Target | None = None
    dump: Dump | TextDump | None = None
