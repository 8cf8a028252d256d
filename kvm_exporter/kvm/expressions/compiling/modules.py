"""What becomes of a module in a kernel?  Programs, and what this kernel does not have of it.

1. All metrics outside of lists are one program, each list is one; but of a list that every network
   stack has for itself, each is one.
2. Metrics are compiled one by one: what is wrong with one costs no other.  A list without its
   elements, labels or condition is missing as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kvm_exporter.kvm.errors import AccessDenied, KvmError
from kvm_exporter.kvm.expressions.compiling.drafts import Draft
from kvm_exporter.kvm.expressions.compiling.evaluating import Evaluation
from kvm_exporter.kvm.expressions.compiling.kernel import Kernel
from kvm_exporter.kvm.expressions.compiling.labelling import label
from kvm_exporter.kvm.expressions.compiling.listing import listed
from kvm_exporter.kvm.expressions.compiling.series import Writer
from kvm_exporter.kvm.expressions.compiling.surroundings import ALL, HOST, Frame
from kvm_exporter.kvm.expressions.language.parsing import parse
from kvm_exporter.kvm.expressions.program import Compiled, Formula
from kvm_exporter.kvm.expressions.wanted import List, Metric, Missing, Module
from kvm_exporter.kvm.objects.copies import Copies
from kvm_exporter.kvm.target import Target

EACH = "each"

MOST_SERIES = 1 << 17
"""Of a module: more than anybody graphs, and than a collection has the time for."""


def compile_module(target: Target, copies: Copies, module: Module) -> Compiled:
    """A module's metrics and lists as programs for this kernel.

    What the kernel does not have is among ``missing``, with the reason.  Errors: AccessDenied where
    its memory may not be read, which is no fault of a metric.
    """
    return _Compilation(Kernel(target, copies, module.types)).compiled(module)


class _Compilation:
    """One module, while it is compiled."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._labels: list[tuple[str, ...]] = []
        self._missing: list[Missing] = []
        self._series = 0

    def compiled(self, module: Module) -> Compiled:
        """All of it."""
        plain = Draft(Frame())
        for metric in module.metrics:
            self._write(metric, [plain])
        lists = [draft.list_program(one.name) for one in module.lists for draft in self._list(one)]
        return Compiled(plain.program(), tuple(lists), tuple(self._labels), tuple(self._missing))

    def _write(self, metric: Metric, drafts: Sequence[Draft]) -> None:
        """A metric's series into each draft, or why it is missing."""
        number = len(self._labels)
        if self._series > MOST_SERIES:
            self._labels.append(())
            self._miss(metric.name, f"the module has more than {MOST_SERIES} series")
            return
        labels: tuple[str, ...] = ()
        reasons: list[str] = []
        self._kernel.forget_unknown()
        for draft in drafts:
            before = len(draft.reads)
            try:
                writer = Writer(self._kernel, draft.reads, self._frame(metric, draft), draft.around)
                written = writer.written(metric, number)
            except AccessDenied:
                raise
            except KvmError as e:
                draft.reads.forget(before)
                reasons.append(str(e))
            else:
                labels = written.labels
                draft.series += written.series
                self._series += len(written.series)
        self._labels.append(labels)
        if len(reasons) == len(drafts):
            self._miss(metric.name, reasons[0])

    def _miss(self, name: str, reason: str) -> None:
        self._missing.append(Missing(name, reason + self._kernel.hints()))

    def _frame(self, metric: Metric, draft: Draft) -> Frame:
        """In a list, the network stack is the list's."""
        each = metric.cpu == EACH
        if draft.walks:
            return replace(draft.frame, each=each)
        return replace(self._of_stack(metric.vnet), each=each)

    def _of_stack(self, vnet: str) -> Frame:
        """KvmError for a jail that has no network stack, even if nothing of one is wanted."""
        if vnet not in (HOST, ALL):
            self._kernel.stacks(vnet)
        return Frame(stack=vnet, jails=vnet == ALL)

    def _list(self, wanted: List) -> Sequence[Draft]:
        """The drafts of a list (rule 1), with all of its metrics; none where it is missing."""
        self._kernel.forget_unknown()
        try:
            drafts = self._drafts(wanted)
        except AccessDenied:
            raise
        except KvmError as e:
            self._miss(wanted.name, str(e))
            self._labels += [()] * len(wanted.metrics)
            return ()
        for metric in wanted.metrics:
            self._write(metric, drafts)
        return [draft for draft in drafts if draft.series]

    def _drafts(self, wanted: List) -> Sequence[Draft]:
        frame = self._of_stack(wanted.vnet)
        if wanted.vnet != ALL:
            return [self._begun(wanted, frame)]
        host = replace(frame, stack=HOST)
        if not listed(self._kernel, host, wanted.steps).jails:
            return [self._begun(wanted, host)]
        stacks = self._kernel.stacks(ALL)
        return [self._begun(wanted, replace(frame, stack=vnet)) for vnet in stacks]

    def _begun(self, wanted: List, frame: Frame) -> Draft:
        """With what all metrics of a list have in common."""
        found = listed(self._kernel, frame, wanted.steps)
        draft = Draft(found.frame, found.walks)
        draft.around = {
            name: label(self._kernel, draft.reads, draft.frame, one)
            for name, one in wanted.labels.items()
        }
        draft.where = self._where(wanted.where, draft) if wanted.where else None
        return draft

    def _where(self, where: str, draft: Draft) -> Formula:
        evaluation = Evaluation(self._kernel, draft.reads, draft.frame, where)
        return evaluation.truth(parse(where))
