"""Is the function found that a dead kernel's task sleeps in?"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from fakes.world import WorldSymbols, target
from forge import cdecl
from forge.linux_structs import MODERN, OLD
from forge.linux_tasks import SCHEDULER, Tasks
from forge.world import FUNC, World

from kvm_exporter.kvm.memory import Symbol
from kvm_exporter.kvm.objects.linux import tasks
from kvm_exporter.kvm.objects.linux.procs import Choice
from kvm_exporter.kvm.objects.linux.wchan import WaitChannels
from kvm_exporter.kvm.objects.model import ProcOp
from kvm_exporter.kvm.symbols.elfsymtab import Place
from kvm_exporter.kvm.target import Target

SLEEPING, DEAD, WAKING = 1, 0x80, 0x200
DO_WAIT, DO_POLL, MUTEX = 0xC0201000, 0xC0203000, 0xC0100800
IN_SCHEDULE, IN_TIMEOUT = SCHEDULER[0x20], SCHEDULER[0x300]

X86 = """
struct inactive_task_frame { u_long r12; u_long bx; u_long bp; u_long ret_addr; };
struct thread_struct { u_long tls[3]; u_long sp; };
"""
ENTRY = """
struct orc_entry {
    short sp_offset; short bp_offset; u_int sp_reg:4; u_int bp_reg:4; u_int type:3; u_int signal:1;
} __attribute__((packed));
"""
ARM64 = """
struct cpu_context { u_long x19; u_long fp; u_long sp; u_long pc; };
struct thread_struct { struct cpu_context cpu_context; };
"""
RISCV = "struct thread_struct { u_long ra; u_long sp; u_long s[12]; };"
POWERPC = "struct thread_struct { u_long ksp; };"


class Functions(WorldSymbols):
    """Symbols that tell what lies at an address."""

    def at(self, address: int) -> Place | None:
        found = [one for one in self._world.symbols if one.type == FUNC and one.address <= address]
        nearest = max(found, key=lambda one: one.address, default=None)
        if nearest is None:
            return None
        return Place(Symbol(nearest.name, nearest.address), address - nearest.address)


class Kernel:
    """Task 5 sleeps, on a stack of 4 KB."""

    def __init__(self, thread: str, abi: cdecl.Abi, base: str = MODERN, *, top: int = 0) -> None:
        text = base.replace("struct css_set *cgroups;\n};", "struct css_set *cgroups;\nTHREAD\n};")
        text = text.replace(
            "struct signal_struct *signal;\n};", "struct signal_struct *signal;\nTHREAD\n};"
        )
        whole = thread + text.replace("THREAD", "struct thread_struct thread;")
        self.people = Tasks(World(whole, abi))
        self.world = self.people.world
        self.stack = self.world.allocate(4096)
        state = "__state" if self.people.modern else "state"
        self.task = self.people.task(5, members={state: SLEEPING, "stack": self.stack})
        self.people.task(1)
        self.people.finish()
        for name, address in (
            ("do_wait", DO_WAIT),
            ("do_poll", DO_POLL),
            ("schedule", SCHEDULER[0]),
        ):
            self.world.symbol(name, address + top, type_=FUNC)
        for one in self.world.symbols[:]:
            if one.name.startswith("__sched_text"):
                self.world.symbols.remove(one)
                self.world.symbol(one.name, one.address + top)

    def words(self, at: int, *words: int) -> int:
        """Words on the stack, ``at`` bytes from its start; where they lie."""
        data = b"".join(self.world.pointer(word) for word in words)
        self.world.write(self.stack + at, data)
        return self.stack + at

    @property
    def target(self) -> Target:
        dead = target(self.world)
        dead.symbols = Functions(self.world)
        return dead

    def channel(self) -> str | None:
        """Of task 5."""
        choice = Choice(("wait_channel",), op=ProcOp.PID, arg=5)
        (found,) = tasks.from_memory(self.target, 4096, None, choice)
        return found.wait_channel


def x86_frames(abi: cdecl.Abi, back: Sequence[int]) -> Kernel:
    """Frame pointers: each frame starts with the next one's address, then the return address."""
    made = Kernel(X86, abi)
    size = abi.pointer
    outer = made.stack + 0x800
    for address in reversed(back[1:]):
        outer = made.words(outer - made.stack - 0x40, outer, address)
    bottom = made.words(0x100, 0, 0, outer, back[0])
    made.task.put("thread.sp", bottom)
    assert size in (4, 8)
    return made


def arm64_frames(back: Sequence[int], top: int = 0, signature: int = 0) -> Kernel:
    """As x86's, with the first address saved apart; ``signature`` is in the others' high bits."""
    made = Kernel(ARM64, cdecl.AARCH64, top=top)
    outer = made.stack + 0x800
    for address in reversed(back[1:]):
        outer = made.words(outer - made.stack - 0x40, outer, (address + top) ^ signature)
    made.task.put("thread.cpu_context.fp", outer)
    made.task.put("thread.cpu_context.pc", back[0] + top)
    return made


def riscv_frames(back: Sequence[int]) -> Kernel:
    """The frame pointer is behind the two words."""
    made = Kernel(RISCV, cdecl.RISCV64)
    outer = made.stack + 0x800
    for address in reversed(back[1:]):
        outer = made.words(outer - made.stack - 0x40, outer, address) + 16
    made.task.put("thread.s[0]", outer)
    made.task.put("thread.ra", back[0])
    return made


def powerpc_frames(back: Sequence[int]) -> Kernel:
    """Each frame starts with its caller's; the return address is two words up, in the caller's."""
    made = Kernel(POWERPC, cdecl.POWERPC64LE, OLD)
    outer = made.stack + 0x800
    for address in reversed([DO_POLL, DO_POLL, *back]):  # two frames of the switch itself
        outer = made.words(outer - made.stack - 0x40, outer, 0, address)
    made.task.put("thread.ksp", outer)
    return made


MADE = {
    "amd64": lambda back: x86_frames(cdecl.AMD64, back),
    "i386": lambda back: x86_frames(cdecl.I386, back),
    "arm64": arm64_frames,
    "riscv64": riscv_frames,
    "powerpc64": powerpc_frames,
}


@pytest.mark.parametrize("machine", MADE)
def test_it_is_the_innermost_that_is_not_the_schedulers(machine: str) -> None:
    """Past schedule() and its like, by frame pointers."""
    made = MADE[machine]([IN_SCHEDULE, IN_TIMEOUT, DO_POLL + 0x44, DO_WAIT + 4])
    assert made.channel() == "do_poll"
    assert WaitChannels(made.target).of(0, SLEEPING, 0, 0) is None


@pytest.mark.parametrize("machine", MADE)
def test_a_stack_without_an_end_tells_nothing(machine: str) -> None:
    """Nothing but the scheduler's, until the frames end, or leave the stack; that is counted."""
    made = MADE[machine]([IN_SCHEDULE] * 5)
    assert made.channel() is None
    dead = made.target
    found = WaitChannels(dead).of(made.task.address, SLEEPING, 0, made.stack - (1 << 17))
    assert found is None
    assert dead.tally.counts() == {("kernel stack", "unknown"): 1}


@pytest.mark.parametrize(
    "members", [{"__state": 0}, {"__state": WAKING}, {"on_rq": 1}, {"stack": 0, "__state": DEAD}]
)
def test_who_does_not_sleep_has_none(members: dict[str, int]) -> None:
    """Running, about to, or a zombie whose stack is gone."""
    made = MADE["amd64"]([IN_SCHEDULE, DO_WAIT])
    assert made.channel() == "do_wait"
    made.task.set(**members)
    assert made.channel() is None


def test_locks_are_passed_over() -> None:
    """What lies between __lock_text_start and __lock_text_end sleeps for others."""
    made = MADE["amd64"]([IN_SCHEDULE, MUTEX + 8, DO_WAIT])
    made.world.symbol("mutex_lock", MUTEX, type_=FUNC)
    assert made.channel() == "mutex_lock"
    made.world.symbol("__lock_text_start", MUTEX)
    made.world.symbol("__lock_text_end", MUTEX + 0x100)
    assert made.channel() == "do_wait"


def test_signed_addresses_are_understood() -> None:
    """arm64's pointer authentication changes bits above those that addresses need."""
    high = 0xFFFF_8000_0000_0000
    made = arm64_frames([IN_SCHEDULE, IN_TIMEOUT, DO_POLL], high, signature=0x5A_0000_0000_0000)
    assert made.channel() == "do_poll"


def test_a_kernel_of_which_nobody_knows_the_stacks() -> None:
    """Without a form there is no answer, and no failure."""
    people = Tasks(World(MODERN))
    people.task(1, members={"__state": SLEEPING, "stack": 0x1000})
    dead = target(people.finish().world)
    (found,) = tasks.from_memory(dead, 4096, None, Choice(("wait_channel",)))
    assert found.wait_channel is None
    assert dead.tally.counts() == {}


def test_without_symbols_by_address_there_is_no_name() -> None:
    """As where only a few are known."""
    made = MADE["amd64"]([IN_SCHEDULE, DO_WAIT])
    choice = Choice(("wait_channel",), op=ProcOp.PID, arg=5)
    (found,) = tasks.from_memory(target(made.world), 4096, None, choice)
    assert found.wait_channel is None


SP, BP, PREVIOUS = 5, 4, 1
NUMBERS = [(SP, PREVIOUS), (3, 8)]
"""Of the stack pointer, and of the caller's; the latter since 7.1."""


def orc(rows: Sequence[tuple[int, int, int, int, int]], back: Sequence[int]) -> Kernel:
    """A kernel without frame pointers.

    ``rows``: from which address on, sp_reg, sp_offset, bp_reg, bp_offset.  ``back``: the first
    return address, then words of the stack from behind it on.
    """
    made = Kernel(X86 + ENTRY, cdecl.AMD64)
    world = made.world
    # both tables lie near the functions, so that 32 bits reach
    start, entries = 0xC0300000, 0xC0310000
    addresses = [struct.pack("<i", row[0] - start - 4 * at) for at, row in enumerate(rows)]
    world.bytes(b"".join(addresses), start)
    data = b"".join(
        struct.pack("<hhH", offset, base_offset, register | base << 4)
        for _, register, offset, base, base_offset in rows
    )
    world.bytes(data, entries)
    world.symbol("__start_orc_unwind_ip", start)
    world.symbol("__stop_orc_unwind_ip", start + 4 * len(rows))
    world.symbol("__start_orc_unwind", entries)
    bottom = made.words(0x100, 0, 0, made.stack + 0x180, *back)
    made.task.put("thread.sp", bottom)
    return made


@pytest.mark.parametrize(("stack", "caller"), NUMBERS)
def test_orc_tells_how_far_frames_reach(stack: int, caller: int) -> None:
    """From the stack pointer, or from the base pointer, which may have been saved on the way."""
    rows = [
        (SCHEDULER[0], stack, 24, 0, 0),
        (SCHEDULER[0x200], BP, 16, caller, -24),
        (SCHEDULER[0x400], BP, 8, 0, 0),
        (DO_WAIT, stack, 8, 0, 0),
    ]
    words = [0x11] * 20
    # behind the saved registers: two words of schedule(), then its return address
    words[2] = IN_TIMEOUT
    # that one's base is at 0x180; its frame ends 16 behind, with the caller's base before
    made = orc(rows, [IN_SCHEDULE, *words])
    frame = made.stack + 0x190
    made.words(0x190 - 8, SCHEDULER[0x500])
    made.words(0x190 - 24, made.stack + 0x200)
    made.words(0x200, DO_WAIT + 9)
    assert frame < made.stack + 0x200
    assert made.channel() == "do_wait"


def test_orc_goes_on_from_where_a_frame_ended() -> None:
    """Frames from the stack pointer, one behind the other."""
    rows = [(SCHEDULER[0], SP, 24, 0, 0), (SCHEDULER[0x200], SP, 16, 0, 0)]
    words = [0x11, 0x11, IN_TIMEOUT, 0x11, IN_TIMEOUT, 0x11, DO_POLL, 0x11]
    assert orc(rows, [IN_SCHEDULE, *words]).channel() == "do_poll"


@pytest.mark.parametrize("register", [0, 8, 9, 15])
def test_orc_may_not_know(register: int) -> None:
    """Other registers are those of interrupts, and of code that nobody sleeps in."""
    made = orc([(SCHEDULER[0], register, 24, 0, 0)], [IN_SCHEDULE, 0, 0, DO_WAIT])
    assert made.channel() is None
    assert orc([(SCHEDULER[0], SP, 24, 0, 0)], [IN_SCHEDULE, 0, 0, DO_WAIT]).channel() == "do_wait"


@pytest.mark.parametrize("rows", [[], [(DO_WAIT, SP, 8, 0, 0)]])
def test_orc_may_have_nothing_for_an_address(rows: list[tuple[int, int, int, int, int]]) -> None:
    """An empty table, and one that starts later."""
    assert orc(rows, [IN_SCHEDULE, DO_WAIT]).channel() is None


CONTEXT = "struct cpu_context_save { u_int r4; u_int sl; u_int fp; u_int sp; u_int pc; };"
INFO = "struct thread_info { u_long flags; u_int cpu; struct cpu_context_save cpu_context; };"
IN_TASK = MODERN.replace("struct thread_info { u_long flags; u32 cpu; };", CONTEXT + INFO)
ON_STACK = CONTEXT + INFO + OLD
NOTHING = "struct thread_struct { int nothing; };"


def arm(code: dict[int, bytes], base: str = IN_TASK) -> Kernel:
    """A kernel with unwind tables: ``code`` for each function, by its address.

    Three bytes or fewer lie in the pair itself, more elsewhere, four more with each word.
    """
    made = Kernel(NOTHING, cdecl.ARMV7, base)
    start, elsewhere = 0xC0400000, 0xC0410000

    def relative(at: int, place: int) -> bytes:
        return struct.pack("<I", place - at & 0x7FFF_FFFF)

    pairs = b""
    for function in sorted(code):
        whole, at = code[function], start + len(pairs)
        pairs += relative(at, function)
        if len(whole) <= 3:
            pairs += whole.ljust(3, b"\xb0")[::-1] + b"\x80"
            continue
        words = (len(whole) + 1) // 4
        full = bytes([0x81, words]) + whole.ljust(2 + 4 * words, b"\xb0")
        turned = b"".join(full[one : one + 4][::-1] for one in range(0, len(full), 4))
        made.world.bytes(turned, elsewhere)
        pairs += relative(at + 4, elsewhere)
        elsewhere += 0x100
    made.world.bytes(pairs, start)
    made.world.symbol("__start_unwind_idx", start)
    made.world.symbol("__stop_unwind_idx", start + len(pairs))
    registers = {"fp": made.stack + 0x184, "sp": made.stack + 0x100, "pc": IN_SCHEDULE}
    if base is IN_TASK:
        made.task.set(**{f"thread_info.cpu_context.{name}": at for name, at in registers.items()})
    else:
        made.words(0, 0, 0, 0, 0, *registers.values())  # flags, cpu, r4, sl
    return made


FIRST = bytes([0x9B, 0x40, 0x84, 0x80])
"""sp = fp, sp -= 4, pop {fp, lr}."""


@pytest.mark.parametrize("base", [IN_TASK, ON_STACK], ids=["in-task", "on-stack"])
def test_arm_has_tables_of_its_own(base: str) -> None:
    """Instructions in the pair itself and elsewhere, of which all kinds are followed."""
    code = {
        SCHEDULER[0]: FIRST,
        # sp += 0x208, then 4, less 8; pop {r0}; pop {r4, lr}
        SCHEDULER[0x200]: bytes([0xB2, 0x01, 0x00, 0x41, 0xB1, 0x01, 0xA8]),
        # pop {r4, r5, lr}
        SCHEDULER[0x500]: bytes([0xA9]),
        DO_WAIT: bytes([0x84, 0x00]),
    }
    made = arm(code, base)
    made.words(0x180, 0x77, IN_TIMEOUT)
    made.words(0x188 + 0x208 + 4 - 8, 0, 4, SCHEDULER[0x600], 4, 5, DO_POLL + 8)
    assert made.channel() == "do_poll"


@pytest.mark.parametrize(
    "code",
    [
        {},
        {DO_POLL: b"\xb0"},  # all behind the address
        {SCHEDULER[0]: b"\x80\x00"},  # refuses
        {SCHEDULER[0]: b"\xb3"},  # floating point registers
        {SCHEDULER[0]: b"\x97"},  # from a register that nobody saved
        {SCHEDULER[0]: b"\x7f\x7f\x7f"},  # off the stack
        {SCHEDULER[0]: b"\xb2\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"},
    ],
)
def test_arms_tables_may_not_know(code: dict[int, bytes]) -> None:
    """Then there is no answer."""
    assert arm(code).channel() is None


def test_arms_tables_may_be_damaged() -> None:
    """Functions that cannot be left, or have a routine of their own for it."""
    made = arm({SCHEDULER[0]: FIRST})
    made.words(0x180, 0x77, DO_WAIT)
    assert made.channel() == "do_wait"
    for word in (1, 0x9000_0000, 0x7FFF_0000):
        made.world.write(0xC0400004, made.world.pointer(word))
        assert made.channel() is None
