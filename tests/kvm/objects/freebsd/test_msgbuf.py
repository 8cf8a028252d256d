"""Are the kernel's messages those that dmesg shows, live and dead?"""

from __future__ import annotations

import errno

import pytest
from fakes.world import target
from forge import cdecl
from forge.sysctl import ForgedSysctl
from forge.system_structs import MODERN, OLD
from forge.system_world import messages
from forge.world import Thing, World
from hypothesis import given
from hypothesis import strategies as st

from kvm_exporter.kvm.errors import AccessDenied, KvmError
from kvm_exporter.kvm.objects.freebsd import msgbuf
from kvm_exporter.kvm.objects.freebsd.answers import Answers
from kvm_exporter.kvm.tally import Tally


def read(written: bytes, size: int, abi: cdecl.Abi = cdecl.AMD64, kernel: str = MODERN) -> str:
    """What is found of ``written`` in a ring of ``size`` bytes."""
    world = World(kernel, abi)
    messages(world, written, size)
    return msgbuf.from_memory(target(world))


def damaged(change: dict[str, int]) -> tuple[World, Thing]:
    """A world with a buffer that says "good" and then has members changed."""
    world = World(MODERN)
    return world, messages(world, b"good\n", 64).set(**change)


@pytest.mark.parametrize("abi", [cdecl.AMD64, cdecl.I386, cdecl.POWERPC64, cdecl.POWERPC])
@pytest.mark.parametrize("kernel", [MODERN, OLD])
def test_a_ring_is_unrolled(abi: cdecl.Abi, kernel: str) -> None:
    """Half full: everything; overwritten: from the oldest whole line on."""
    lines = b"".join(b"line %02d\n" % number for number in range(20))
    assert read(lines[:80], 128, abi, kernel) == lines[:80].decode()
    assert read(lines, 100, abi, kernel) == lines[-96:].decode()


def test_a_ring_that_is_just_full_has_lost_its_first_line() -> None:
    """As kern.msgbuf leaves it out: nobody knows that it is whole."""
    assert read(b"one\ntwo\n", 8) == "two\n"


def test_an_empty_ring_is_an_empty_text() -> None:
    """Nothing was printed."""
    assert read(b"", 64) == ""


def test_one_long_line_is_no_whole_line() -> None:
    """A full ring without a newline."""
    assert read(b"x" * 100, 64) == ""


def test_priorities_begin_lines_only() -> None:
    """Syslogd's <6> is left out, what looks like one inside a line is not."""
    assert msgbuf.text(b"<6>a <7>b\n<118>c\n<x>d\n<>e\n") == "a <7>b\nc\n<x>d\n<>e\n"


def test_bytes_that_are_no_text_come_through() -> None:
    """As surrogates; NULs are padding."""
    assert msgbuf.text(b"\0\0caf\xe9\n\0") == "caf\udce9\n"


@pytest.mark.parametrize(
    "change", [{"msg_magic": 1}, {"msg_size": 0}, {"msg_size": 2**31}, {"msg_ptr": 16}]
)
def test_a_damaged_buffer_is_replaced_by_the_dumps_copy(change: dict[str, int]) -> None:
    """And is an error without one."""
    world, _ = damaged(change)
    tally = Tally()
    assert msgbuf.from_memory(target(world, tally), lambda: b"copied\n\0\0") == "copied\n"
    assert ("msgbufp", "unknown") in tally.counts()
    with pytest.raises(KvmError):
        msgbuf.from_memory(target(world))


@given(st.binary(max_size=300), st.integers(1, 64), st.integers(0, 2**32 - 1))
def test_any_ring_at_any_position_is_a_text(ring: bytes, size: int, at: int) -> None:
    """No content and no position is too strange."""
    world = World(MODERN)
    messages(world, ring, size).set(msg_wseq=at)
    text = msgbuf.from_memory(target(world))
    assert len(text) <= size


def live(answer: bytes | int) -> str:
    """kern.msgbuf of a running kernel."""
    tree = {"hw.machine_arch": b"amd64\0", "kern.msgbuf": answer}
    return msgbuf.from_live(Answers(ForgedSysctl(tree), Tally()))


def test_a_running_kernel_unrolls_it_itself() -> None:
    """The text has a NUL at its end."""
    assert live(b"boot\n<6>up\n\0") == "boot\nup\n"


def test_a_refusal_says_what_would_help() -> None:
    """security.bsd.unprivileged_read_msgbuf may be 0."""
    with pytest.raises(AccessDenied, match="unprivileged_read_msgbuf=1"):
        live(errno.EPERM)
