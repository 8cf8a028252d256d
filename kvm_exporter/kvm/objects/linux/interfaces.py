"""Which network interfaces are there, and what went through them?  /proc/net/dev (proc_net_dev(5)).

Its numbers are rtnl_link_stats64's, of which the column drop is a sum (dev_seq_printf_stats() in
net/core/net-procfs.c).  Index, flags and MTU are not in /proc.
"""

from __future__ import annotations

from kvm_exporter.kvm.live.procfs import Procfs
from kvm_exporter.kvm.objects.linux import reading
from kvm_exporter.kvm.objects.model import Interface
from kvm_exporter.kvm.tally import Tally

SOURCE = "net/dev"

COLUMNS = {
    "rx_bytes": 0,
    "rx_packets": 1,
    "rx_errors": 2,
    "rx_dropped": 3,
    "multicast_received": 7,
    "tx_bytes": 8,
    "tx_packets": 9,
    "tx_errors": 10,
    "tx_dropped": 11,
    "collisions": 13,
}
"""Interface's field → column, of 16."""


def from_live(procfs: Procfs, tally: Tally) -> tuple[Interface, ...]:
    """Those of this process's network namespace.

    Errors: FormatError, AccessDenied, Unsupported.
    """
    data = reading.required(procfs, tally, SOURCE)
    lines = data.split(b"\n")[2:]
    return tuple(_interface(line, procfs.path(SOURCE)) for line in lines if line.strip())


def _interface(line: bytes, path: str) -> Interface:
    # a name may have a colon in it (an alias), the numbers never do
    name, _, rest = line.rpartition(b":")
    found = (reading.number(word) for word in rest.split())
    numbers = [number for number in found if number is not None]
    if not name or len(numbers) != 16:
        raise reading.malformed(path, line)
    counts = {field: numbers[column] for field, column in COLUMNS.items()}
    return Interface(name=name.strip().decode("utf-8", "surrogateescape"), **counts)
