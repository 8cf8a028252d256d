"""Does an answer that is missing cost only itself, and is it counted?"""

from __future__ import annotations

import errno

import pytest
from forge import freebsd
from forge.sysctl import ForgedSysctl

from kvm_exporter.kvm.errors import AccessDenied, FormatError, KvmError, Unsupported
from kvm_exporter.kvm.objects.freebsd.answers import Answers
from kvm_exporter.kvm.tally import Tally

MACHINE = {"hw.machine_arch": freebsd.machine("amd64")}


@pytest.mark.parametrize(("width", "value"), [(1, 200), (2, 60000), (4, 2**32 - 1), (8, 2**64 - 1)])
@pytest.mark.parametrize("arch", ["amd64", "powerpc64"])
def test_a_number_may_have_any_width(width: int, value: int, arch: str) -> None:
    """Unsigned, in the machine's byte order."""
    raw = freebsd.number(value, width, arch)
    tree = {"hw.machine_arch": freebsd.machine(arch), "kern.x": raw}
    assert Answers(ForgedSysctl(tree), Tally()).number("kern.x") == value


def test_numbers_are_asked_for_with_eight_bytes() -> None:
    """With four, vm.stats would cut a 64-bit counter to 32 bits."""
    sysctl = ForgedSysctl(MACHINE | {"vm.stats.sys.v_swtch": freebsd.number(2**40 + 5, 8)})
    assert Answers(sysctl, Tally()).number("vm.stats.sys.v_swtch") == 2**40 + 5
    assert sysctl.asked[-1] == ("vm.stats.sys.v_swtch", 8)


@pytest.mark.parametrize(
    ("answer", "name"),
    [(errno.EPERM, "EPERM"), (errno.ENOENT, "ENOENT"), (b"123", "unknown"), (b"", "unknown")],
)
def test_a_number_that_is_not_there_is_none_and_counted(answer: bytes | int, name: str) -> None:
    """Refused, missing or of no number's width: None, and one more in the tally."""
    tally = Tally()
    answers = Answers(ForgedSysctl(MACHINE | {"kern.x": answer}), tally)
    assert answers.number("kern.x") is None
    assert tally.counts() == {("kern.x", name): 1}


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.EPERM, AccessDenied), (errno.ENOENT, Unsupported), (errno.ENOMEM, KvmError)],
)
def test_a_required_answer_that_is_not_there_is_an_error(
    number: int, error: type[KvmError]
) -> None:
    """The kind follows the errno, the message names the sysctl, and the tally counts it."""
    tally = Tally()
    answers = Answers(ForgedSysctl(MACHINE | {"kern.x": number}), tally)
    with pytest.raises(error, match=r"kern\.x"):
        answers.required("kern.x")
    assert list(tally.counts()) == [("kern.x", errno.errorcode[number])]


def test_a_required_number_that_is_not_there_is_an_error() -> None:
    """The message names the sysctl."""
    with pytest.raises(KvmError, match=r"hw\.pagesize"):
        Answers(ForgedSysctl(dict(MACHINE)), Tally()).required_number("hw.pagesize")


def test_a_struct_of_another_size_names_both_sizes() -> None:
    """The error says what came, what was due, and of which struct."""
    answers = Answers(ForgedSysctl(MACHINE | {"kern.boottime": b"x" * 8}), Tally())
    with pytest.raises(FormatError, match=r"kern\.boottime: 8 bytes.*timeval has 16"):
        answers.required_record("kern.boottime", "timeval", ("tv_sec",))


def test_an_optional_struct_of_another_size_is_none_and_counted() -> None:
    """It costs its own field only."""
    tally = Tally()
    answers = Answers(ForgedSysctl(MACHINE | {"kern.boottime": b"x" * 8}), tally)
    assert answers.optional_record("kern.boottime", "timeval", ("tv_sec",)) is None
    assert tally.counts() == {("kern.boottime", "unknown"): 1}


def test_a_text_ends_at_its_nul() -> None:
    """Bytes that are no UTF-8 survive as surrogates."""
    answers = Answers(ForgedSysctl(MACHINE | {"kern.x": b"caf\xe9\0rest"}), Tally())
    assert answers.required_text("kern.x") == "caf\udce9"


def test_an_unknown_machine_is_unsupported() -> None:
    """Before anything is decoded wrongly."""
    with pytest.raises(Unsupported, match="mips64"):
        Answers(ForgedSysctl({"hw.machine_arch": b"mips64\0"}), Tally())
