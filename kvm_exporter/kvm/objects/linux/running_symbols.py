"""Which symbols does a running Linux kernel keep in its memory?  They are read as a dead one's."""

from __future__ import annotations

from functools import partial

from kvm_exporter.kvm.live.kcore import Kcore
from kvm_exporter.kvm.symbols.kallsyms import LinuxSymbols
from kvm_exporter.kvm.symbols.kallsyms_reading import read_kallsyms
from kvm_exporter.kvm.symbols.linux_modules import LinuxModules
from kvm_exporter.kvm.tally import Tally
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.model import Types
from kvm_exporter.kvm.vmcore.vmcoreinfo import Vmcoreinfo

EM_ARM = 40
"""elf.h."""


def find_symbols(memory: Kcore, types: Types, tally: Tally) -> LinuxSymbols:
    """The symbols of the kernel in ``memory``, and of its modules.

    Errors: SymbolMissing where it has none, and those of reading memory.
    """
    header = memory.header()
    info = Vmcoreinfo.parse(memory.vmcoreinfo() or b"")
    found = LinuxSymbols(partial(read_kallsyms, memory, header.abi, info), tally)
    if found.kernel.kallsyms is not None:  # always: it is read here, so that what hinders is told here
        target = Target(memory, found, types, header.abi, tally)
        found.find_modules_with(partial(LinuxModules, target, even=header.machine == EM_ARM))
    return found
