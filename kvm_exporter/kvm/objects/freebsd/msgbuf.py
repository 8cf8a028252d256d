"""What did FreeBSD's kernel print?  The message buffer, as ``dmesg -a`` shows it.

1. In struct msgbuf (sys/sys/msgbuf.h): msg_size bytes from msg_ptr on, a ring that starts out as
   zeros; the next byte goes to msg_wseq modulo its size.
2. A byte that is not zero where the next one goes means that the ring is full: the oldest line is
   cut, and is left out, as sysctl kern.msgbuf does (sys/kern/subr_prf.c).
3. What syslog(3) wrote begins its lines with ``<priority>``, which is no part of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.objects.freebsd.answers import Answers
from kvm_exporter.kvm.target import Target

MAGIC = 0x063062
LARGEST = 1 << 26
"""kern.msgbufsize is 96 KiB by default; nobody has 64 MiB of messages."""

PRIORITY = re.compile(rb"^<[0-9]{1,10}>", re.MULTILINE)

MEMBERS = ("msg_ptr", "msg_magic", "msg_size", "msg_wseq")


def from_live(answers: Answers) -> str:
    """As kern.msgbuf has it.  AccessDenied where only root may read it."""
    remedy = "root may read it, all may with security.bsd.unprivileged_read_msgbuf=1"
    return text(answers.required("kern.msgbuf", remedy))


def from_memory(target: Target, copy: Callable[[], bytes] | None = None) -> str:
    """The ring behind msgbufp; where it is damaged, ``copy``, the dump's own copy of it.

    Errors: FormatError and others where there is neither.
    """
    try:
        return text(_ring(target))
    except KvmError:
        target.tally.add("msgbufp", None)
        if copy is None:
            raise
    return text(copy())


def text(buffer: bytes) -> str:
    """The lines of an unrolled buffer (rule 3); undecodable bytes as surrogates."""
    plain = PRIORITY.sub(b"", buffer.replace(b"\0", b""))
    return plain.decode("utf-8", "surrogateescape")


def _ring(target: Target) -> bytes:
    """The buffer from its oldest whole line on (rules 1 and 2)."""
    record = target.record("struct msgbuf", MEMBERS)
    start, magic, size, written = record.at(target.pointer(target.address("msgbufp")))
    if magic != MAGIC or not 0 < size <= LARGEST:
        raise FormatError(f"struct msgbuf: magic {magic:#x}, {size} bytes; it is damaged")
    data = target.read(start, size)
    at = written % size
    ring = data[at:] + data[:at]
    return ring.partition(b"\n")[2] if ring[0] else ring
