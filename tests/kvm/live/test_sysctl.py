"""Does a sysctl's whole answer arrive, whatever its size does meanwhile?"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from itertools import chain, repeat

import pytest

from kvm_exporter.kvm.live.sysctl import ATTEMPTS, Answer, read_sized, read_whole

MIB = (1, 14, 8)


class Kernel:
    """Copies out what fits, as sysctl_old_user does; the answer changes from call to call."""

    def __init__(self, answers: Iterator[bytes], surplus: int = 0) -> None:
        self.answers = answers
        self.surplus = surplus
        self.sizes: list[int | None] = []

    def __call__(self, mib: Sequence[int], size: int | None) -> Answer:
        assert mib == MIB
        data = next(self.answers)
        self.sizes.append(size)
        if size is None:
            return Answer(0, b"", len(data) + self.surplus)
        if size < len(data):
            return Answer(errno.ENOMEM, data[:size], size)
        return Answer(0, data, len(data))


def test_an_answer_that_keeps_its_size_takes_two_calls() -> None:
    """The size is asked for, then the answer with a tenth more room."""
    kernel = Kernel(repeat(b"x" * 1000))
    assert read_whole(kernel, MIB) == b"x" * 1000
    assert kernel.sizes == [None, 1100]


def test_an_over_estimate_is_no_part_of_the_answer() -> None:
    """kern.file estimates 104960 bytes for 10624: only what was copied out is returned."""
    kernel = Kernel(repeat(b"f" * 10624), surplus=104960 - 10624)
    assert read_whole(kernel, MIB) == b"f" * 10624


def test_a_list_that_grows_past_the_room_is_asked_again() -> None:
    """ENOMEM with a full buffer means too small, again and again, until it fits."""
    kernel = Kernel(iter([b"x" * 1000, b"x" * 1200, b"x" * 2300, b"x" * 2500]))
    assert read_whole(kernel, MIB) == b"x" * 2500
    assert kernel.sizes == [None, 1100, 2200, 4400]


def test_a_list_that_shrinks_gives_what_is_left() -> None:
    """Fewer bytes than estimated are a whole answer; even none."""
    assert read_whole(Kernel(iter([b"x" * 1000, b"x" * 10])), MIB) == b"x" * 10
    assert read_whole(Kernel(iter([b"x" * 1000, b""])), MIB) == b""


def test_an_estimate_of_zero_is_an_empty_answer() -> None:
    """A valid empty list, not an error, and no second call."""
    kernel = Kernel(repeat(b""))
    assert read_whole(kernel, MIB) == b""
    assert kernel.sizes == [None]


def test_a_list_that_always_outgrows_the_buffer_ends_in_enomem() -> None:
    """The number of tries is bounded."""
    kernel = Kernel(b"x" * (10 << 2 * turn) for turn in range(ATTEMPTS + 1))
    with pytest.raises(OSError, match="memory") as caught:
        read_whole(kernel, MIB)
    assert caught.value.errno == errno.ENOMEM
    assert len(kernel.sizes) == ATTEMPTS + 1
    assert kernel.sizes[-1] < 10 << ATTEMPTS + 1


def test_enomem_without_a_full_buffer_is_a_failure() -> None:
    """A kernel that could not wire the buffer says ENOMEM too: asking again would not help."""
    answers = chain([Answer(0, b"", 1000)], repeat(Answer(errno.ENOMEM, b"", 0)))
    calls: list[int | None] = []

    def call(_mib: Sequence[int], size: int | None) -> Answer:
        calls.append(size)
        return next(answers)

    with pytest.raises(OSError, match="memory"):
        read_whole(call, MIB)
    assert calls == [None, 1100]


@pytest.mark.parametrize("number", [errno.EPERM, errno.ESRCH, errno.ENOENT, errno.EINVAL])
@pytest.mark.parametrize("at_once", [True, False])
def test_the_kernels_errno_is_the_errors(number: int, at_once: bool) -> None:
    """Refused at the size or at the answer: OSError has that errno and names the MIB."""
    estimate = Answer(number, b"", 0) if at_once else Answer(0, b"", 8)
    answers = iter([estimate, Answer(number, b"", 0)])
    with pytest.raises(OSError, match="14") as caught:
        read_whole(lambda _mib, _size: next(answers), MIB)
    assert caught.value.errno == number


def test_a_sized_question_is_asked_once_with_that_size() -> None:
    """No estimate: vm.stats answers 64 bits to 8 bytes, and 32 to 4."""
    kernel = Kernel(repeat(b"12345678"))
    assert read_sized(kernel, MIB, 8, keep_partial=False) == b"12345678"
    assert kernel.sizes == [8]


def test_a_longer_answer_than_the_size_is_enomem() -> None:
    """Nobody gets half an answer by accident."""
    with pytest.raises(OSError, match="memory") as caught:
        read_sized(Kernel(repeat(b"x" * 9)), MIB, 8, keep_partial=False)
    assert caught.value.errno == errno.ENOMEM


def test_a_partial_answer_is_kept_on_request() -> None:
    """The argument vector of a process may be longer than ARG_MAX: its beginning is of use."""
    assert read_sized(Kernel(repeat(b"x" * 9)), MIB, 8, keep_partial=True) == b"x" * 8


def test_keeping_a_partial_answer_hides_no_real_failure() -> None:
    """ENOMEM with less than a full buffer stays an error, and so does every other errno."""
    for answer in (Answer(errno.ENOMEM, b"", 0), Answer(errno.EPERM, b"", 8)):
        with pytest.raises(OSError, match="sysctl") as caught:
            read_sized(lambda _mib, _size, answer=answer: answer, MIB, 8, keep_partial=True)
        assert caught.value.errno == answer.error
