"""How is a frame of a dead arm kernel's stack left?  By its unwind tables.

1. Where functions keep no frame pointer (CONFIG_ARM_UNWIND), a sorted table of pairs has for each
   function where it starts and how its frame is left: bytes of instructions, in the pair itself, or
   elsewhere.  Places are told relative to themselves, in 31 bits.
2. The instructions move a virtual stack pointer, and load registers from where it points, as the
   function's end would have done.

Sources: Exception Handling ABI for the Arm Architecture, sections 6 and 10.3;
arch/arm/kernel/unwind.c.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.target import Target

TABLE = ("__start_unwind_idx", "__stop_unwind_idx")
CANNOT = 1
"""EXIDX_CANTUNWIND"""

FINISH = 0xB0

FP, SP, LR, PC = 11, 13, 14, 15
MASK = 0xFFFF_FFFF

MOST_WORDS = 16
"""Of instructions of a function; kernels have four at most."""

Registers = dict[int, int]
"""By number, those that are known."""

Word = Callable[[int], int]
"""A word of the stack.  Errors: Fault."""


class UnwindTable:
    """The table of ``target``.  Errors: SymbolMissing."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._start, stop = (target.address(name) for name in TABLE)
        self._count = max(stop - self._start, 0) // 8

    def caller(self, registers: Registers, word: Word) -> Registers:
        """As the caller of the function at PC had them.  Errors: Fault, FormatError."""
        left = dict(registers)
        left.pop(PC)
        _run(self._instructions(registers[PC]), left, word)
        left.setdefault(PC, left.get(LR, 0))
        return left

    def _instructions(self, address: int) -> Iterator[int]:
        """The bytes for the function that an address is in."""
        number = bisect_right(range(self._count), address, key=self._function) - 1
        at = self._start + 8 * number + 4
        first = self._word(at) if number >= 0 else CANNOT
        if first == CANNOT:
            raise FormatError(f"nothing tells how the frame of {address:#x} is left")
        if not first >> 31:
            at = self._place(at)
            first = self._word(at)
        # the compact forms 0 and 1, of which the second byte tells how many words follow
        if first >> 24 not in (0x80, 0x81):
            raise FormatError(f"a personality routine of its own for {address:#x}")
        long = first >> 24 == 0x81
        yield from first.to_bytes(4, "big")[2 if long else 1 :]
        for more in range(min(first >> 16 & 0xFF, MOST_WORDS) if long else 0):
            yield from self._word(at + 4 + 4 * more).to_bytes(4, "big")

    def _function(self, number: int) -> int:
        return self._place(self._start + 8 * number)

    def _place(self, at: int) -> int:
        """What the word at an address points at: 31 bits, signed."""
        offset = self._word(at) & 0x7FFF_FFFF
        return at + offset - (offset >> 30 << 31) & MASK

    def _word(self, at: int) -> int:
        return self._target.integer(at & MASK, 4)


def _run(code: Iterator[int], left: Registers, word: Word) -> None:
    """Follow the instructions (section 10.3)."""
    for byte in code:
        if byte == FINISH:
            return
        match byte >> 4:
            case 0 | 1 | 2 | 3:
                left[SP] += (byte << 2) + 4
            case 4 | 5 | 6 | 7:
                left[SP] -= ((byte & 0x3F) << 2) + 4
            case 8:
                mask = (byte & 0xF) << 8 | next(code, 0)
                _pop(left, word, [4 + at for at in range(12) if mask >> at & 1])
            case 9 if byte & 0xF in left:
                left[SP] = left[byte & 0xF]
            case 0xA:
                _pop(left, word, [*range(4, 5 + (byte & 7)), *([LR] if byte & 8 else [])])
            case _:
                _rare(byte, code, left, word)


def _rare(byte: int, code: Iterator[int], left: Registers, word: Word) -> None:
    """What few functions need."""
    if byte == 0xB1:
        mask = next(code, 0)
        _pop(left, word, [at for at in range(4) if mask >> at & 1])
    elif byte == 0xB2:
        shift = 0
        left[SP] += 0x204
        for more in code:
            left[SP] += (more & 0x7F) << shift + 2
            shift += 7
            if not more & 0x80:
                return
    else:
        raise FormatError(f"the instruction {byte:#x} of an unwind table is not known")


def _pop(left: Registers, word: Word, numbers: list[int]) -> None:
    """Load registers from where the stack pointer points."""
    if not numbers:
        raise FormatError("an unwind table refuses to leave a frame")
    at = left[SP]
    for number in numbers:
        left[number] = word(at)
        at += 4
    if SP not in numbers:
        left[SP] = at
