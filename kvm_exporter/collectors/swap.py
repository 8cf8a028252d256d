"""How much swap is there, how full is each device, and how much moves?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from kvm_exporter.collectors import Collector, NoOptions
from kvm_exporter.kvm import AccessDenied, Kvm, Unsupported
from kvm_exporter.metric import Family, Metric

SIZE = Metric(
    "kvm_swap_size_bytes", "gauge", "Size of a swap device, by kvm(3).", ("device",), "bytes"
)
USED = Metric(
    "kvm_swap_used_bytes", "gauge", "Swap in use on a device, by kvm(3).", ("device",), "bytes"
)
TOTAL_SIZE = Metric(
    "kvm_swap_total_size_bytes",
    "gauge",
    "Size of all swap devices together, 0 where there is none, by kvm(3).",
    unit="bytes",
)
TOTAL_USED = Metric(
    "kvm_swap_total_used_bytes",
    "gauge",
    "Swap in use on all devices together, by kvm(3).",
    unit="bytes",
)
IN = Metric(
    "kvm_swap_in_bytes_total", "counter", "Bytes read from swap since boot, by kvm(3).", (), "bytes"
)
OUT = Metric(
    "kvm_swap_out_bytes_total",
    "counter",
    "Bytes written to swap since boot, by kvm(3).",
    (),
    "bytes",
)
IN_OPERATIONS = Metric(
    "kvm_swap_in_operations_total",
    "counter",
    "Reads from swap since boot, of one or more pages each, by kvm(3).",
)
OUT_OPERATIONS = Metric(
    "kvm_swap_out_operations_total",
    "counter",
    "Writes to swap since boot, of one or more pages each, by kvm(3).",
)


def collect(kvm: Kvm) -> Iterable[Family]:
    """Devices, their totals and the traffic; a kernel without swap has totals of 0."""
    yield from _of_devices(kvm)
    activity = kvm.swap_activity()
    yield IN.single(activity.in_bytes)
    yield OUT.single(activity.out_bytes)
    yield IN_OPERATIONS.single(activity.in_operations)
    yield OUT_OPERATIONS.single(activity.out_operations)


def _of_devices(kvm: Kvm) -> Iterable[Family]:
    try:
        devices = kvm.swap_devices()
    except (AccessDenied, Unsupported):  # counted in the handle's tally
        return
    # devices of one name are one series: FreeBSD names all swap over the network the same
    sizes, used = Counter[tuple[str]](), Counter[tuple[str]]()
    for device in devices:
        sizes[device.name,] += device.size_bytes
        used[device.name,] += device.used_bytes
    yield SIZE.family(sizes.items())
    yield USED.family(used.items())
    yield TOTAL_SIZE.single(sum(device.size_bytes for device in devices))
    yield TOTAL_USED.single(sum(device.used_bytes for device in devices))


COLLECTOR = Collector(
    start=lambda _options: collect,
    options=NoOptions,
    metrics=(SIZE, USED, TOTAL_SIZE, TOTAL_USED, IN, OUT, IN_OPERATIONS, OUT_OPERATIONS),
    help="swap devices and traffic",
)
