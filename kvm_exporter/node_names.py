"""What does node_exporter call the same thing?  For dashboards made for it.

The names are those of node_exporter 1.12's collectors on FreeBSD (loadavg, meminfo,
cpu, exec, boottime); it is our values that carry them, so they are there on Linux too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kvm_exporter.metric import Family, Metric


class Alias(NamedTuple):
    """Our name, and the metric that node_exporter has for it."""

    ours: str
    metric: Metric


ALIASES = (
    Alias("kvm_load1", Metric("node_load1", "gauge", "1m load average, by kvm(3).")),
    Alias("kvm_load5", Metric("node_load5", "gauge", "5m load average, by kvm(3).")),
    Alias("kvm_load15", Metric("node_load15", "gauge", "15m load average, by kvm(3).")),
    Alias(
        "kvm_swap_total_size_bytes",
        Metric("node_memory_swap_size_bytes", "gauge", "Total swap, by kvm(3).", (), "bytes"),
    ),
    Alias(
        "kvm_swap_total_used_bytes",
        Metric("node_memory_swap_used_bytes", "gauge", "Used swap, by kvm(3).", (), "bytes"),
    ),
    Alias(
        "kvm_swap_in_bytes_total",
        Metric("node_memory_swap_in_bytes_total", "counter", "Swapped in, by kvm(3).", (), "bytes"),
    ),
    Alias(
        "kvm_swap_out_bytes_total",
        Metric(
            "node_memory_swap_out_bytes_total", "counter", "Swapped out, by kvm(3).", (), "bytes"
        ),
    ),
    Alias(
        "kvm_cpu_seconds_total",
        Metric(
            "node_cpu_seconds_total",
            "counter",
            "Seconds the CPU spent in each mode, by kvm(3).",
            ("cpu", "mode"),
            "seconds",
        ),
    ),
    Alias(
        "kvm_cpu_guest_seconds_total",
        Metric(
            "node_cpu_guest_seconds_total",
            "counter",
            "Seconds the CPU ran guests in each mode, by kvm(3).",
            ("cpu", "mode"),
            "seconds",
        ),
    ),
    Alias(
        "kvm_context_switches_total",
        Metric(
            "node_exec_context_switches_total",
            "counter",
            "Context switches since system boot, by kvm(3).",
        ),
    ),
    Alias(
        "kvm_interrupts_total",
        Metric(
            "node_exec_device_interrupts_total",
            "counter",
            "Device interrupts since system boot, by kvm(3).",
        ),
    ),
    Alias(
        "kvm_soft_interrupts_total",
        Metric(
            "node_exec_software_interrupts_total",
            "counter",
            "Software interrupts since system boot, by kvm(3).",
        ),
    ),
    Alias(
        "kvm_traps_total",
        Metric("node_exec_traps_total", "counter", "Traps since system boot, by kvm(3)."),
    ),
    Alias(
        "kvm_system_calls_total",
        Metric(
            "node_exec_system_calls_total", "counter", "System calls since system boot, by kvm(3)."
        ),
    ),
    Alias(
        "kvm_forks_total",
        Metric(
            "node_exec_forks_total",
            "counter",
            "Number of fork() calls since system boot, by kvm(3).",
        ),
    ),
    Alias(
        "kvm_boot_time_seconds",
        Metric(
            "node_boot_time_seconds",
            "gauge",
            "Unix time of last boot, including microseconds, by kvm(3).",
            (),
            "seconds",
        ),
    ),
)

_BY_OURS = {alias.ours: alias.metric for alias in ALIASES}


def with_node_names(families: Iterable[Family]) -> tuple[Family, ...]:
    """The families, and after them the same under node_exporter's names where it has one."""
    ours = tuple(families)
    theirs = (
        Family(metric, family.samples)
        for family in ours
        if (metric := _BY_OURS.get(family.metric.name))
    )
    return (*ours, *theirs)
