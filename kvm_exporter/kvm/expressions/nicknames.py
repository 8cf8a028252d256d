"""What are an index's numbers called?  As an enum has it, an array of texts, or the module."""

from __future__ import annotations

from functools import cached_property

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.expressions import places
from kvm_exporter.kvm.expressions.evaluating import Evaluation
from kvm_exporter.kvm.expressions.kernel import Kernel
from kvm_exporter.kvm.expressions.labelling import names, spelled
from kvm_exporter.kvm.expressions.operands import Operand
from kvm_exporter.kvm.expressions.parsing import parse
from kvm_exporter.kvm.expressions.program import Constant, Formula
from kvm_exporter.kvm.expressions.reads import Reads
from kvm_exporter.kvm.expressions.spreads import Key, single
from kvm_exporter.kvm.expressions.surroundings import Frame
from kvm_exporter.kvm.types.model import Enum, resolve


class Nicknames:
    """The labels of an index; numbers that ``wanted`` has no name for go by their digits.

    ``wanted`` is as Metric.names.
    """

    def __init__(
        self, kernel: Kernel, reads: Reads, frame: Frame, wanted: str | tuple[str, ...]
    ) -> None:
        self._kernel = kernel
        self._reads = reads
        self._frame = frame
        self._wanted = wanted

    def of(self, key: Key) -> Formula:
        """The label of a key.  KvmError where this kernel has not what tells them."""
        if isinstance(key, str) or not self._wanted:
            return Constant(str(key))
        if isinstance(self._wanted, tuple):
            texts = self._wanted
            return Constant(texts[key] if key < len(texts) else str(key))
        if self._enum is not None:
            return Constant(self._enum.get(key, str(key)))
        return self._text(key)

    @cached_property
    def _enum(self) -> dict[int, str] | None:
        if isinstance(self._wanted, str) and self._wanted.startswith("enum "):
            type_ = resolve(self._kernel.type(self._wanted))
            if isinstance(type_, Enum):
                return dict(names(type_))
        return None

    @cached_property
    def _texts(self) -> Operand:
        expression = str(self._wanted)
        found = Evaluation(self._kernel, self._reads, self._frame, expression)
        array = found.operands(parse(expression))
        if array.axes:
            raise KvmError(f"{expression}: names are one array of texts")
        return array.first

    def _text(self, key: int) -> Formula:
        count = places.elements(self._texts)
        if count is not None and key >= count:
            return Constant(str(key))
        text = places.follow(self._kernel, self._reads, self._texts, key)
        return spelled(self._kernel, self._reads, self._frame, single(text)).first
