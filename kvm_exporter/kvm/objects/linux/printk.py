"""Where does a dead Linux keep its log, and what are its records?  Both kinds of buffer.

1. Since 5.10 (896fbe20b4e2) prb points at a struct printk_ringbuffer: a ring of descriptors, of
   infos beside them, and one of text.  Records have ids, from tail_id to head_id; a descriptor is
   its record's where its state_var has the id, and tells what it is: committed, finalized, or not
   whole (kernel/printk/printk_ringbuffer.h).
2. A text is between two positions that only rise; modulo the ring's size they are where it lies.
   It starts with its descriptor's id; one that would go over the end starts over at the beginning.
   Odd positions mean that there is none.
3. Before, log_buf has records one behind the other, each a struct printk_log with its text, from
   log_first_idx to log_next_idx; one of length 0 means: go on at the beginning (3.5 to 5.9).
4. Where the kernel's types are not known, VMCOREINFO tells these structs' members.

A record that is not whole, or whose memory is not there, is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kvm_exporter.kvm.errors import Fault, FormatError, KvmError, TypeMissing
from kvm_exporter.kvm.memory import PAGE
from kvm_exporter.kvm.objects.linux import variables
from kvm_exporter.kvm.objects.linux.told import Told
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.flatten import composite

LARGEST = 1 << 26
"""Bytes of a log at most: nobody has 64 MiB of messages (CONFIG_LOG_BUF_SHIFT is up to 25)."""

MOST_RECORDS = 1 << 20

LARGEST_TABLE = 1 << 27
"""Bytes of all descriptors or infos; of a log of 32 MiB, infos have 88 MiB."""

COMMITTED, FINALIZED = 1, 2
"""enum desc_state."""

FAILED = 1
"""FAILED_LPOS: there was no room for the text."""


class Record(NamedTuple):
    """``nanoseconds`` since the kernel started."""

    nanoseconds: int
    text: bytes


def records(target: Target, told: Told | None = None) -> Iterator[Record]:
    """The records that there are, the oldest first.  Errors, at the first: KvmError."""
    shapes = Shapes(target, told)
    if variables.has(target, "prb"):
        return _Ring(target, shapes).records()
    return _old(target, shapes)


class Shapes:
    """Where members lie, by types or else by VMCOREINFO (rule 4)."""

    def __init__(self, target: Target, told: Told | None) -> None:
        self._target = target
        self._told = told

    def offset(self, struct: str, path: str) -> int:
        """Bytes from a struct's start.  TypeMissing."""
        try:
            return self._target.offset(f"struct {struct}", path)
        except KvmError:
            at = self._told.offset(f"{struct}.{path}") if self._told else None
            if at is None or not 0 <= at < LARGEST:
                raise
            return at

    def size(self, struct: str) -> int:
        """Bytes of a struct.  TypeMissing, FormatError."""
        try:
            size = composite(self._target.types, f"struct {struct}").size
        except TypeMissing:
            found = self._told.size(struct) if self._told else None
            if found is None:
                raise
            size = found
        if not 0 < size <= PAGE:
            raise FormatError(f"struct {struct} of {size} bytes: damaged type information")
        return size


class Numbers:
    """Integers out of bytes."""

    def __init__(self, target: Target, data: bytes) -> None:
        self.data = data
        self._order = target.abi.byteorder

    def __getitem__(self, place: tuple[int, int]) -> int:
        at, size = place
        return int.from_bytes(self.data[at : at + size], self._order)


class _Ring:
    """A struct printk_ringbuffer (rules 1 and 2)."""

    def __init__(self, target: Target, shapes: Shapes) -> None:
        self._target = target
        self._long = target.abi.pointer_size
        start = target.pointer(target.address("prb"))
        self._read_descriptors(start + shapes.offset("printk_ringbuffer", "desc_ring"), shapes)
        self._read_text(start + shapes.offset("printk_ringbuffer", "text_data_ring"), shapes)
        self._state = shapes.offset("prb_desc", "state_var")
        block = shapes.offset("prb_desc", "text_blk_lpos")
        self._begin = block + shapes.offset("prb_data_blk_lpos", "begin")
        self._next = block + shapes.offset("prb_data_blk_lpos", "next")
        self._length = shapes.offset("printk_info", "text_len")
        self._stamp = shapes.offset("printk_info", "ts_nsec")

    def _read_descriptors(self, ring: int, shapes: Shapes) -> None:
        target, name = self._target, "prb_desc_ring"
        bits = target.integer(ring + shapes.offset(name, "count_bits"), 4)
        if not 0 < bits < MOST_RECORDS.bit_length():
            raise FormatError(f"struct {name}: there cannot be 2^{bits} records")
        self._count = 1 << bits
        self._first = target.pointer(ring + shapes.offset(name, "tail_id"))
        self._last = target.pointer(ring + shapes.offset(name, "head_id"))
        self._descriptor = shapes.size("prb_desc")
        descriptors = target.pointer(ring + shapes.offset(name, "descs"))
        self._descriptors = _with_holes(target, descriptors, self._count * self._descriptor)
        self._info = shapes.size("printk_info")
        infos = target.pointer(ring + shapes.offset(name, "infos"))
        self._infos = _with_holes(target, infos, self._count * self._info)

    def _read_text(self, ring: int, shapes: Shapes) -> None:
        target, name = self._target, "prb_data_ring"
        bits = target.integer(ring + shapes.offset(name, "size_bits"), 4)
        if not 0 < bits < LARGEST.bit_length():
            raise FormatError(f"struct {name}: there cannot be 2^{bits} bytes of text")
        start = target.pointer(ring + shapes.offset(name, "data"))
        self._text = _with_holes(target, start, 1 << bits)

    def records(self) -> Iterator[Record]:
        """Each record that is whole."""
        ids = 1 << 8 * self._long - 2
        count = min((self._last - self._first) % ids + 1, self._count)
        for number in range(count):
            wanted = (self._first + number) % ids
            index = wanted % self._count
            at = index * self._descriptor
            kind, found = divmod(self._descriptors[at + self._state, self._long], ids)
            if found == wanted and kind in (COMMITTED, FINALIZED):
                yield from self._record(at, index * self._info)

    def _record(self, descriptor: int, info: int) -> Iterator[Record]:
        length = self._infos[info + self._length, 2]
        begin = self._descriptors[descriptor + self._begin, self._long]
        after = self._descriptors[descriptor + self._next, self._long]
        text = self._block(begin, after)[:length]
        # a text of zeros was in a hole; one that was not kept is no empty line
        if text.strip(b"\0") or (not length and begin != FAILED):
            yield Record(self._infos[info + self._stamp, 8], text)

    def _block(self, begin: int, after: int) -> bytes:
        """The text between two positions (rule 2)."""
        size = len(self._text.data)
        if begin & 1 or after & 1:
            return b""
        start, end = begin % size, after % size
        if begin // size != (after - 1) // size:
            start = 0
        elif not end:
            end = size
        return self._text.data[start + self._long : end]


def _old(target: Target, shapes: Shapes) -> Iterator[Record]:
    """The records of log_buf (rule 3)."""
    size = variables.unsigned(target, "log_buf_len")
    if not 0 < size <= LARGEST:
        raise FormatError(f"log_buf_len: {size} bytes are no log")
    log = _with_holes(target, variables.unsigned_long(target, "log_buf"), size)
    at, end = (variables.unsigned(target, name) for name in ("log_first_idx", "log_next_idx"))
    names = ("ts_nsec", "len", "text_len")
    stamp, length, text_length = (shapes.offset("printk_log", name) for name in names)
    head = shapes.size("printk_log")
    return _old_records(log, at, end, (stamp, length, text_length, head))


def _old_records(
    log: Numbers, at: int, end: int, places: tuple[int, int, int, int]
) -> Iterator[Record]:
    stamp, length, text_length, head = places
    passed, size = 0, len(log.data)
    while at != end and at <= size - head and passed <= size:
        whole = log[at + length, 2]
        if whole:
            if whole < head:
                return  # a hole: where the next record starts is not known
            text = log.data[at + head : at + head + log[at + text_length, 2]]
            yield Record(log[at + stamp, 8], text)
            at, passed = at + whole, passed + whole
        else:
            at, passed = 0, passed + size - at


def _present(target: Target, start: int, size: int) -> bytes:
    """What is there up to a hole."""
    try:
        return target.memory.read(start & target.abi.address_mask, size)
    except Fault:
        return b""


def _with_holes(target: Target, start: int, size: int) -> Numbers:
    """Memory, with zeros for what is not there; Fault where nothing is, FormatError."""
    if size > LARGEST_TABLE:
        raise FormatError(f"a table of {size} bytes at {start:#x} is none of a log")
    parts: list[bytes] = []
    done, missing = 0, 0
    while done < size:
        part = _present(target, start + done, size - done)
        if not part:
            target.tally.add("printk", None)
            part = bytes(min(PAGE - (start + done) % PAGE, size - done))
            missing += len(part)
        parts.append(part)
        done += len(part)
    if missing == size:
        raise Fault(start, "no page of the log is there")
    return Numbers(target, b"".join(parts))
