"""Do a dump and a kernel's file belong together?  What one has must be in the other's memory."""

from __future__ import annotations

from kvm_exporter.kvm.errors import Fault, FormatError
from kvm_exporter.kvm.formats import Image
from kvm_exporter.kvm.kernelfile import KernelFile
from kvm_exporter.kvm.memory import Memory

LONGEST_VERSION = 1024


def same_architecture(image: Image, file: KernelFile) -> None:
    """FormatError where the dump is of another architecture than the file."""
    if image.arch is not None and image.arch.elf != file.arch.elf:
        raise FormatError(
            f"{file.name} is a kernel of {file.arch.name}, but the dump one of {image.arch.name}"
        )


def version_of(file: KernelFile, variable: str) -> bytes:
    """The C string that the file has in a variable; none where it does not have it."""
    address = file.address(variable)
    data = file.read(address, LONGEST_VERSION) if address is not None else b""
    return data.partition(b"\0")[0]


def same_version(memory: Memory, file: KernelFile, variable: str, displacement: int) -> None:
    """FormatError where that variable has another text in the dump."""
    own = version_of(file, variable)
    other = other_there(memory, file.address(variable), displacement, own)
    if other is not None:
        told = other.partition(b"\0")[0].decode("utf-8", "replace").strip()
        there = repr(told) if told and told.isprintable() else "something else"
        shown = own.decode("utf-8", "surrogateescape").strip()
        raise FormatError(
            f"{file.name} did not write this dump: it is {shown!r}, and the dump has {there} there"
        )


def other_there(memory: Memory, address: int | None, displacement: int, own: bytes) -> bytes | None:
    """What the dump has in place of ``own``; None where it has just that, or nothing."""
    if address is None or not own:
        return None
    try:
        data = memory.read(address + displacement, len(own))
    except Fault:
        return None
    return None if own.startswith(data) else data
