"""How is a dead Linux opened?  The core alone says where its tables, symbols and types are.

1. A core is Linux's where it says so (VMCOREINFO, a kdump header) or its kernel's file does.  An
   ELF core that nobody says anything of is searched for VMCOREINFO.
2. Symbols are the kernel's own (kallsyms), types its own (BTF); a vmlinux is asked for what the
   core has not.  A vmlinux that is another's would make garbage of that: its build id is compared.
   A file that is nothing but BTF (pahole --btf_encode_detached) tells types, and no build id.
3. Nothing is read before it is needed: symbols at the first name, types at the first struct.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from kvm_exporter.kvm import elf
from kvm_exporter.kvm.arch import Arch
from kvm_exporter.kvm.containers import Unwrapped
from kvm_exporter.kvm.dead.facts import facts
from kvm_exporter.kvm.dead.matching import same_architecture, same_version
from kvm_exporter.kvm.dead.zeros import KernelZeros
from kvm_exporter.kvm.dump import Dump, DumpOptions
from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.formats import Image
from kvm_exporter.kvm.formats.holes import HoledSegments
from kvm_exporter.kvm.kernelfile import KernelFile
from kvm_exporter.kvm.memory import Memory
from kvm_exporter.kvm.objects.linux.dead import LinuxDead
from kvm_exporter.kvm.objects.opened import Opened
from kvm_exporter.kvm.source import File, Source
from kvm_exporter.kvm.space import PhysicalMemory, Translator, VirtualMemory
from kvm_exporter.kvm.symbols.elfsymtab import ElfSymbols
from kvm_exporter.kvm.symbols.exports import Exports
from kvm_exporter.kvm.symbols.kallsyms import LinuxSymbols
from kvm_exporter.kvm.symbols.kallsyms_reading import read_kallsyms
from kvm_exporter.kvm.symbols.linux_modules import LinuxModules
from kvm_exporter.kvm.tally import Tally
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.btf_section import is_btf
from kvm_exporter.kvm.types.lazy import LazyTypes
from kvm_exporter.kvm.types.linux_opening import open_linux_types
from kvm_exporter.kvm.vmcore.finding import find_vmcoreinfo
from kvm_exporter.kvm.vmcore.translating import UserSpaces, complete, with_told_direct_map
from kvm_exporter.kvm.vmcore.vmcoreinfo import Vmcoreinfo

BANNER = "linux_banner"
"""The variable that holds what /proc/version says (init/version.c)."""


@dataclass(frozen=True, slots=True)
class Linux:
    """What tells of a Linux's dump: its VMCOREINFO, None where it has none (its file tells)."""

    info: Vmcoreinfo | None


def find_linux(kernel: str | None, unwrapped: Unwrapped, image: Image) -> Linux | None:
    """What tells that the dump is a Linux kernel's; None where nothing does (rule 1).

    Errors: those of KernelFile.
    """
    memory = PhysicalMemory(image.store or unwrapped.source, image.physical)
    if image.vmcoreinfo is not None or (kernel is not None and _is_linux(kernel)):
        return Linux(find_vmcoreinfo(image, memory))
    if kernel or unwrapped.header or unwrapped.info or image.translator or image.anchor:
        return None
    info = find_vmcoreinfo(image, memory)
    return Linux(info) if info else None


def _is_linux(kernel: str) -> bool:
    if _is_btf(kernel):
        return True
    file = KernelFile(kernel)
    try:
        return file.address(BANNER) is not None
    except KvmError:
        return False
    finally:
        file.close()


def _is_btf(kernel: str) -> bool:
    with File(kernel) as file:
        return is_btf(file.read(0, 2))


def open_linux(
    kernel: str | None, unwrapped: Unwrapped, image: Image, linux: Linux, options: DumpOptions
) -> Opened:
    """The kernel in the dump ``image``; ``kernel`` is its vmlinux, or BTF of it, or None.

    Errors: FormatError where the dump is damaged, or the vmlinux another's; those of KernelFile.
    """
    with ExitStack() as stack:
        file = types = None
        if kernel is not None and _is_btf(kernel):
            types = File(kernel)
            stack.callback(types.close)
        elif kernel is not None:
            file = KernelFile(kernel)
            stack.callback(file.close)
            types = file.source
        if file:
            same_architecture(image, file)
        if linux.info is None:
            raise FormatError(
                f"{unwrapped.source.name}: no VMCOREINFO, neither in a note nor in memory: nothing "
                "tells where the kernel and its page tables are"
            )
        image = complete(image, unwrapped.source, linux.info, file)
        opened = _Core(unwrapped, image, linux.info, file, types, options).opened()
        stack.callback(opened.close)
        return replace(opened, close=stack.pop_all().close)


@dataclass(frozen=True, slots=True)
class _Core:
    """A dump whose addresses can be translated, with all that tells of its kernel.

    ``file`` is its vmlinux, ``types`` what has its types if its memory has none.
    """

    unwrapped: Unwrapped
    image: Image
    info: Vmcoreinfo
    file: KernelFile | None
    types: Source | None
    options: DumpOptions

    def opened(self) -> Opened:
        """Memory, symbols, types and objects."""
        source, arch, tally = self.unwrapped.source, self._arch, Tally()
        memory = self._memory(self.image)
        if self.file:
            _same_kernel(memory, self.file, self.info, self.image.displacement)
        symbols = self._symbols(memory, tally)
        image = with_told_direct_map(self.image, memory, symbols)
        memory = self._memory(image)
        types = self._types(memory, symbols)
        holed = isinstance(image.physical, HoledSegments)
        seen: Memory = KernelZeros(memory, symbols) if holed else memory
        target = Target(seen, symbols, types, arch.abi, tally)
        symbols.find_modules_with(partial(LinuxModules, target, even=arch.machine == "arm"))
        system = LinuxDead(target, arch, UserSpaces(image, source), self.info)
        told = partial(facts, self.unwrapped, image, arch, self.file, types)
        dump = Dump(self.unwrapped, image, arch, _translator(image), told)
        with ExitStack() as stack:
            stack.callback(memory.close)
            stack.callback(types.close)
            return Opened(system, seen, symbols, tally, stack.pop_all().close, target, dump)

    @property
    def _arch(self) -> Arch:
        if self.image.arch is None:
            raise FormatError(f"{self.unwrapped.source.name}: its architecture is not known")
        return self.image.arch

    def _memory(self, image: Image) -> VirtualMemory:
        store = image.store or self.unwrapped.source
        return VirtualMemory(store, image.physical, _translator(image), image.page_size)

    def _symbols(self, memory: Memory, tally: Tally) -> LinuxSymbols:
        file, abi = self.file, self._arch.abi
        return LinuxSymbols(
            partial(read_kallsyms, memory, abi, self.info, self.options.cache_directory),
            tally,
            partial(_displaced, file, self.image.displacement) if file else None,
            Exports(memory, abi, self.info.symbol),
        )

    def _types(self, memory: Memory, symbols: LinuxSymbols) -> LazyTypes:
        """The kernel's, for which its own symbols are asked: modules' take types to be found."""
        directory, progress = self.options.cache_directory, self.options.progress
        read = partial(open_linux_types, memory, symbols.kernel, self.types, self.info.build_id)
        return LazyTypes(partial(read, directory, progress))


def _translator(image: Image) -> Translator:
    if image.translator is None:
        raise FormatError("its addresses cannot be translated")
    return image.translator


def _displaced(file: KernelFile, displacement: int) -> ElfSymbols:
    symbols = file.symbols
    symbols.displacement = displacement
    return symbols


def _same_kernel(memory: Memory, file: KernelFile, info: Vmcoreinfo, displacement: int) -> None:
    """FormatError where the file is of another build than the dump (rule 2)."""
    own = elf.build_id(file.source, file.header)
    if not own or not info.build_id:
        if file.address(BANNER) is None:
            raise FormatError(f"{file.name} is no Linux kernel, but the dump is one's")
        same_version(memory, file, BANNER, displacement)
    elif own.hex() != info.build_id:
        raise FormatError(
            f"{file.name} did not write this dump: its build id is {own.hex()}, and the dump's "
            f"{info.build_id}"
        )
