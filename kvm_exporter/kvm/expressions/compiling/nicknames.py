"""What are an index's numbers called?  As an enum has it, an array of texts, or the module."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.expressions.compiling import places
from kvm_exporter.kvm.expressions.compiling.evaluating import Evaluation
from kvm_exporter.kvm.expressions.compiling.immediate import texts
from kvm_exporter.kvm.expressions.compiling.kernel import Kernel
from kvm_exporter.kvm.expressions.compiling.labelling import names, spelled
from kvm_exporter.kvm.expressions.compiling.operands import Operand
from kvm_exporter.kvm.expressions.compiling.reads import Reads
from kvm_exporter.kvm.expressions.compiling.spreads import Key, single
from kvm_exporter.kvm.expressions.compiling.surroundings import Frame
from kvm_exporter.kvm.expressions.language.parsing import parse
from kvm_exporter.kvm.expressions.program import Formula
from kvm_exporter.kvm.types.model import Enum, resolve

Wanted = str | tuple[str, ...]
"""As Metric.names."""


def nicknames(kernel: Kernel, wanted: Wanted, keys: Collection[Key]) -> Mapping[Key, str]:
    """What each of the keys is called; one that has no name, or an empty one, by its digits.

    The texts of an array are read now: they are a kernel's constants.  KvmError where this kernel
    has not what should tell them.
    """
    known = {key: str(key) for key in keys}
    numbers = [key for key in keys if isinstance(key, int)]
    told = _told(kernel, wanted, numbers) if wanted and numbers else {}
    given = {key: name for key, name in told.items() if name and key in known}
    for key in known.keys() - given.keys():
        if known[key] in given.values():
            raise KvmError(f"names: one is called {known[key]}, and number {key} has no name")
    return known | given


def _told(kernel: Kernel, wanted: Wanted, numbers: Collection[int]) -> Mapping[int, str | None]:
    if isinstance(wanted, tuple):
        return dict(enumerate(wanted))
    if wanted.startswith("enum "):
        type_ = resolve(kernel.type(wanted))
        if not isinstance(type_, Enum):
            raise KvmError(f"names: this kernel does not tell of {wanted}")
        return names(type_)
    return _read(kernel, wanted, numbers)


def _read(kernel: Kernel, expression: str, numbers: Collection[int]) -> Mapping[int, str | None]:
    reads = Reads()
    found = Evaluation(kernel, reads, Frame(), expression).operands(parse(expression))
    if found.axes:
        raise KvmError(f"names: {expression} is no array of texts")
    formulas = dict(_texts(kernel, reads, found.first, numbers))
    return dict(zip(formulas, texts(kernel, reads, list(formulas.values())), strict=True))


def _texts(
    kernel: Kernel, reads: Reads, array: Operand, numbers: Collection[int]
) -> Iterator[tuple[int, Formula]]:
    count = places.elements(array)
    for number in numbers:
        if count is None or number < count:
            text = single(places.follow(kernel, reads, array, number))
            yield number, spelled(kernel, reads, Frame(), text).first
