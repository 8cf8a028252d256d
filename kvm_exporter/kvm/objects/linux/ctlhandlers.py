"""What would a handler of a dead Linux's sysctl have shown?  Numbers, by the handler's symbol.

1. A handler shows the array of numbers at the entry's data, as many as fill its size
   (proc_dointvec() and its kin, kernel/sysctl.c).  Many do just that, and something else when one
   is written: they are in the same tables.
2. Times are kept in jiffies; tick_nsec has the nanoseconds of one (kernel/time/ntp.c).
3. Of other handlers nothing is known, and their settings have no value.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.objects.linux.ctltables import Entry
from kvm_exporter.kvm.objects.linux.sysctlnames import shown
from kvm_exporter.kvm.objects.linux.ticks import USER_HZ
from kvm_exporter.kvm.objects.sysctls import Value
from kvm_exporter.kvm.target import Target

MOST = 1 << 12
"""Bytes of an array."""


class Numbers(NamedTuple):
    """An array: the struct module's ``code`` (``L``: as wide as a long), shown in units of which
    a second has ``second``, where it is kept in jiffies."""

    code: str
    second: int = 0


INTS = (
    *("addrconf_sysctl_disable", "addrconf_sysctl_disable_policy", "addrconf_sysctl_forward"),
    *("addrconf_sysctl_ignore_routes_with_linkdown", "addrconf_sysctl_proxy_ndp"),
    *("apparmor_dointvec", "bpf_unpriv_handler", "compaction_proactiveness_sysctl_handler"),
    *("devinet_conf_proc", "devinet_sysctl_forward", "dirty_background_ratio_handler"),
    *("dirty_ratio_handler", "dirty_writeback_centisecs_handler", "dirtytime_interval_handler"),
    *("ftrace_enable_sysctl", "ipv4_doint_and_flush", "ipv4_fwd_update_priority"),
    *("lowmem_reserve_ratio_sysctl_handler", "min_free_kbytes_sysctl_handler"),
    *("neigh_proc_dointvec_zero_intmax", "overcommit_policy_handler", "overcommit_ratio_handler"),
    *("percpu_pagelist_high_fraction_sysctl_handler", "perf_cpu_time_max_percent_handler"),
    *("perf_event_max_sample_rate_handler", "perf_event_max_stack_handler", "proc_do_rointvec"),
    *("proc_dointvec", "proc_dointvec_minmax", "proc_dointvec_minmax_bpf_enable"),
    *("proc_dointvec_minmax_bpf_restricted", "proc_dointvec_minmax_coredump"),
    *("proc_dointvec_minmax_sysadmin", "proc_dointvec_minmax_warn_RT_change"),
    *("sched_rt_handler", "stack_trace_sysctl", "sysctl_compaction_handler"),
    *("sysctl_min_slab_ratio_sysctl_handler", "sysctl_min_unmapped_ratio_sysctl_handler"),
    *("sysctl_vm_numa_stat_handler", "timer_migration_handler", "tracepoint_printk_sysctl"),
    *("watermark_scale_factor_sysctl_handler", "yama_dointvec_minmax"),
)
LONGS = (
    *("dirty_background_bytes_handler", "dirty_bytes_handler", "mmap_min_addr_handler"),
    *("overcommit_kbytes_handler", "proc_dohung_task_timeout_secs", "proc_doulongvec_minmax"),
)
HANDLERS: Mapping[str, Numbers] = {
    **dict.fromkeys(INTS, Numbers("i")),
    **dict.fromkeys(LONGS, Numbers("L")),
    **dict.fromkeys(("proc_douintvec", "proc_douintvec_minmax"), Numbers("I")),
    "proc_dopipe_max_size": Numbers("I"),
    "proc_dou8vec_minmax": Numbers("B"),
    "proc_dobool": Numbers("?"),
    **dict.fromkeys(("proc_dointvec_jiffies", "neigh_proc_dointvec_jiffies"), Numbers("i", 1)),
    "proc_dointvec_userhz_jiffies": Numbers("i", USER_HZ),
    "neigh_proc_dointvec_userhz_jiffies": Numbers("i", USER_HZ),
    "proc_dointvec_ms_jiffies": Numbers("i", 1000),
    "proc_dointvec_ms_jiffies_minmax": Numbers("i", 1000),
    "neigh_proc_dointvec_ms_jiffies": Numbers("i", 1000),
    "neigh_proc_dointvec_ms_jiffies_positive": Numbers("i", 1000),
    "proc_doulongvec_ms_jiffies_minmax": Numbers("L", 1000),
}
"""By symbol, as a handler shows its numbers."""

TEXT = "proc_dostring"


class Handlers:
    """The handlers of the kernel in ``target``."""

    def __init__(self, target: Target) -> None:
        self._target = target
        found = target.symbols.lookup(tuple(HANDLERS))
        rows = zip(found, HANDLERS.values(), strict=True)
        self._numbers = {symbol.value: numbers for symbol, numbers in rows if symbol}
        (text,) = target.symbols.lookup((TEXT,))
        self._text = text.value if text else None

    def knows(self, entry: Entry) -> bool:
        """Whether the handler is in a table."""
        return entry.handler in self._numbers or entry.handler == self._text

    def value(self, entry: Entry) -> Value | None:
        """What it would have shown; None for nothing.

        Errors: KvmError where its memory is not there.
        """
        size = min(entry.size, MOST)
        if not entry.data or size <= 0:
            return None
        if entry.handler == self._text:
            return shown(self._target.memory.read(entry.data, size).partition(b"\0")[0])
        found = self._array(self._numbers[entry.handler], entry.data, size)
        return found[0] if len(found) == 1 else found or None

    def _array(self, numbers: Numbers, data: int, size: int) -> tuple[int, ...]:
        code = self._target.abi.pointer if numbers.code == "L" else numbers.code
        if code == "?":  # a bool, of which some tables say the size of an int
            return (int(any(self._target.read(data, 1))),)
        count = size // struct.calcsize("<" + code)
        raw = self._target.read(data, count * struct.calcsize("<" + code))
        found = struct.unpack(f"{self._target.abi.order}{count}{code}", raw)
        if not numbers.second:
            return found
        return tuple(self._of_jiffies(one, numbers.second) for one in found)

    def _of_jiffies(self, jiffies: int, second: int) -> int:
        time = abs(jiffies) * second // self._hertz
        return -time if jiffies < 0 else time

    @cached_property
    def _hertz(self) -> int:
        """Jiffies in a second (CONFIG_HZ)."""
        target = self._target
        nanoseconds = target.integer(target.address("tick_nsec"), target.abi.pointer_size)
        if not 10_000 <= nanoseconds <= 100_000_000:
            raise FormatError(f"tick_nsec: a jiffy of {nanoseconds} nanoseconds")
        return round(1e9 / nanoseconds)
