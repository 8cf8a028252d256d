"""What went through a dead Linux's network device?  Its counters, as dev_get_stats() adds them up.

1. A device's driver tells its counters by a function.  Where that is a known one (netdrivers.py),
   what it reads is read here; of any other nothing is known, and the counters are absent.
2. Where there is no function, it is dev->stats, with counters of each CPU beside it if
   pcpu_stat_type says so (since 6.7, 34d21de99cea).
3. What the kernel itself dropped is added.

Source: net/core/dev.c.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property

from kvm_exporter.kvm.objects.linux.netcounters import DEVICE, FIELDS, NetCounters
from kvm_exporter.kvm.objects.linux.netdrivers import FUNCTIONS, MODULES, STAT_TYPES, Driver
from kvm_exporter.kvm.objects.linux.percpu import PerCpu
from kvm_exporter.kvm.target import Target


class NetStats:
    """Tells the counters of devices of one kernel."""

    def __init__(self, target: Target, cpus: PerCpu) -> None:
        self._target = target
        self._counters = NetCounters(target, cpus)

    def read(self, device: int) -> Mapping[str, int] | None:
        """Interface's counters by field; None where only the driver knows them (rule 1).

        Errors: KvmError.
        """
        driver = self._driver(device)
        if driver is None:
            return None
        counts = Counter(driver(self._counters, device))
        counts.update(self._counters.dropped(device))
        return {field: counts[field] % (1 << 64) for field in FIELDS}

    def _driver(self, device: int) -> Driver | None:
        (operations,) = self._counters.numbers(DEVICE, ("netdev_ops",), device)
        names = ("ndo_get_stats64", "ndo_get_stats")
        functions = self._counters.numbers("struct net_device_ops", names, operations)
        function = next((one for one in functions if one), 0)
        if function:
            return self._usual.get(function) or self._of_modules.get(function)
        if not self._target.has(DEVICE, "pcpu_stat_type"):
            return NetCounters.plain
        kind = int(self._target.view(device, DEVICE)["pcpu_stat_type"])
        return STAT_TYPES.get(kind, NetCounters.plain)

    @cached_property
    def _usual(self) -> Mapping[int, Driver]:
        return self._addresses(FUNCTIONS)

    @cached_property
    def _of_modules(self) -> Mapping[int, Driver]:
        return self._addresses(MODULES)

    def _addresses(self, drivers: Mapping[str, Driver]) -> Mapping[int, Driver]:
        symbols = self._target.symbols.lookup(tuple(drivers))
        found = zip(symbols, drivers.values(), strict=True)
        return {symbol.value: driver for symbol, driver in found if symbol}
