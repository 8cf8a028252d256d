"""What is known of one process?  ``inspect process PID``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from kvm_exporter.inspection.report import Facts, Report, Value
from kvm_exporter.kvm import Kvm, KvmError, ProcOp
from kvm_exporter.kvm.objects.model import Process

ADDRESSES = frozenset({"address", "wait_address"})

STRINGS: tuple[tuple[str, Callable[[Kvm, int], Value]], ...] = (
    ("executable", Kvm.executable),
    ("arguments", Kvm.arguments),
    ("environment", Kvm.environment),
)
"""What takes reading the process's own memory, or its files."""


def process(kvm: Kvm, pid: int) -> Report:
    """Every field that the kernel tells of it, its arguments and its environment.

    Errors: KvmError where there is no such process.
    """
    found = next(kvm.processes(None, ProcOp.PID, pid), None)
    if found is None:
        raise KvmError(f"there is no process {pid}; inspect ps lists those there are")
    facts = list(_fields(found))
    problems = []
    for name, read in STRINGS:
        try:
            facts.append((name, read(kvm, pid)))
        except KvmError as error:
            problems.append(f"not known: {name}: {error}")
    return Facts(facts, problems)


def _fields(process: Process) -> Iterator[tuple[str, Value]]:
    """Those that are known, in the model's order; those made of several come one by one."""
    for name, value in process._asdict().items():
        if value is None:
            continue
        if name == "namespaces":
            for kind, number in value._asdict().items():
                yield f"namespace {kind}", number
        elif name == "start_seconds":
            yield "started", str(datetime.fromtimestamp(value, UTC))
        elif name in ADDRESSES:
            yield name.replace("_", " "), f"{value:#x}"
        else:
            yield name.replace("_", " "), _shown(value)


def _shown(value: object) -> Value:
    if isinstance(value, tuple):
        return tuple(map(str, value))
    return value if isinstance(value, str | int | float) else str(value)
