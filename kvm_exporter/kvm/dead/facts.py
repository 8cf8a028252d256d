"""What is told of a dump?  (name, value), for people, in the order to be shown."""

from __future__ import annotations

from kvm_exporter.kvm.arch import Arch
from kvm_exporter.kvm.containers import Unwrapped
from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.formats import Image
from kvm_exporter.kvm.kernelfile import KernelFile
from kvm_exporter.kvm.types.lazy import LazyTypes


def facts(
    unwrapped: Unwrapped, image: Image, arch: Arch, file: KernelFile | None, types: LazyTypes
) -> tuple[tuple[str, str], ...]:
    """Those of the dump in all its wrappings, and of its kernel's file, if there is one."""
    try:
        origin = types.origin.words
    except KvmError as error:
        origin = f"none: {error}"
    return (
        ("core", unwrapped.source.name),
        *((("kernel", file.name),) if file else ()),
        *((("wrapped in", ", ".join(unwrapped.layers)),) if unwrapped.layers else ()),
        ("format", image.format),
        ("architecture", arch.name),
        *image.facts,
        ("kernel displaced by", f"{image.displacement:#x}"),
        ("types", origin),
    )
