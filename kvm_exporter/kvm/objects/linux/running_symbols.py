"""Which symbols does a running Linux kernel keep in its memory?  They are read as a dead one's.

What its memory does not tell, such as variables where the kernel was built without
CONFIG_KALLSYMS_ALL, its vmlinux does, if that is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from kvm_exporter.kvm.live.kcore import Kcore
from kvm_exporter.kvm.objects.linux.vmlinux import START
from kvm_exporter.kvm.symbols.elfsymtab import ElfSymbols
from kvm_exporter.kvm.symbols.exports import Exports
from kvm_exporter.kvm.symbols.kallsyms import LinuxSymbols
from kvm_exporter.kvm.symbols.kallsyms_reading import read_kallsyms
from kvm_exporter.kvm.symbols.linux_modules import LinuxModules
from kvm_exporter.kvm.tally import Tally
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.model import Types
from kvm_exporter.kvm.vmcore.vmcoreinfo import Vmcoreinfo

EM_ARM = 40
"""elf.h."""


def find_symbols(
    memory: Kcore, types: Types, tally: Tally, vmlinux: Callable[[int | None], ElfSymbols]
) -> LinuxSymbols:
    """The symbols of the kernel in ``memory``, and of its modules.

    ``vmlinux`` gives those of its file, from where its code begins.  Errors: SymbolMissing where
    it has none, and those of reading memory.
    """
    header = memory.header()
    info = Vmcoreinfo.parse(memory.vmcoreinfo() or b"")
    symbols = LinuxSymbols(
        partial(read_kallsyms, memory, header.abi, info),
        tally,
        partial(vmlinux, info.symbol(START)),
        Exports(memory, header.abi, info.symbol),
    )
    symbols.kernel.lookup([START])  # what hinders is told here
    target = Target(memory, symbols, types, header.abi, tally)
    symbols.find_modules_with(partial(LinuxModules, target, even=header.machine == EM_ARM))
    return symbols
