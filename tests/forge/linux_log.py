"""How does a Linux kernel write its log?  Both kinds of buffer, with what is odd about each.

Written from kernel/printk/printk_ringbuffer.c (data_alloc(), get_next_lpos()) and, until 5.9,
log_store() in kernel/printk/printk.c.  Both are rings that have gone round.
"""

from __future__ import annotations

from collections.abc import Sequence

from forge.world import Thing, World

RESERVED, COMMITTED, FINALIZED, REUSABLE = 0, 1, 2, 3
NO_LPOS, FAILED_LPOS = 3, 1

COUNT_BITS, SIZE_BITS = 3, 7
FIRST_ID = 13
"""The oldest record's: ids of the ring's eight descriptors start over at 16."""

Message = tuple[int, bytes]


def modern(world: World, messages: Sequence[Message]) -> None:
    """A struct printk_ringbuffer with these records, and some that are none.

    The second text goes over the end of the ring.  After the last comes a record that was never
    finished, and one of which the text had no room.
    """
    ring = world.new("struct printk_ringbuffer")
    world.define("prb", "pointer", ring)
    count = 1 << COUNT_BITS
    descriptors = world.array("struct prb_desc", count)
    infos = world.array("struct printk_info", count)
    text = world.bytes(bytes(b"?" * (1 << SIZE_BITS)))
    ring.put("desc_ring.count_bits", COUNT_BITS)
    ring.put("desc_ring.descs", descriptors[0])
    ring.put("desc_ring.infos", infos[0])
    ring.put("text_data_ring.size_bits", SIZE_BITS)
    ring.put("text_data_ring.data", text)
    position = 5 * (1 << SIZE_BITS) - 40
    rows = [(FINALIZED, stamp, line) for stamp, line in messages]
    rows[-1] = (COMMITTED, *messages[-1])
    rows += [(RESERVED, 1, b"half"), (FINALIZED, 2, None)]
    for number, (state, stamp, line) in enumerate(rows, FIRST_ID):
        at = number % count
        begin, after = _place(world, text, position, number, line)
        position = after if line else position
        _describe(world, descriptors[at], number, state, (begin, after))
        infos[at].set(ts_nsec=stamp, text_len=len(line or b""), seq=number)
    ring.put("desc_ring.tail_id.counter", FIRST_ID)
    ring.put("desc_ring.head_id.counter", FIRST_ID + len(rows) - 1)
    stale = descriptors[(FIRST_ID - 1) % count]
    _describe(world, stale, FIRST_ID - 1, REUSABLE, (8, 16))


def _describe(
    world: World, descriptor: Thing, number: int, state: int, block: tuple[int, int]
) -> None:
    bits = 8 * world.abi.pointer
    descriptor.put("state_var.counter", state << bits - 2 | number)
    descriptor.put("text_blk_lpos.begin", block[0])
    descriptor.put("text_blk_lpos.next", block[1])


def _place(world: World, text: int, begin: int, number: int, line: bytes | None) -> tuple[int, int]:
    """Write a text; the positions of its block."""
    if not line:
        nowhere = FAILED_LPOS if line is None else NO_LPOS
        return nowhere, nowhere
    size, long = 1 << SIZE_BITS, world.abi.pointer
    needed = -(-(long + len(line)) // long) * long
    after = begin + needed
    at = begin % size
    if begin // size != after // size:
        # the block's id stays where it would have begun, what counts is at the ring's beginning
        world.write(text + at, world.number(number, long))
        after, at = after // size * size + needed, 0
    world.write(text + at, world.number(number, long) + line)
    return begin, after


def old(world: World, messages: Sequence[Message]) -> None:
    """log_buf with these records, the last two of them at the ring's beginning."""
    size = 256
    head = world.c.size("struct printk_log")
    buffer = bytearray(b"?" * size)
    at = first = size - 2 * head - 24
    for number, (stamp, line) in enumerate(messages):
        whole = -(-(head + len(line) + 2) // 8) * 8
        if number == 1:
            buffer[at : at + head] = bytes(head)
            at = 0
        record = world.c.pack(
            "struct printk_log",
            {"ts_nsec": stamp, "len": whole, "text_len": len(line), "dict_len": 2},
        )
        buffer[at : at + whole] = (record + line + b"d=").ljust(whole, b"\0")
        at += whole
    world.define("log_buf", "pointer", world.bytes(bytes(buffer)))
    world.define("log_buf_len", "u_int", size)
    world.define("log_first_idx", "u_int", first)
    world.define("log_next_idx", "u_int", at)
