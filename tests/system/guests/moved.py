"""What may have changed between the truth and the dump, and why?

The truth is told by programs, which run; so do a few kernel threads (RCU, memory compaction, the
workers that print the console).  Whatever ran since its truth was told has counted more, and may
be found in another state.  Everything else has to be exactly as told.
"""

from __future__ import annotations

from collections.abc import Mapping

from kvm_exporter.kvm.objects.model import Process

TELLER = 1  # init, which waits for the console when it has told all
# What only rises when a task runs; the rest of what running changes.
RISING = (
    "minor_faults", "major_faults", "user_seconds", "system_seconds", "children_user_seconds",
    "children_system_seconds", "voluntary_switches", "involuntary_switches", "max_resident_bytes",
    "read_bytes", "write_bytes",
)  # fmt: skip
CHANGING = ("state", "last_cpu", "flags", "wait_channel", "resident_bytes", "open_files")
SWITCHES = ("voluntary_switches", "involuntary_switches")
START_ERROR = 0.001  # seconds; the reader has the clock's own fractions


def differences(seen: Process, told: Mapping[str, object]) -> dict[str, tuple[object, object]]:
    """The fields that are neither as told nor as they may have become: (seen, told)."""
    odd = {}
    ran = has_run(seen, told)
    for field, value in told.items():
        now = getattr(seen, field)
        same = now == value or (field == "start_seconds" and abs(now - value) < START_ERROR)
        if not (same or (ran and may_be(field, now, value))):
            odd[field] = now, value
    return odd


def has_run(seen: Process, told: Mapping[str, object]) -> bool:
    """Whether a task ran since: it switched, or it is one that must have."""
    if seen.pid == TELLER or is_worker(str(told.get("comm"))):
        return True
    return any(getattr(seen, field) != told[field] for field in SWITCHES)


def is_worker(name: str) -> bool:
    """Whether it is of a work queue: these come, go, and are called after what they did last."""
    return name.startswith("kworker/")


def may_be(field: str, now: object, value: object) -> bool:
    """Whether a field of a task that ran may have become `now`."""
    if field == "comm" and is_worker(str(value)):
        return str(now).partition("-")[0] == str(value).partition("-")[0]
    return field in CHANGING or (field in RISING and (now or 0) >= (value or 0))
