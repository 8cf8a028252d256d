"""How is a dead kernel opened?  Its wrappings come off, then it is FreeBSD's, or Linux's.

Linux's cores say so themselves (VMCOREINFO, kdump's header), or their kernel's file does.  Of an
ELF core with neither a kernel file nor anything that FreeBSD writes, memory is searched.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from kvm_exporter.kvm.containers import Unwrapped, open_container
from kvm_exporter.kvm.dead.freebsd import open_freebsd, open_texts
from kvm_exporter.kvm.dead.linux import find_linux, open_linux
from kvm_exporter.kvm.dump import DumpOptions
from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.formats import open_images
from kvm_exporter.kvm.formats.rawmem import open_raw
from kvm_exporter.kvm.objects.opened import Opened

__all__ = ["open_dead"]


def open_dead(
    kernel: str | None, cores: Sequence[str], options: DumpOptions, *, write: bool
) -> Opened:
    """The kernel in the dump ``cores`` (several files: one dump, split), written by the one in the
    file ``kernel``.

    Errors: FormatError where either is damaged, or they do not belong together; KvmError,
    AccessDenied and Unsupported as open_container and KernelFile.
    """
    if not cores:
        raise KvmError("no file of a dump is named")
    with ExitStack() as stack:
        parts = [_unwrapped(core, options, write=write, stack=stack) for core in cores]
        first = parts[0]
        if any(part.textdump for part in parts):
            if len(parts) > 1:
                raise FormatError(f"{first.source.name}: a textdump is one file, not {len(parts)}")
            opened = open_texts(first)
        else:
            sources = [part.source for part in parts]
            image = open_raw(first.source) if options.raw else open_images(sources)
            linux = find_linux(kernel, first, image)
            opened = (
                open_linux(kernel, first, image, linux, options)
                if linux
                else open_freebsd(kernel, first, image, options)
            )
        stack.callback(opened.close)
        return replace(opened, close=stack.pop_all().close)


def _unwrapped(core: str, options: DumpOptions, *, write: bool, stack: ExitStack) -> Unwrapped:
    unwrapped = open_container(
        core,
        writable=write,
        private_key=options.private_key,
        cache_directory=options.cache_directory,
        progress=options.progress,
    )
    stack.callback(unwrapped.source.close)
    return unwrapped
