"""kvm_getpcpu(3): what does each CPU keep for itself?  FreeBSD's do, running and dead.

1. Where things lie is PerCpu's to know (objects/freebsd/percpu.py), from the kernel's own types.
   libkvm takes the sizes of the machine it was compiled for.
2. mp_maxcpus is how many CPUs a kernel could have (MAXCPU), mp_maxid the highest number there is,
   and mp_ncpus only counts them: numbers may have gaps.  In a Linux's dump nr_cpu_ids is how many
   there could be.
3. Nothing is kept from one handle for another, nor from one call for the next of a running kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kvm_exporter.kvm.errors import KvmError, TypeMissing, Unsupported
from kvm_exporter.kvm.libkvm.descriptor import Descriptor
from kvm_exporter.kvm.libkvm.memory import kvm_read
from kvm_exporter.kvm.live.kldsym import KldSymbols
from kvm_exporter.kvm.objects.freebsd.dead import FreeBSDDead
from kvm_exporter.kvm.objects.freebsd.percpu import PerCpu
from kvm_exporter.kvm.objects.freebsd.system import FreeBSDLive
from kvm_exporter.kvm.symbols.joined import DeadSymbols

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
page so that additions do not change it: for kernels of which the types are not known."""

MOST_CPUS = 65536
"""More than any kernel has: the bound of what is believed of mp_maxcpus."""


def kvm_getmaxcpu(kd: Descriptor | None) -> int:
    """How many CPUs this kernel could have (MAXCPU); -1 on failure.

    None, which clears libkvm's cache, gives 0: there is none here.
    """
    if kd is None:
        return 0
    if kd.kvm.live:
        _needs_freebsd(kd, "kvm_getmaxcpu")
    with kd.reporting("kvm_getmaxcpu"):
        freebsd = kd.kvm.system.name == "freebsd"
        return _counts(kd)[0] if freebsd else _number(kd, "nr_cpu_ids")
    return -1


def kvm_getncpus(kd: Descriptor) -> int:
    """How many CPUs there are; -1 on failure."""
    with kd.reporting("kvm_getncpus"):
        if kd.kvm.system.name != "freebsd":
            return len(kd.kvm.cpu_times_per_cpu())
        return _counts(kd)[1]
    return -1


def kvm_getpcpu(kd: Descriptor | None, cpu: int) -> bytes | int | None:
    """The struct pcpu of a CPU; None for an absent one, -1 on failure.

    None as ``kd``, which clears libkvm's cache, gives None: there is none here.
    """
    if kd is None:
        return None
    _needs_freebsd(kd, "kvm_getpcpu")
    with kd.reporting("kvm_getpcpu"):
        _counts(kd)
        cpus = _cpus(kd)
        with _failing_as("cannot read cpuid_to_pcpu array"):
            addresses = cpus.addresses
        if cpu not in addresses:
            return None
        size = _size(kd, cpus)
        with _failing_as("unable to read per-CPU data"):
            return kd.kvm.target.read(addresses[cpu], size)
    return -1


def kvm_dpcpu_setcpu(kd: Descriptor, cpu: int) -> int:
    """Choose the CPU whose copy a per-CPU name means to kvm_nlist; 0, -1 on failure."""
    _needs_freebsd(kd, "kvm_dpcpu_setcpu")
    symbols = kd.kvm.symbols
    with kd.reporting("kvm_dpcpu_setcpu"):
        if not isinstance(symbols, KldSymbols | DeadSymbols):
            raise KvmError("kvm_dpcpu_setcpu: init failed")
        with _failing_as("kvm_dpcpu_setcpu: init failed"):
            array, _, _ = _found(kd, "dpcpu_off", "__start_set_pcpu", "__stop_set_pcpu")
            count = _number(kd, "mp_maxcpus")
        if not 0 <= cpu < count:
            kd.fail(f"_kvm_dpcpu_setcpu: CPU {cpu % 2**32} too big")
        elif not _dpcpu_offset(kd, array, cpu):
            kd.fail(f"_kvm_dpcpu_setcpu: CPU {cpu} not found")
        else:
            symbols.cpu = cpu
            return 0
    return -1


def kvm_read_zpcpu(
    kd: Descriptor, base: int, buf: bytearray | memoryview, size: int, cpu: int
) -> int:
    """Read a CPU's copy of the per-CPU allocation ``base`` into ``buf``; as kvm_read.

    -1 for a CPU that is absent, where libkvm reads what lies there by chance.
    """
    _needs_freebsd(kd, "kvm_read_zpcpu")
    with kd.reporting("kvm_read_zpcpu"):
        return kvm_read(kd, _cpus(kd).copy(base, cpu), buf, size)
    return -1


def kvm_counter_u64_fetch(kd: Descriptor, base: int) -> int:
    """The sum of a counter(9) over the CPUs that are there, modulo 2^64; 0 on failure as well."""
    _needs_freebsd(kd, "kvm_counter_u64_fetch")
    with kd.reporting("kvm_counter_u64_fetch"):
        return _cpus(kd).counter(base)
    return 0


def _needs_freebsd(kd: Descriptor, function: str) -> None:
    if kd.kvm.system.name != "freebsd":
        raise Unsupported(f"{function}: only FreeBSD's per-CPU data can be read")


def _cpus(kd: Descriptor) -> PerCpu:
    """The kernel's CPUs: a running one's may come and go, a dead one's do not."""
    system = kd.kvm.system
    if isinstance(system, FreeBSDDead):
        return system.cpus
    return PerCpu(kd.kvm.target, system.page_size)


def _counts(kd: Descriptor) -> tuple[int, int]:
    """Possible and present CPUs.  Without cpuid_to_pcpu there are none, as libkvm has it."""
    _found(kd, "cpuid_to_pcpu", "mp_maxcpus", "mp_ncpus")
    return _number(kd, "mp_maxcpus"), _number(kd, "mp_ncpus")


def _size(kd: Descriptor, cpus: PerCpu) -> int:
    """Bytes of a struct pcpu."""
    try:
        return cpus.size
    except TypeMissing:
        system = kd.kvm.system
        if isinstance(system, FreeBSDDead | FreeBSDLive) and system.machine in PCPU_SIZES:
            return PCPU_SIZES[system.machine]
        raise


def _dpcpu_offset(kd: Descriptor, array: int, cpu: int) -> int:
    target = kd.kvm.target
    with _failing_as("kvm_dpcpu_setcpu: init failed"):
        return target.pointer(array + target.abi.pointer_size * cpu)


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
    with _failing_as(f"cannot read {name}"):
        number = kd.kvm.target.integer(address, 4, signed=True)
    if not 0 <= number <= MOST_CPUS:
        raise KvmError(f"{name} cannot be {number}")
    return number


@contextmanager
def _failing_as(text: str) -> Iterator[None]:
    """A block whose KvmError says no more than libkvm's ``text``."""
    try:
        yield
    except KvmError as e:
        raise KvmError(text) from e
