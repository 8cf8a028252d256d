"""Do arguments, environments and programs come back whole, or say why not?"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable

import pytest
from forge import freebsd_facts
from forge.sysctl import ForgedSysctl

from kvm_exporter.kvm.errors import AccessDenied, KvmError, ProcessGone
from kvm_exporter.kvm.live.sysctl import Sysctl
from kvm_exporter.kvm.objects.freebsd.args import (
    ARG_MAX,
    arguments,
    environment,
    executable,
)
from kvm_exporter.kvm.tally import Tally

NUMBERS = {"args": 7, "pathname": 12, "env": 35}


def kernel(what: str, answer: bytes | int) -> ForgedSysctl:
    """A kernel with one answer, for process 5."""
    name = f"kern.proc.{what}.5"
    return ForgedSysctl({name: answer}, {name: (1, 14, NUMBERS[what], 5)})


@pytest.mark.parametrize(("what", "read"), [("args", arguments), ("env", environment)])
def test_usual_strings_take_one_question(
    what: str, read: Callable[[Sysctl, Tally, int], tuple[str, ...]]
) -> None:
    """Short vectors are had with a single system call."""
    sysctl = kernel(what, b"A=1\0B=\0")
    assert read(sysctl, Tally(), 5) == ("A=1", "B=")
    assert len(sysctl.asked) == 1


def test_long_arguments_come_whole() -> None:
    """A vector that fills the first buffer is asked for again with room for the longest."""
    words = tuple(f"word{number}" for number in range(3000))
    assert arguments(kernel("args", "\0".join((*words, "")).encode()), Tally(), 5) == words


def test_arguments_past_every_limit_are_cut() -> None:
    """ENOMEM with a full buffer keeps what there is, as libkvm does."""
    (text,) = arguments(kernel("args", b"x" * (ARG_MAX + 7)), Tally(), 5)
    assert text == "x" * ARG_MAX


@pytest.mark.parametrize(
    ("number", "error", "counted"),
    [
        (errno.ESRCH, ProcessGone, {}),
        (errno.EPERM, AccessDenied, {("kern.proc.env", "EPERM"): 1}),
        (errno.EFAULT, KvmError, {("kern.proc.env", "EFAULT"): 1}),
    ],
)
def test_an_environment_that_cannot_be_read(
    number: int, error: type[KvmError], counted: dict[tuple[str, str], int]
) -> None:
    """A gone process is no refusal; what is one is counted, and names process and cause."""
    tally = Tally()
    with pytest.raises(error, match=r"kern\.proc\.env of process 5") as caught:
        environment(kernel("env", number), tally, 5)
    assert type(caught.value) is error
    assert tally.counts() == counted


def test_a_refused_environment_says_who_may_read_it() -> None:
    """The message names the privilege."""
    with pytest.raises(AccessDenied, match="same user, or root"):
        environment(kernel("env", errno.EPERM), Tally(), 5)


@pytest.mark.parametrize("read", [arguments, environment, executable])
def test_minus_one_is_no_process(read: Callable[[Sysctl, Tally, int], object]) -> None:
    """The kernel would answer for the asker itself."""
    sysctl = ForgedSysctl({"self": b"me\0"}, {"self": (1, 14, 7, -1)})
    with pytest.raises(ProcessGone):
        read(sysctl, Tally(), -1)
    assert sysctl.asked == []


@pytest.mark.parametrize(
    ("answer", "path"),
    [(b"/bin/sh\0", "/bin/sh"), (b"\0", None), (b"", None), (errno.ENOENT, None)],
)
def test_programs_have_a_path_or_none(answer: bytes | int, path: str | None) -> None:
    """Kernel processes have no program, and a removed file has no name any more."""
    tally = Tally()
    assert executable(kernel("pathname", answer), tally, 5) == path
    assert tally.counts() == {}


def test_a_gone_process_has_no_program() -> None:
    """ESRCH is ProcessGone, not None."""
    with pytest.raises(ProcessGone):
        executable(kernel("pathname", errno.ESRCH), Tally(), 5)


def test_recorded_arguments_are_what_ps_printed() -> None:
    """Of each process whose vector was recorded, ps's ARGS column is the vector, joined."""
    sysctl = freebsd_facts.sysctl("root")
    table = freebsd_facts.text("tools.txt.gz").split("### ps\n")[1].split("### ")[0]
    printed = dict(re.findall(r"^ *(\d+) +\d+ +\d+ \S+ +\S+ +\d+ (.*)$", table, re.MULTILINE))
    seen = [pid for pid in printed if f"kern.proc.args.{pid}" in sysctl.answers and pid != "0"]
    for pid in seen:
        assert " ".join(arguments(sysctl, Tally(), int(pid))) == printed[pid]
    assert {"1", "77", "78"} <= set(seen)


def test_recorded_programs_and_environments() -> None:
    """Programs and environment of recorded processes, kernel processes included."""
    sysctl = freebsd_facts.sysctl("root")
    assert executable(sysctl, Tally(), 77) == "/bin/sleep"
    assert executable(sysctl, Tally(), 0) is None
    assert arguments(sysctl, Tally(), 0) == environment(sysctl, Tally(), 0) == ()
    strings = environment(sysctl, Tally(), 77)
    assert {"MARK=1", "LANG=C.UTF-8"} <= set(strings)
    assert len(strings) == sysctl.answers["kern.proc.env.77"].count(b"\0")


@pytest.mark.parametrize(
    ("user", "error"), [("nobody", AccessDenied), ("nobody-hidden", ProcessGone)]
)
def test_recorded_refusals(user: str, error: type[KvmError]) -> None:
    """Another user's environment is refused, and under see_other_uids=0 there is no process."""
    sysctl = freebsd_facts.sysctl(user)
    with pytest.raises(error):
        environment(sysctl, Tally(), 1)
