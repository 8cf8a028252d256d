"""Through which functions did a dead kernel's task get where it sleeps?  Its return addresses.

1. A task that does not run has its registers saved: where its stack stands, and the first address.
2. Where functions keep a frame pointer, each frame has the next one's address and a return address
   at fixed places (FORMS).  arm64 may have signed the latter, in bits that an address does not
   need, as functions have their highest bits alike; what the task saved is not signed.
3. x86_64's functions keep none.  A sorted table (ORC) tells for each address how far the frame
   reaches: orc_unwind_ip has addresses, relative to themselves, orc_unwind what goes for each.
   How it numbers the registers, a function's first instruction tells: the stack pointer's is there.
   Those of arm have tables of another kind (armstacks.py).
4. Nothing but the task's own stack is read, and no more than MOST_FRAMES of it.

Sources: arch/*/kernel/stacktrace.c and process.c, arch/x86/kernel/unwind_orc.c,
arch/x86/include/asm/orc_types.h.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple

from kvm_exporter.kvm.errors import Fault, FormatError
from kvm_exporter.kvm.objects.linux.armstacks import FP, PC, SP, TABLE, UnwindTable
from kvm_exporter.kvm.objects.linux.tasklist import TASK
from kvm_exporter.kvm.remembered import Remembered
from kvm_exporter.kvm.target import Target

LARGEST = 1 << 16
"""Bytes of a stack: THREAD_SIZE is 8 KB to 64 KB."""

MOST_FRAMES = 32
"""Of one stack that are looked at."""

INACTIVE = "struct inactive_task_frame"
"""What x86 leaves on a stack that it switches away from."""

SAVED = "thread_info.cpu_context"
"""Where arm saves a task's registers."""

ENTRY = "struct orc_entry"
ORC = ("__start_orc_unwind_ip", "__stop_orc_unwind_ip", "__start_orc_unwind")
UNCHANGED, BASE = 0, 4
PREVIOUS = {5: 1, 3: 8}
"""ORC_REG_*: the stack pointer of the caller, by the stack pointer, renumbered by 1735858caa4b."""

PLAIN = "schedule"
"""A function that every kernel has."""

MOST_KNOWN = 1 << 12
"""Entries of ORC that are remembered; then all are forgotten."""


class Stack:
    """The kernel stack that starts at an address."""

    def __init__(self, target: Target, start: int) -> None:
        self._target = target
        self._start = start

    def word(self, address: int) -> int:
        """A word of it; Fault for an address outside."""
        if not self._start <= address < self._start + LARGEST:
            raise Fault(address, f"not on the stack at {self._start:#x}")
        return self._target.pointer(address)


Walk = Callable[[int, Stack], Iterator[int]]
"""The return addresses of the task at an address, on its stack.  Errors: Fault, FormatError."""


class Form(NamedTuple):
    """Where a task has its frame pointer and first address, and frames the next and theirs.

    The latter in words; the ``skipped`` innermost frames are those of the switch itself.
    ``signed``: only this many low bits are an address's own.
    """

    frame: str
    first: str
    next: int
    back: int
    skipped: int = 0
    signed: int | None = None


FORMS = (
    Form("thread.cpu_context.fp", "thread.cpu_context.pc", 0, 1, signed=39),  # arm64
    Form("thread.s", "thread.ra", -2, -1),  # riscv
    Form("thread.ksp", "", 0, 2, skipped=2),  # powerpc64: the back chain
)


def find_walk(target: Target) -> Walk | None:
    """How to go through this kernel's stacks; None where nobody knows.  Errors: TypeMissing."""
    if all(target.symbols.lookup(ORC)):
        return Orc(target).walk
    if all(target.symbols.lookup(TABLE)):
        return _arm(target)
    if target.has(INACTIVE, "bp"):
        return _x86(target)
    form = next((form for form in FORMS if target.has(TASK, form.frame)), None)
    return _by_form(target, form) if form else None


def _arm(target: Target) -> Walk:
    """Unwind tables; the registers are saved in struct thread_info, wherever that is."""
    table = UnwindTable(target)
    inside = target.has(TASK, SAVED)
    info = TASK if inside else "struct thread_info"
    context = SAVED if inside else "cpu_context"
    places = {
        number: target.offset(info, f"{context}.{name}")
        for number, name in ((FP, "fp"), (SP, "sp"), (PC, "pc"))
    }

    def walk(task: int, stack: Stack) -> Iterator[int]:
        start = task if inside else target.pointer(task + target.offset(TASK, "stack"))
        registers = {number: target.pointer(start + at) for number, at in places.items()}
        for _ in range(MOST_FRAMES):
            yield registers[PC]
            registers = table.caller(registers, stack.word)

    return walk


def _by_form(target: Target, form: Form) -> Walk:
    frame = target.offset(TASK, form.frame)
    saved = target.offset(TASK, form.first) if form.first else None

    def walk(task: int, stack: Stack) -> Iterator[int]:
        first = None if saved is None else target.pointer(task + saved)
        if first is not None:
            yield first
        for back in _chain(target, stack, target.pointer(task + frame), form):
            yield back if form.signed is None else _unsigned(back, first or 0, form.signed)

    return walk


def _unsigned(address: int, other: int, bits: int) -> int:
    """The address with the highest bits of another one."""
    return address & (1 << bits) - 1 | other >> bits << bits


def _x86(target: Target) -> Walk:
    """Frame pointers, as CONFIG_UNWINDER_FRAME_POINTER has them."""
    saved = _Saved(target)

    def walk(task: int, stack: Stack) -> Iterator[int]:
        first, _, base = saved.registers(task, stack)
        yield first
        yield from _chain(target, stack, base, Form("", "", 0, 1))

    return walk


def _chain(target: Target, stack: Stack, frame: int, form: Form) -> Iterator[int]:
    size = target.abi.pointer_size
    for count in range(MOST_FRAMES):
        if count >= form.skipped:
            yield stack.word(frame + form.back * size)
        frame = stack.word(frame + form.next * size)


class _Saved:
    """What x86 saved of tasks.  Errors: TypeMissing."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._stack = target.offset(TASK, "thread.sp")
        self._base = target.offset(INACTIVE, "bp")
        self._back = target.offset(INACTIVE, "ret_addr")
        self._size = target.view(0, INACTIVE).size

    def registers(self, task: int, stack: Stack) -> tuple[int, int, int]:
        """The return address, and the stack and base pointer behind it."""
        at = self._target.pointer(task + self._stack)
        base, back = stack.word(at + self._base), stack.word(at + self._back)
        return back, at + self._size, base


class _Entry(NamedTuple):
    """How a frame is left: from which register, by how much, and where the caller's base is."""

    register: int
    offset: int
    base_register: int
    base_offset: int


class Orc:
    """Stacks of a kernel without frame pointers (rule 3).  Errors: TypeMissing."""

    def __init__(self, target: Target) -> None:
        self._target = target
        start, stop, entries = (target.address(name) for name in ORC)
        self._start, self._entries = start, entries
        self._count = max(stop - start, 0) // 4
        self._size = target.view(0, ENTRY).size
        self._saved = _Saved(target)
        self._known: Remembered[int, _Entry] = Remembered(MOST_KNOWN)
        self._stack = self._entry(target.address(PLAIN)).register
        if self._stack not in PREVIOUS:
            raise FormatError(f"ORC numbers the stack pointer {self._stack}, as no kernel known")
        self._previous = PREVIOUS[self._stack]

    def walk(self, task: int, stack: Stack) -> Iterator[int]:
        """As Walk."""
        address, top, base = self._saved.registers(task, stack)
        for _ in range(MOST_FRAMES):
            yield address
            # a call may be the last instruction of a function: what returns is behind it
            entry = self._known.of(address - 1, self._entry)
            if entry.register not in (self._stack, BASE):
                raise FormatError(f"ORC cannot tell the frame of {address:#x}")
            frame = (top if entry.register == self._stack else base) + entry.offset
            if entry.base_register != UNCHANGED:
                at = frame if entry.base_register == self._previous else base
                base = stack.word(at + entry.base_offset)
            address, top = stack.word(frame - 8), frame

    def _entry(self, address: int) -> _Entry:
        return self._read(self._find(address))

    def _find(self, address: int) -> int:
        """The number of the last entry that is not behind the address."""
        number = bisect_right(range(self._count), address, key=self._address) - 1
        if number < 0:
            raise FormatError(f"ORC does not know {address:#x}")
        return number

    def _address(self, number: int) -> int:
        at = self._start + 4 * number
        return at + self._target.integer(at, 4, signed=True)

    def _read(self, number: int) -> _Entry:
        view = self._target.view(self._entries + number * self._size, ENTRY)
        names = ("sp_reg", "sp_offset", "bp_reg", "bp_offset")
        return _Entry(*(int(view[name]) for name in names))
