"""What did the kernel say of itself?  ``inspect info``, ``msgbuf`` and ``textdump``.

``info`` asks for one thing of every kind that collectors ask for, so what a scrape of this kernel
cannot have is among its problems, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, fields
from datetime import UTC, datetime
from itertools import chain

from kvm_exporter.inspection.report import Facts, Report, Text, Value
from kvm_exporter.kvm import Kvm, KvmError, Unsupported
from kvm_exporter.kvm.dump import Dump, TextDump
from kvm_exporter.kvm.objects.model import Uname

Told = tuple[str, Value]

MIB = 1 << 20
FIELDS = ("comm", "state", "user_seconds", "system_seconds", "resident_bytes", "threads")
"""What the process collector asks for, and more (collectors/process)."""


def info(kvm: Kvm) -> Report:
    """What this kernel and its dump say of themselves, and what could not be had, and why."""
    facts: list[Told] = list(kvm.facts())
    problems = list(_saved(kvm))
    for name, tell in TOLD:
        try:
            facts += tell(kvm)
        except KvmError as error:
            problems.append(f"not known: {name}: {error}")
    return Facts(facts, [*problems, *_refused(kvm)])


def msgbuf(kvm: Kvm) -> Report:
    """The kernel's message buffer, as dmesg(8) shows it."""
    text = kvm.message_buffer()
    return Text(_lines(text), {"text": text})


def textdump(kvm: Kvm) -> Report:
    """The texts that ddb(4) left.  Unsupported of any other kernel."""
    if not isinstance(kvm.dump, TextDump):
        raise Unsupported("this kernel is no textdump(4); inspect msgbuf and ps look into others")
    texts = kvm.dump.texts
    there = {one.name: getattr(texts, one.name) for one in fields(texts)}
    found = {f"{name}.txt": text for name, text in there.items() if text is not None}
    lines = ([f"==> {name} <==", *_lines(text), ""] for name, text in found.items())
    return Text(chain.from_iterable(lines), dict(found))


def _lines(text: str) -> Sequence[str]:
    return text.removesuffix("\n").split("\n")


def _uname(kvm: Kvm) -> Iterator[Told]:
    uname: Uname = kvm.uname()
    yield from zip((f.name for f in fields(uname)), astuple(uname), strict=True)


def _life(kvm: Kvm) -> Iterator[Told]:
    life = kvm.life()
    yield "booted", _day(life.boot_time_seconds)
    if not kvm.live:
        yield "died", _day(life.death_time_seconds)
        yield "uptime seconds", life.uptime_seconds
        yield "panic", life.panic


def _load(kvm: Kvm) -> Iterator[Told]:
    load = kvm.load_average()
    yield "load average", f"{load.one:.2f} {load.five:.2f} {load.fifteen:.2f}"


def _cpus(kvm: Kvm) -> Iterator[Told]:
    times = kvm.cpu_times()
    busy = times.user + times.nice + times.system + (times.interrupt or 0)
    yield "cpus", len(kvm.cpu_times_per_cpu())
    yield "busy since boot", f"{busy:.2f} s, idle {times.idle:.2f} s"


def _memory(kvm: Kvm) -> Iterator[Told]:
    memory = kvm.memory()
    if memory.size_bytes is not None:
        yield "memory MiB", memory.size_bytes // MIB
    for name, size in memory.queues.items():
        yield f"memory {name} MiB", size // MIB


def _swap(kvm: Kvm) -> Iterator[Told]:
    devices = kvm.swap_devices()
    used = sum(one.used_bytes for one in devices)
    yield "swap", f"{used // MIB} of {sum(one.usable_bytes for one in devices) // MIB} MiB used"


def _kernel(kvm: Kvm) -> Iterator[Told]:
    counters = kvm.kernel()
    yield "context switches", counters.context_switches
    yield "open files", counters.open_files


def _processes(kvm: Kvm) -> Iterator[Told]:
    yield "processes", sum(1 for _ in kvm.processes(FIELDS))


def _messages(kvm: Kvm) -> Iterator[Told]:
    yield "message buffer", f"{len(_lines(kvm.message_buffer()))} lines"


def _count(name: str, find: Callable[[Kvm], Sequence[object]]) -> Callable[[Kvm], Iterator[Told]]:
    def count(kvm: Kvm) -> Iterator[Told]:
        yield name, len(find(kvm))

    return count


TOLD: tuple[tuple[str, Callable[[Kvm], Iterator[Told]]], ...] = (
    ("uname", _uname),
    ("life", _life),
    ("load average", _load),
    ("CPU times", _cpus),
    ("memory", _memory),
    ("swap", _swap),
    ("kernel counters", _kernel),
    ("processes", _processes),
    ("jails", _count("jails", Kvm.jails)),
    ("mounts", _count("mounts", Kvm.mounts)),
    ("interfaces", _count("interfaces", Kvm.interfaces)),
    ("message buffer", _messages),
)


def _saved(kvm: Kvm) -> Iterator[str]:
    """Whether the dump came out of its machine whole."""
    if kvm.dump is None:
        return
    unwrapped = kvm.dump.unwrapped
    if unwrapped.header and not unwrapped.header.parity_ok:
        yield "damaged: the dump's header has a wrong parity"
    if unwrapped.info and unwrapped.info.status not in (None, "good"):
        yield f"damaged: savecore(8) calls this dump {unwrapped.info.status!r}"
    if isinstance(kvm.dump, Dump) and (missing := kvm.dump.image.physical.missing):
        yield f"truncated: {missing} bytes of memory are missing behind the end of the file"


def _refused(kvm: Kvm) -> Iterator[str]:
    """One line for each reason."""
    by_reason: dict[str, list[str]] = {}
    for source, why in sorted(kvm.refusals()):
        by_reason.setdefault(why, []).append(source)
    for why, sources in by_reason.items():
        reason = "missing or damaged" if why == "unknown" else why
        yield f"not read: {reason}: {', '.join(sources)}"


def _day(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(" ", "seconds")
    except (OverflowError, ValueError, OSError):  # a damaged dump's
        return f"{seconds:.0f} s of Unix time"
