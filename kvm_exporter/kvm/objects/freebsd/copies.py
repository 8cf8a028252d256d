"""Of what has a FreeBSD kernel several copies, and where?  Its CPUs' and its network stacks'.

1. DPCPU and VNET variables are templates in the linker sets set_pcpu and set_vnet, under the names
   pcpu_entry_* and vnet_entry_*; a copy lies a CPU's dpcpu_off, or a network stack's
   vnet_data_base, from its template (linkersets.py).  Kernels without VIMAGE have plain variables.
2. A module's templates were moved into the kernel's sets when it was linked, if it is relocatable
   (amd64); those of a shared object lie in the module, and their copies are where the kernel's set
   was carved for them (elf_relocaddr() of sys/kern/link_elf.c; linker_files.py).
3. Network stacks are the host's (vnet0) and those of jails with one of their own, as long as they
   live: one that is dying is in no list of jls(8), and its name may be another's by now.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import cached_property, partial
from typing import TypeVar

from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.linkersets import PCPU, VNET, LinkerSets, Template, Templates
from kvm_exporter.kvm.memory import Symbol, Symbols
from kvm_exporter.kvm.nm import N_EXT, N_TEXT
from kvm_exporter.kvm.objects.copies import Kind, Variable, Vnet
from kvm_exporter.kvm.objects.freebsd import jails
from kvm_exporter.kvm.objects.freebsd.modules import Modules
from kvm_exporter.kvm.objects.freebsd.percpu import PerCpu
from kvm_exporter.kvm.objects.spelling import nearest
from kvm_exporter.kvm.target import Target

T = TypeVar("T")

PREFIXES: tuple[tuple[Kind, str], ...] = (
    ("plain", ""),
    ("vnet", VNET.decode()),
    ("percpu", PCPU.decode()),
)
"""In the order of kvm_nlist(3)."""


class FreeBSDCopies:
    """The copies of the FreeBSD kernel in ``target`` (objects/copies.py's Copies).

    ``changing``: modules and network stacks come and go, as a running kernel's do.
    """

    def __init__(self, target: Target, page_size: int, *, changing: bool = False) -> None:
        self._target = target
        self._named = _named(target.symbols)
        self._changing = changing
        self._cpus = PerCpu(target, page_size)
        self._sets = LinkerSets(self._address, target.memory, target.abi)
        self._of_cpus: dict[int, Template] = {}
        self._of_vnets: dict[int, Template] = {}
        self._modules = Modules(target, lambda _name, _path: None, changing=changing)

    def variable(self, name: str) -> Variable | None:
        """As Copies has it; one leading ``_`` is no other name's, unlike nlist(3)'s."""
        for kind, prefix in PREFIXES:
            symbol = self._named(prefix + name)
            if symbol is not None:
                return Variable(name, kind, symbol.value, prefix + name, symbol.size or None)
        return None

    def cpus(self) -> Sequence[int]:
        """The CPUs that are there."""
        return tuple(self._cpus.addresses)

    def running(self) -> Sequence[int]:
        """All: FreeBSD knows of no others."""
        return self.cpus()

    def of_cpu(self, address: int, cpu: int) -> int:
        """A CPU's copy of the DPCPU variable whose template is at ``address``.

        KvmError for a CPU that is not there, and for what is no template.
        """
        if cpu not in self._of_cpus:
            template = self._sets.pcpu(cpu)
            if template is None:
                raise KvmError(f"CPU {cpu} has no copies of variables")
            self._of_cpus[cpu] = template
        return self._copy(self._of_cpus[cpu], address)

    def of_allocation(self, address: int, cpu: int) -> int:
        """A CPU's copy of the UMA_ZONE_PCPU allocation, a counter(9) for one, at ``address``."""
        return self._cpus.copy(address, cpu)

    def vnets(self) -> Sequence[Vnet]:
        """The host's network stack, then those of jails by their number (rule 3)."""
        stacks = tuple(self._stacks())
        self._of_vnets = {vnet.address: template for vnet, template in stacks if template}
        return tuple(vnet for vnet, _ in stacks)

    def of_vnet(self, address: int, vnet: Vnet) -> int:
        """A network stack's copy of the VNET variable whose template is at ``address``.

        ``vnet`` as it was listed last.  KvmError for what is no network stack, and no template.
        """
        if vnet.address not in self._of_vnets:
            template = self._sets.vnet(vnet.address)
            if template is None:
                raise FormatError(f"there is no struct vnet at {vnet.address:#x}")
            self._of_vnets[vnet.address] = template
        return self._copy(self._of_vnets[vnet.address], address)

    def names_like(self, name: str) -> Sequence[str]:
        """As Copies.names_like; no functions.  A running kernel's modules' are not listed."""
        return nearest(name, self._names)

    def untold(self) -> str:
        """Nothing: the kernel's file tells all."""
        return ""

    def generation(self) -> Hashable:
        """The modules that are loaded, and the network stacks with the places of their copies;
        always the same where nothing changes."""
        return (self._modules.state(), tuple(self._stacks())) if self._changing else None

    def _copy(self, template: Template, address: int) -> int:
        if not template.start <= address < template.stop:
            for module in self._modules.loaded():
                address = module.carved(address)
        if not template.start <= address < template.stop:
            raise FormatError(f"{address:#x} is in no linker set: its copies cannot be found")
        return template.move(address)

    def _stacks(self) -> Iterator[tuple[Vnet, Template | None]]:
        """Each network stack with its template; a jail that is damaged costs no other's."""
        symbol = self._named("vnet0")
        host = self._target.pointer(symbol.value) if symbol else 0
        if not host:
            return
        yield Vnet(host, "", 0), self._counted("vnet", lambda: self._sets.vnet(host))
        owners = self._counted("allprison", lambda: jails.network_owners(self._target)) or {}
        for address, (jid, name) in sorted(owners.items(), key=lambda one: one[1]):
            if address not in (0, host):
                template = self._counted("vnet", partial(self._sets.vnet, address))
                if template:
                    yield Vnet(address, name, jid), template

    def _counted(self, what: str, read: Callable[[], T]) -> T | None:
        """What ``read`` gives; None, and counted as a failure of ``what``, where it fails."""
        try:
            return read()
        except KvmError:
            self._target.tally.add(what, None)
            return None

    def _address(self, name: bytes) -> int | None:
        symbol = self._named(name.decode())
        return symbol.value if symbol else None

    @cached_property
    def _names(self) -> Sequence[str]:
        """The names of all variables, without their prefixes."""
        prefixes = tuple(prefix for _, prefix in PREFIXES if prefix)
        names: dict[str, None] = {}
        for one in self._target.symbols:
            if one.type & ~N_EXT != N_TEXT:
                prefix = next((known for known in prefixes if one.name.startswith(known)), "")
                names[one.name.removeprefix(prefix)] = None
        return tuple(names)


def _named(symbols: Symbols) -> Callable[[str], Symbol | None]:
    """What finds the symbol of just a name, and no copy by it."""
    if isinstance(symbols, Templates):
        return symbols.template
    return lambda name: symbols.lookup([name])[0]
