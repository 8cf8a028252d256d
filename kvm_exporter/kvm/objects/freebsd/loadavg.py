"""What is FreeBSD's load average?"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.objects.freebsd.answers import Answers
from kvm_exporter.kvm.objects.model import LoadAverage
from kvm_exporter.kvm.target import Target

AVERAGES = ("ldavg0", "ldavg1", "ldavg2")


def from_live(answers: Answers) -> LoadAverage:
    """vm.loadavg (sys/sys/resource.h struct loadavg, which carries its own scale)."""
    found = answers.required_record("vm.loadavg", "loadavg", (*AVERAGES, "fscale"))
    return _load([found[name] for name in AVERAGES], found["fscale"])


def from_memory(target: Target) -> LoadAverage:
    """The variable averunnable, whose layout no release has changed: no types are needed."""
    order, long = target.abi.order, "q" if target.abi.pointer_size == 8 else "i"
    shape = struct.Struct(f"{order}3I{'4x' if long == 'q' else ''}{long}")
    *averages, scale = shape.unpack(target.read(target.address("averunnable"), shape.size))
    return _load(averages, scale)


def _load(averages: Sequence[int], scale: int) -> LoadAverage:
    if scale <= 0:
        raise FormatError(f"struct loadavg: a scale (fscale) of {scale}")
    return LoadAverage(*(average / scale for average in averages))
