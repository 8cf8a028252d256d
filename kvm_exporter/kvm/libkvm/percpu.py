"""kvm_getpcpu(3): what does each CPU keep for itself?  FreeBSD only.

1. cpuid_to_pcpu has an address for each of mp_maxcpus possible CPUs, 0 for an absent one.  CPU
   numbers may have gaps: they end at mp_maxid, and mp_ncpus only counts them.
2. A UMA_ZONE_PCPU allocation, a counter(9) among them, has a copy a CPU, UMA_PCPU_ALLOC_SIZE =
   PAGE_SIZE apart (sys/sys/pcpu.h).  libkvm takes sizeof(struct pcpu), which is a page on some
   architectures only.
3. On amd64 the address of such an allocation is kept as the distance from __pcpu
   (sys/amd64/include/pcpu.h).
4. Nothing is kept between calls: another handle, or a CPU that came, is never confused with it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from kvm_exporter.kvm.errors import KvmError, Unsupported
from kvm_exporter.kvm.libkvm.descriptor import Descriptor
from kvm_exporter.kvm.libkvm.memory import bytes_at, kvm_read
from kvm_exporter.kvm.live.kldsym import KldSymbols
from kvm_exporter.kvm.objects.freebsd.system import FreeBSDLive

PCPU_SIZES = {
    "amd64": 4096,
    "i386": 4096,
    "aarch64": 512,
    "armv7": 512,
    "riscv64": 256,
    "powerpc64": 4096,
    "powerpc64le": 4096,
}
"""sizeof(struct pcpu) by hw.machine_arch, of libc's machine/pcpu.h, which pads it to a factor of a
page so that additions do not change it."""

INT = struct.Struct("@i")
POINTER = struct.Struct("@P")
COUNTER = struct.Struct("@Q")
WORD = 1 << (8 * POINTER.size)

MOST_CPUS = 65536
"""More than any kernel has: the bound of what is believed of mp_maxcpus."""


def kvm_getmaxcpu(kd: Descriptor | None) -> int:
    """How many CPUs this kernel could have (MAXCPU); -1 on failure.

    None, which clears libkvm's cache, gives 0: there is none here.
    """
    if kd is None:
        return 0
    _freebsd(kd, "kvm_getmaxcpu")
    with kd.reporting("kvm_getmaxcpu"):
        return len(_addresses(kd))
    return -1


def kvm_getncpus(kd: Descriptor) -> int:
    """How many CPUs there are; -1 on failure."""
    with kd.reporting("kvm_getncpus"):
        if kd.kvm.system.name != "freebsd":
            return len(kd.kvm.cpu_times_per_cpu())
        return _number(kd, "mp_ncpus")
    return -1


def kvm_getpcpu(kd: Descriptor | None, cpu: int) -> bytes | int | None:
    """The struct pcpu of a CPU; None for an absent one, -1 on failure.

    None as ``kd``, which clears libkvm's cache, gives None: there is none here.
    """
    if kd is None:
        return None
    machine = _freebsd(kd, "kvm_getpcpu")
    with kd.reporting("kvm_getpcpu"):
        addresses = _addresses(kd)
        if not 0 <= cpu < len(addresses) or not addresses[cpu]:
            return None
        size = PCPU_SIZES.get(machine)
        if size is None:
            raise Unsupported(f"kvm_getpcpu: the size of {machine}'s struct pcpu is not known")
        return _exactly(kd, addresses[cpu], size, "unable to read per-CPU data")
    return -1


def kvm_dpcpu_setcpu(kd: Descriptor, cpu: int) -> int:
    """Choose the CPU whose copy a per-CPU name means to kvm_nlist; 0, -1 on failure."""
    _freebsd(kd, "kvm_dpcpu_setcpu")
    symbols = kd.kvm.symbols
    if not isinstance(symbols, KldSymbols):
        raise Unsupported("kvm_dpcpu_setcpu: these symbols know of no CPUs")
    with kd.reporting("kvm_dpcpu_setcpu"):
        offsets = _dpcpu_offsets(kd)
        if not 0 <= cpu < len(offsets):
            kd.fail(f"kvm_dpcpu_setcpu: CPU {cpu} too big")
        elif not offsets[cpu]:
            kd.fail(f"kvm_dpcpu_setcpu: CPU {cpu} not found")
        else:
            symbols.cpu = cpu
            return 0
    return -1


def kvm_read_zpcpu(
    kd: Descriptor, base: int, buf: bytearray | memoryview, size: int, cpu: int
) -> int:
    """Read a CPU's copy of the per-CPU allocation ``base`` into ``buf``; as kvm_read."""
    machine = _freebsd(kd, "kvm_read_zpcpu")
    with kd.reporting("kvm_read_zpcpu"):
        return kvm_read(kd, _copy(kd, base, machine, cpu), buf, size)
    return -1


def kvm_counter_u64_fetch(kd: Descriptor, base: int) -> int:
    """The sum of a counter(9) over all CPUs, modulo 2^64; 0 on failure as well."""
    machine = _freebsd(kd, "kvm_counter_u64_fetch")
    with kd.reporting("kvm_counter_u64_fetch"):
        last = _number(kd, "mp_maxid")
        copies = (
            _exactly(kd, _copy(kd, base, machine, cpu), COUNTER.size, "unable to read counter")
            for cpu, address in enumerate(_addresses(kd)[: last + 1])
            if address
        )
        return sum(int(COUNTER.unpack(copy)[0]) for copy in copies) % 2**64
    return 0


def _freebsd(kd: Descriptor, function: str) -> str:
    """The machine (hw.machine_arch); Unsupported where it is not FreeBSD."""
    system = kd.kvm.system
    if not isinstance(system, FreeBSDLive):
        raise Unsupported(f"{function}: only FreeBSD's per-CPU data can be read yet")
    return system.machine


def _copy(kd: Descriptor, base: int, machine: str, cpu: int) -> int:
    if machine == "amd64":
        (symbol,) = _found(kd, "__pcpu")
        base += _pointers(kd, symbol, 1, "__pcpu")[0]
    return (base + kd.kvm.system.page_size * cpu) % WORD


def _addresses(kd: Descriptor) -> Sequence[int]:
    (array,) = _found(kd, "cpuid_to_pcpu")
    return _pointers(kd, array, _number(kd, "mp_maxcpus"), "cpuid_to_pcpu array")


def _dpcpu_offsets(kd: Descriptor) -> Sequence[int]:
    try:
        array, _, _ = _found(kd, "dpcpu_off", "__start_set_pcpu", "__stop_set_pcpu")
        return _pointers(kd, array, _number(kd, "mp_maxcpus"), "dpcpu_off")
    except Unsupported:
        raise
    except KvmError as e:
        raise KvmError("kvm_dpcpu_setcpu: init failed") from e


def _found(kd: Descriptor, *names: str) -> list[int]:
    """Addresses of variables, of whose names lookup would drop a leading underscore."""
    values = []
    for name, symbol in zip(names, kd.kvm.nlist([f"_{name}" for name in names]), strict=True):
        if symbol is None:
            raise KvmError(f"unable to find {name}")
        values.append(symbol.value)
    return values


def _number(kd: Descriptor, name: str) -> int:
    (address,) = _found(kd, name)
    (number,) = INT.unpack(_exactly(kd, address, INT.size, f"cannot read {name}"))
    if not 0 <= number <= MOST_CPUS:
        raise KvmError(f"{name} cannot be {number}")
    return int(number)


def _pointers(kd: Descriptor, address: int, count: int, name: str) -> list[int]:
    data = _exactly(kd, address, POINTER.size * count, f"cannot read {name}")
    return [pointer for (pointer,) in POINTER.iter_unpack(data)]


def _exactly(kd: Descriptor, address: int, length: int, failure: str) -> bytes:
    try:
        data = bytes_at(kd, address, length)
    except Unsupported:
        raise
    except KvmError as e:
        raise KvmError(failure) from e
    if len(data) != length:
        raise KvmError(failure)
    return data
