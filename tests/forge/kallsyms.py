"""What does a Linux kernel's link leave of its symbols in .rodata?  The tables of kallsyms.

From scripts/kallsyms.c, whose output is an assembler file: a label for each table, aligned to the
size of a pointer.

1. Tokens: a byte that names use stands for itself.  Of the others, from 255 down, each becomes the
   pair of bytes that is the most frequent at that time, everywhere it is, until none is left.
2. Names: how many bytes, and the bytes.  ``big`` says how more than 127 are told: since 6.1 in two
   bytes, seven bits each, the lower ones first and marked.
3. Values, ``form``: "addresses"; "relative", 32 bits from kallsyms_relative_base; "percpu", where
   those of letter A are themselves and others -1 - (address - base); "self", from each one's own
   place.
4. ``order``: "old" (until 6.3), "seqs" (6.2 and 6.3) or "new".
5. ``wide``: counts and markers are longs, as until 4.19.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

SAMPLE = 4096
"""Names that pairs are counted in; the kernel's script counts them in all, which takes it long."""


class Sym(NamedTuple):
    """A line of nm(1)."""

    address: int
    letter: str
    name: str


@dataclass(frozen=True)
class Forged:
    """``data`` at ``address``, and where each table in it begins."""

    address: int
    data: bytes = field(repr=False)
    labels: Mapping[str, int]

    def put(self, label: str, offset: int, patch: bytes) -> Forged:
        """The same with other bytes at an offset from a label."""
        at = self.labels[label] - self.address + offset
        return Forged(
            self.address, self.data[:at] + patch + self.data[at + len(patch) :], self.labels
        )


@dataclass(frozen=True)
class Kind:
    """A kernel's kind of kallsyms; ``tokens`` bounds how many pairs are replaced."""

    bits: int = 64
    endian: str = "<"
    form: str = "relative"
    order: str = "new"
    wide: bool = False
    big: bool = True
    tokens: int = 48

    @property
    def long(self) -> str:
        return self.endian + ("Q" if self.bits == 64 else "I")


def write(kind: Kind, symbols: Sequence[Sym], address: int, before: bytes = b"") -> Forged:
    """The tables of ``symbols``, sorted by address, behind other bytes of .rodata."""
    compressed, tokens = compress([one.letter + one.name for one in symbols], kind.tokens)
    names, starts = _names(kind, compressed)
    word = kind.long if kind.wide else kind.endian + "I"
    table = b"".join(token + b"\0" for token in tokens)
    places = [table[:0], *(tokens[:at] for at in range(1, 256))]
    index = [sum(len(one) + 1 for one in place) for place in places]
    parts: dict[str, bytes] = {
        "num_syms": struct.pack(word, len(symbols)),
        "names": names,
        "markers": b"".join(struct.pack(word, at) for at in starts[::256]),
        "token_table": table,
        "token_index": struct.pack(f"{kind.endian}256H", *index),
    }
    if kind.order != "old":
        parts["seqs_of_names"] = _seqs(symbols)
    values = ["addresses"] if kind.form == "addresses" else ["offsets", "relative_base"]
    values = ["offsets"] if kind.form == "self" else values
    tables = ["num_syms", "names", "markers", "token_table", "token_index"]
    if kind.order == "new":
        chosen = [*tables, *values, "seqs_of_names"]
    else:
        middle = ["seqs_of_names"] if kind.order == "seqs" else []
        chosen = [*values, *tables[:3], *middle, *tables[3:]]
    return _assembled(kind, parts, chosen, symbols, address, before)


def _assembled(
    kind: Kind,
    parts: dict[str, bytes],
    chosen: Sequence[str],
    symbols: Sequence[Sym],
    address: int,
    before: bytes,
) -> Forged:
    data, labels = bytearray(before), {}
    align = kind.bits // 8
    for label in chosen:
        data += bytes(-(address + len(data)) % align)
        labels[label] = address + len(data)
        data += parts[label] if label in parts else _values(kind, label, symbols, labels[label])
    return Forged(address, bytes(data), labels)


def _names(kind: Kind, compressed: Sequence[bytes]) -> tuple[bytes, list[int]]:
    names, starts = bytearray(), []
    for one in compressed:
        starts.append(len(names))
        if len(one) > 0x7F and kind.big:
            names += bytes((len(one) & 0x7F | 0x80, len(one) >> 7 & 0x7F))
        else:
            names.append(len(one))
        names += one
    return bytes(names), starts


def _values(kind: Kind, label: str, symbols: Sequence[Sym], at: int) -> bytes:
    moving = [one.address for one in symbols if kind.form != "percpu" or one.letter != "A"]
    base = min(moving)
    if label == "relative_base":
        return struct.pack(kind.long, base)
    if label == "addresses":
        return b"".join(struct.pack(kind.long, one.address) for one in symbols)

    def offset(number: int, one: Sym) -> int:
        if kind.form == "self":
            return one.address - (at + 4 * number)
        if kind.form == "percpu":
            return one.address if one.letter == "A" else base - one.address - 1
        return one.address - base

    order = "little" if kind.endian == "<" else "big"
    return b"".join(
        (offset(number, one) % (1 << 32)).to_bytes(4, order) for number, one in enumerate(symbols)
    )


def _seqs(symbols: Sequence[Sym]) -> bytes:
    by_name = sorted(range(len(symbols)), key=lambda number: (symbols[number].name, number))
    return b"".join(number.to_bytes(3, "big") for number in by_name)


def compress(texts: Sequence[str], most: int) -> tuple[list[bytes], list[bytes]]:
    """Each text in tokens, and the 256 tokens (rule 1)."""
    packed = [text.encode("latin-1") for text in texts]
    used = set(b"".join(packed))
    tokens = [bytes((code,)) if code in used else b"" for code in range(256)]
    sample = packed[:SAMPLE]
    profit = Counter(pair for one in sample for pair in _pairs(one))
    for code in [code for code in range(255, -1, -1) if code not in used][:most]:
        pair, count = max(profit.items(), key=lambda item: item[1])
        if count < 2:
            break
        token = bytes((code,))
        for number, one in enumerate(sample):
            if pair in one:
                profit.subtract(_pairs(one))
                sample[number] = one.replace(pair, token)
                profit.update(_pairs(sample[number]))
        packed = [one.replace(pair, token) for one in packed]
        tokens[code] = tokens[pair[0]] + tokens[pair[1]]
    return packed, tokens


def _pairs(text: bytes) -> Iterator[bytes]:
    return (text[at : at + 2] for at in range(len(text) - 1))


def vmcoreinfo(forged: Forged) -> dict[str, int]:
    """The SYMBOL() lines that Linux 6.0 writes of them."""
    told = (
        "names",
        "num_syms",
        "token_table",
        "token_index",
        "offsets",
        "relative_base",
        "addresses",
    )
    return {f"kallsyms_{one}": at for one, at in forged.labels.items() if one in told}
