"""What had a dead Linux printed, and what were its last words?

1. The log is told as that of a live kernel is: a line a record, with the seconds since the start.
2. The last words of panic() are ``Kernel panic - not syncing: …`` (kernel/panic.c).  A kernel that
   dumped itself because of an oops (crash_kexec()) did not get there: then the first line that
   tells of the oops is why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from kvm_exporter.kvm.objects.linux.printk import Record, records
from kvm_exporter.kvm.objects.linux.told import Told
from kvm_exporter.kvm.target import Target

PANIC = re.compile(r"Kernel panic - not syncing: (.*)", re.DOTALL)

OOPSES = (
    *("BUG: ", "kernel BUG at ", "Unable to handle kernel ", "Oops", "Internal error: "),
    *("general protection fault", "double fault: ", "divide error: ", "stack segment: "),
    *("invalid opcode: ", "Machine check", "sysrq: Trigger a crash", "SysRq : Trigger a crash"),
)
"""How the first line of an oops begins (arch/*/mm/fault.c, arch/*/kernel/traps.c, lib/bug.c)."""


def from_memory(target: Target, told: Told | None = None) -> str:
    """Lines of ``[    5.140900] text``; undecodable bytes as surrogates.  Errors: KvmError."""
    return "".join(_line(record) for record in records(target, told))


def last_words(found: Iterable[Record]) -> str | None:
    """What the kernel said that it died of; None where it did not."""
    texts = [_text(record) for record in found]
    panics = [match[1].rstrip() for match in map(PANIC.search, texts) if match]
    if panics:
        return panics[0]
    return next((text for text in texts if text.startswith(OOPSES)), None)


def _line(record: Record) -> str:
    seconds, rest = divmod(record.nanoseconds // 1000, 1_000_000)
    return f"[{seconds:5d}.{rest:06d}] {_text(record)}\n"


def _text(record: Record) -> str:
    return record.text.decode("utf-8", "surrogateescape")
