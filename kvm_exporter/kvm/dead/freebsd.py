"""How is a dead FreeBSD opened?  Dump and kernel file become memory, symbols, types and objects.

1. Addresses are translated through what the dump brings along, or through page tables that the
   kernel's file helps to find.
2. A kernel file that is another's would make garbage of everything, so its version string and its
   build id are compared with those in the dump's memory: builds of one release have one version.
3. Nothing is read before it is needed: symbols at the first name, types at the first struct.
"""

from __future__ import annotations

import contextlib
import glob
from contextlib import ExitStack, closing
from dataclasses import fields, replace
from functools import partial

from kvm_exporter.kvm.containers import Textdump, Unwrapped
from kvm_exporter.kvm.dead.facts import facts
from kvm_exporter.kvm.dead.matching import (
    other_there,
    same_architecture,
    same_version,
    version_of,
)
from kvm_exporter.kvm.dump import Dump, DumpOptions, TextDump
from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.formats import Image
from kvm_exporter.kvm.formats.roots import complete
from kvm_exporter.kvm.kernelfile import KernelFile
from kvm_exporter.kvm.memory import Memory
from kvm_exporter.kvm.objects.freebsd.dead import FreeBSDDead, Told
from kvm_exporter.kvm.objects.freebsd.life import Header
from kvm_exporter.kvm.objects.freebsd.moduletypes import with_modules
from kvm_exporter.kvm.objects.freebsd.pmap import UserSpaces
from kvm_exporter.kvm.objects.freebsd.textdump import FreeBSDTextdump, NoMemory
from kvm_exporter.kvm.objects.opened import Opened
from kvm_exporter.kvm.space import VirtualMemory
from kvm_exporter.kvm.symbols.joined import DeadSymbols
from kvm_exporter.kvm.symbols.kofile import finder
from kvm_exporter.kvm.symbols.linker_files import LinkerFiles
from kvm_exporter.kvm.tally import Tally
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.lazy import LazyTypes
from kvm_exporter.kvm.types.opening import open_types

KERNELS = ("/boot/kernel/kernel", "/boot/kernel.old/kernel", "/boot/*/kernel")
"""Where FreeBSD installs kernels (build(7)); patterns."""

VERSION = "version"
"""The variable that holds what uname -v says (sys/sys/systm.h)."""

MOST_TOLD = 180
"""struct kerneldumpheader has room for 191 bytes; white space at the end of those is lost."""


def open_freebsd(
    kernel: str | None, unwrapped: Unwrapped, image: Image, options: DumpOptions
) -> Opened:
    """The kernel in the dump ``image``, written by the one in the file ``kernel``.

    None looks for it in /boot.  Errors: FormatError where they do not belong together, and as
    KernelFile.
    """
    if kernel is None:
        return _with_any_kernel(unwrapped, image, options)
    return _with_kernel(kernel, unwrapped, image, options)


def open_texts(unwrapped: Unwrapped) -> Opened:
    """A textdump(4): no kernel file is needed to read it."""
    texts = unwrapped.textdump or Textdump()
    name = unwrapped.source.name
    there = [one.name for one in fields(texts) if getattr(texts, one.name) is not None]
    told = (
        ("core", name),
        ("wrapped in", ", ".join(unwrapped.layers)),
        ("format", f"textdump of {', '.join(there) or 'nothing'}; it holds no memory"),
    )
    system = FreeBSDTextdump(unwrapped, texts, _death(unwrapped))
    nothing = NoMemory(name)
    dump = TextDump(unwrapped, texts, lambda: told)
    return Opened(system, nothing, nothing, Tally(), unwrapped.source.close, dump=dump)


def _with_kernel(kernel: str, unwrapped: Unwrapped, image: Image, options: DumpOptions) -> Opened:
    """The dump with that kernel file, which is what ``close`` gives back."""
    with ExitStack() as stack:
        file = KernelFile(kernel)
        stack.callback(file.close)
        same_architecture(image, file)
        image = complete(image, unwrapped.source, file.arch, file)
        types = LazyTypes(
            partial(
                open_types,
                file.source,
                file.symbols.objects,
                options.cache_directory,
                options.progress,
                partial(_version, file),
            )
        )
        stack.callback(types.close)
        opened = _joined(unwrapped, image, file, types)
        return replace(opened, close=stack.pop_all().close)


def _with_any_kernel(unwrapped: Unwrapped, image: Image, options: DumpOptions) -> Opened:
    """The dump with the kernel in /boot that wrote it: one of the version that the dump tells.

    Where it tells none, or several are of one version, rule 2 finds out.
    """
    version = _version_told(unwrapped)
    for path in dict.fromkeys(path for pattern in KERNELS for path in sorted(glob.glob(pattern))):
        with contextlib.suppress(KvmError):
            if version is None or _has_version(path, version):
                return _with_kernel(path, unwrapped, image, options)
    written = f"was written by {version.strip()!r}" if version else "does not tell its kernel"
    raise KvmError(
        f"{unwrapped.source.name} {written}, and no such kernel is in {', '.join(KERNELS)}: name "
        "the kernel's file"
    )


def _version_told(unwrapped: Unwrapped) -> str | None:
    if unwrapped.header:
        return unwrapped.header.version_string or None
    return unwrapped.info.version_string if unwrapped.info else None


def _has_version(kernel: str, told: str) -> bool:
    with closing(KernelFile(kernel)) as file:
        own, told = _version(file).rstrip(), told.rstrip()
    return own == told or (len(told) >= MOST_TOLD and own.startswith(told))


def _version(file: KernelFile) -> str:
    return version_of(file, VERSION).decode("utf-8", "surrogateescape")


def _joined(unwrapped: Unwrapped, image: Image, file: KernelFile, types: LazyTypes) -> Opened:
    source, arch, translator = unwrapped.source, image.arch or file.arch, image.translator
    if translator is None:
        raise FormatError(f"{source.name}: its addresses cannot be translated")
    tally, kernel = Tally(), file.symbols
    kernel.displacement = image.displacement
    memory = VirtualMemory(source, image.physical, translator, image.page_size)
    _same_kernel(memory, file, image)
    symbols = DeadSymbols(kernel, memory, tally)
    all_types = LazyTypes(lambda: with_modules(types.origin, lambda: symbols.modules, tally))
    target = Target(memory, symbols, all_types, arch.abi, tally)
    symbols.find_modules_with(lambda: LinkerFiles(target, finder(file.name)))
    users = UserSpaces(target, arch, source, image.physical, translator)
    system = FreeBSDDead(target, arch, users, _told(unwrapped, image))
    told = partial(facts, unwrapped, image, arch, file, types)
    dump = Dump(unwrapped, image, arch, translator, told)
    return Opened(system, memory, symbols, tally, memory.close, target, dump)


def _same_kernel(memory: Memory, file: KernelFile, image: Image) -> None:
    """FormatError where the dump's kernel has another version string or build id (rule 2)."""
    same_version(memory, file, VERSION, image.displacement)
    address, note = file.build_note
    if other_there(memory, address, image.displacement, note) is not None:
        raise FormatError(
            f"{file.name} did not write this dump: it is another build of "
            f"{_version(file).strip()!r} (its build id is not the one in the dump)"
        )


def _told(unwrapped: Unwrapped, image: Image) -> Told:
    """What the headers around the dump say of its kernel."""
    around = unwrapped.header or unwrapped.info
    copy = image.message_buffer
    read = partial(unwrapped.source.read, *copy) if copy else None
    return Told(_death(unwrapped), (around.hostname if around else None) or None, read)


def _death(unwrapped: Unwrapped) -> Header:
    header, info = unwrapped.header, unwrapped.info
    if header:
        return Header(float(header.dumptime), header.panic_string or None)
    return Header(None, (info.panic_string if info else None) or None)
