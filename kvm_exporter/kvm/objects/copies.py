"""Of what has a kernel several copies, and where?  Per-CPU variables, network stacks."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal, NamedTuple, Protocol

Kind = Literal["plain", "percpu", "vnet"]


class Variable(NamedTuple):
    """A symbol that is data.

    ``address`` is the variable's own; of ``percpu`` and ``vnet`` ones the template's, which
    ``Copies.of_cpu`` and ``Copies.of_vnet`` turn into a copy's.  ``type_name`` is under which name
    the kernel's type information has it (``vnet_entry_tcpstat``).  ``size`` in bytes, where known.
    """

    name: str
    kind: Kind
    address: int
    type_name: str
    size: int | None = None


class Vnet(NamedTuple):
    """A network stack of FreeBSD: its struct vnet; ``jail`` is the name of its jail, "" the host's.

    ``jid`` is the jail's number, 0 the host's.
    """

    address: int
    jail: str
    jid: int


class Copies(Protocol):
    """One kernel's copies.  Every method may raise KvmError."""

    def variable(self, name: str) -> Variable | None:
        """What a name is in an expression, None for none: as it is, else as a network stack's, else
        as a per-CPU variable (kvm_nlist(3))."""

    def cpus(self) -> Sequence[int]:
        """The CPUs that have copies, ascending; numbers may have gaps."""

    def running(self) -> Sequence[int]:
        """Those of them that run now, or did when the kernel died: the ones that a series each is
        told of.  A machine may have room for many more."""

    def of_cpu(self, address: int, cpu: int) -> int:
        """A CPU's copy of a ``percpu`` variable."""

    def of_allocation(self, address: int, cpu: int) -> int:
        """A CPU's copy of a per-CPU allocation, to which a pointer in memory leads
        (zpcpu_get() and counter(9), per_cpu_ptr())."""

    def vnets(self) -> Sequence[Vnet]:
        """The network stacks, the host's first; none where the kernel has no VIMAGE."""

    def of_vnet(self, address: int, vnet: Vnet) -> int:
        """A network stack's copy of a ``vnet`` variable."""

    def names_like(self, name: str) -> Sequence[str]:
        """A few names of variables that are spelled nearly so, the nearest first."""

    def untold(self) -> str:
        """Why a variable may be there that ``variable`` does not find; empty where all are told."""

    def generation(self) -> Hashable:
        """Changes when modules are loaded or unloaded, or network stacks come or go: addresses that
        were found before may then be others'.  Cheap: a few reads."""
