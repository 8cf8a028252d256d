"""When is a module compiled?"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import pytest
from fakes.counting import opened
from forge.counting import PAGE, Counting

from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.expressions.plan import Plan
from kvm_exporter.kvm.expressions.running.budgets import Budget
from kvm_exporter.kvm.expressions.wanted import Metric, Module
from kvm_exporter.kvm.objects.freebsd.copies import FreeBSDCopies


class Changing(FreeBSDCopies):
    """Copies of a kernel whose generation is what the test says, or an error."""

    says: Callable[[], Hashable] = staticmethod(lambda: 0)

    def generation(self) -> Hashable:
        return self.says()


@pytest.fixture
def kernel() -> Counting:
    """One with a variable that may move."""
    kernel = Counting("amd64")
    kernel.variable("int here", 5)
    kernel.variable("int *there", 0)
    return kernel


def plan(kernel: Counting, *expressions: str) -> tuple[Plan, Changing]:
    """Of metrics with these expressions."""
    target = opened(kernel)
    copies = Changing(target, PAGE)
    module = Module([Metric(one, (one,)) for one in expressions], [])
    return Plan(target, copies, module), copies


def test_it_is_compiled_once(kernel: Counting) -> None:
    """At the first question, whichever that is; not before, and not again."""
    asked, _ = plan(kernel, "here", "nowhere")
    assert asked.compilations == 0
    for _ in range(3):
        assert asked.collect(Budget()).samples == [[((), 5)], []]
        assert asked.labels == ((), ())
        assert [one.metric for one in asked.missing] == ["nowhere"]
    assert asked.compilations == 1
    other, _ = plan(kernel, "here")
    assert other.missing == ()
    assert other.compilations == 1


def test_it_is_compiled_again_when_the_kernel_has_changed(kernel: Counting) -> None:
    """Its module list, say: another generation is another kernel."""
    asked, copies = plan(kernel, "here")
    asked.collect(Budget())
    copies.says = lambda: "loaded"
    assert asked.collect(Budget()).samples == [[((), 5)]]
    assert asked.compilations == 2
    asked.collect(Budget())
    assert asked.compilations == 2


def test_the_kernel_changes_while_it_is_read(kernel: Counting) -> None:
    """What was read is not believed: all is compiled and read again, once."""
    asked, copies = plan(kernel, "here")
    generations = iter(["before", "after", "later", "later"])
    copies.says = lambda: next(generations)
    assert asked.collect(Budget()).samples == [[((), 5)]]
    assert asked.compilations == 2
    assert list(generations) == ["later", "later"]


def test_a_kernel_that_never_rests(kernel: Counting) -> None:
    """It is collected all the same."""
    asked, copies = plan(kernel, "here")
    count = iter(range(1000))
    copies.says = lambda: next(count)
    assert asked.collect(Budget()).samples == [[((), 5)]]
    assert asked.compilations == 2


def test_an_error_is_not_for_ever(kernel: Counting) -> None:
    """What could not be compiled is tried anew the next time."""
    asked, copies = plan(kernel, "here")

    def fail() -> Hashable:
        raise FormatError("the module list is damaged")

    copies.says = fail
    with pytest.raises(KvmError, match="damaged"):
        asked.collect(Budget())
    with pytest.raises(KvmError, match="damaged"):
        assert asked.labels
    del copies.says
    assert asked.collect(Budget()).samples == [[((), 5)]]
