"""What would each collector get on this machine?  The report of ``kvm_exporter check``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import chain

from kvm_exporter.collectors.symbols.account import MISSING
from kvm_exporter.config import Config
from kvm_exporter.kvm import Kvm
from kvm_exporter.self_metrics import SelfMetrics, State
from kvm_exporter.snapshot import Collection, Snapshot

KERNEL_MEMORY = {"linux": "/proc/kcore", "freebsd": "/dev/kmem"}
MEMORY_ADVICE = {
    "linux": "root with CAP_SYS_RAWIO may read it, where the kernel has it",
    "freebsd": "root and members of the group kmem may read it (pw groupmod kmem -m USER)",
}
REFUSED_ADVICE = {
    "linux": "other users' processes tell all of it only to root, and to CAP_SYS_PTRACE together"
    " with CAP_DAC_READ_SEARCH (systemd: both in AmbientCapabilities=)",
    "freebsd": "other users' processes tell all of it only to root; whether they are seen at all"
    " is up to security.bsd.see_other_uids and see_other_gids",
}
REFUSALS = frozenset({"EACCES", "EPERM"})


def trial(
    config: Config, open_kvm: Callable[[], Kvm], system: str = sys.platform, *, live: bool = True
) -> tuple[bool, tuple[str, ...]]:
    """Run every collector once: whether all went well, and the report's lines.

    ``live``: it is this machine's kernel, so whether its memory may be read is told as well.
    """
    collection = Collection(config, open_kvm, SelfMetrics())
    snapshot = collection.collect()
    sizes = {
        part.collector: sum(len(family.samples) for family in part.families)
        for part in snapshot.parts
    }
    lines = [
        *(_collector(state, sizes[state.name]) for state in collection.states),
        *_missing(snapshot),
        *_refused(collection.refusals(), system.rstrip("0123456789")),
        *(_memory(system.rstrip("0123456789")) if live else ()),
    ]
    collection.close()
    return all(state.success for state in collection.states), tuple(lines)


def _collector(state: State, series: int) -> str:
    if not state.success:
        return f"collector {state.name}: FAILED: {state.error}"
    return f"collector {state.name}: ok, {series} series in {(state.duration_seconds or 0):.3f} s"


def _refused(refusals: Mapping[tuple[str, str], int], system: str) -> Iterator[str]:
    """Each refused source, and once how to be allowed to read it."""
    for (source, errno), count in sorted(refusals.items()):
        yield f"not read: {source}: {errno} ({count} times); its fields or series are absent"
    if any(errno in REFUSALS for _, errno in refusals) and system in REFUSED_ADVICE:
        yield f"hint: {REFUSED_ADVICE[system]}"


def _missing(snapshot: Snapshot) -> Iterator[str]:
    """Each number that was asked for by a symbol, and cannot be had."""
    families = chain.from_iterable(part.families for part in snapshot.parts)
    for family in families:
        if family.metric is MISSING:
            for (module, metric, reason), _ in family.samples:
                yield f"missing: module {module}: {metric}: {reason}"


def _memory(system: str) -> Iterator[str]:
    """Whether kernel memory can be read."""
    device = KERNEL_MEMORY.get(system)
    if device is None:
        return
    if os.access(device, os.R_OK):
        yield f"kernel memory: {device} can be read; only the collector symbols needs it"
    else:
        yield (
            f"kernel memory: {device} cannot be read; only the collector symbols needs it"
            f" ({MEMORY_ADVICE[system]})"
        )
