"""What do the handlers answer that any sysctl may have?  Those of sysctl(9).

arg1 is the variable's address; where it is null, arg2 is the value (SYSCTL_INT with a constant).

Sources: sys/kern/kern_sysctl.c, subr_counter.c, subr_pcpu.c.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.objects.freebsd.oidkernel import INT, QUAD, Answer, Kernel
from kvm_exporter.kvm.objects.freebsd.oidtree import Oid
from kvm_exporter.kvm.objects.freebsd.sysctlstructs import COUNTERS
from kvm_exporter.kvm.types.flatten import composite

LARGEST = 1 << 20
"""Bytes of a string or a struct, more than any sysctl has."""

PIECE = 256
"""Bytes of a string that are read at once."""

MOST_COUNTERS = 1 << 12
"""Counters of an array."""


def plain(kernel: Kernel, oid: Oid, size: int) -> bytes:
    """An integer; a long has size 0."""
    size = size or kernel.target.abi.pointer_size
    if not oid.arg1:
        return kernel.spelled(oid.arg2, size)
    return kernel.target.read(kernel.address(oid), size)


def boolean(kernel: Kernel, oid: Oid) -> bytes:
    """A bool, as 0 or 1."""
    return bytes((any(plain(kernel, oid, 1)),))


def string(kernel: Kernel, oid: Oid) -> bytes:
    """A C string: of arg2 bytes, or as long as it is where that is 0."""
    if not oid.arg1:
        raise FormatError(f"{'.'.join(oid.parts)}: no string")
    room = min(oid.arg2 - 1, LARGEST) if oid.arg2 > 0 else LARGEST
    at, text = kernel.address(oid), b""
    while len(text) < room and b"\0" not in text:
        piece = kernel.target.memory.read(at + len(text), min(PIECE, room - len(text)))
        if not piece:
            break
        text += piece
    return text.partition(b"\0")[0] + b"\0"


def opaque(kernel: Kernel, oid: Oid) -> bytes:
    """arg2 bytes."""
    if not oid.arg1 or not 0 < oid.arg2 <= LARGEST:
        raise FormatError(f"{'.'.join(oid.parts)}: {oid.arg2} bytes at {oid.arg1:#x}")
    return kernel.target.read(kernel.address(oid), oid.arg2)


def counter(kernel: Kernel, oid: Oid) -> bytes:
    """The sum of a counter_u64_t, behind a pointer."""
    return kernel.spelled(kernel.cpus.counter(kernel.pointer(oid)), QUAD)


def counters(kernel: Kernel, oid: Oid) -> bytes:
    """As many of them as arg2 says."""
    return in_a_row(kernel, kernel.address(oid), oid.arg2)


def in_a_row(kernel: Kernel, start: int, count: int) -> bytes:
    """Counters whose pointers lie one behind the other."""
    if not 0 < count <= MOST_COUNTERS:
        raise FormatError(f"{count} counters at {start:#x}")
    size = kernel.target.abi.pointer_size
    pointers = [kernel.target.pointer(start + at * size) for at in range(count)]
    return b"".join(kernel.spelled(kernel.cpus.counter(one), QUAD) for one in pointers)


def statistics(kernel: Kernel, _oid: Oid, array: str, struct: str) -> bytes:
    """A network stack's array of counters (VNET_PCPUSTAT_DEFINE)."""
    start, _ = kernel.variable(array)
    return in_a_row(kernel, start, composite(kernel.target.types, f"struct {struct}").size // QUAD)


def every_cpu(kernel: Kernel, oid: Oid, size: int) -> bytes:
    """A DPCPU variable, summed up."""
    size = size or kernel.target.abi.pointer_size
    copies = (kernel.copies.of_cpu(oid.arg1, cpu) for cpu in kernel.copies.cpus())
    return kernel.spelled(sum(kernel.target.integer(at, size) for at in copies), size)


def milliseconds(kernel: Kernel, oid: Oid) -> bytes:
    """Ticks, as milliseconds."""
    hertz = kernel.number("hz")
    if hertz <= 0:
        raise FormatError(f"hz: a clock of {hertz} ticks a second")
    ticks = kernel.signed(oid, INT) * 1000
    return kernel.spelled(ticks // hertz if ticks >= 0 else -(-ticks // hertz), INT)


def of_sbintime(kernel: Kernel, oid: Oid, second: int) -> bytes:
    """An sbintime_t, which counts 2^-32ths of a second, in parts of which a second has so many."""
    return kernel.spelled(kernel.signed(oid, QUAD) * second >> 32, QUAD)


def seconds(kernel: Kernel, oid: Oid) -> bytes:
    """The seconds of a struct timeval."""
    time = kernel.target.view(kernel.address(oid), "struct timeval")
    return kernel.spelled(int(time["tv_sec"]), INT)


PLAIN: Mapping[str, Answer] = {
    "sysctl_handle_bool": boolean,
    "sysctl_handle_8": partial(plain, size=1),
    "sysctl_handle_16": partial(plain, size=2),
    "sysctl_handle_32": partial(plain, size=INT),
    "sysctl_handle_int": partial(plain, size=INT),
    "sysctl_handle_long": partial(plain, size=0),
    "sysctl_handle_64": partial(plain, size=QUAD),
    "sysctl_handle_quad": partial(plain, size=QUAD),  # until 10
    "sysctl_handle_string": string,
    "sysctl_handle_opaque": opaque,
    "sysctl_handle_counter_u64": counter,
    "sysctl_handle_counter_u64_array": counters,
    "sysctl_dpcpu_int": partial(every_cpu, size=INT),
    "sysctl_dpcpu_long": partial(every_cpu, size=0),
    "sysctl_dpcpu_quad": partial(every_cpu, size=QUAD),
    "sysctl_msec_to_ticks": milliseconds,
    "sysctl_msec_to_sbintime": partial(of_sbintime, second=1000),
    "sysctl_usec_to_sbintime": partial(of_sbintime, second=1000000),
    "sysctl_sec_to_timeval": seconds,
    "sysctl_handle_vmstat": counter,
}

STATISTICS: Mapping[str, Answer] = {
    f"{one.array}_sysctl": partial(statistics, array=one.array, struct=one.struct)
    for one in COUNTERS
}

GENERIC: Mapping[str, Answer] = {**PLAIN, **STATISTICS}
"""By symbol."""
