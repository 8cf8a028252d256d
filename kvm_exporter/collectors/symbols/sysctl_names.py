"""What are sysctls called as metrics?  As prometheus_sysctl_exporter(8) calls them.

Rules 1 to 4 are those of usr.sbin/prometheus_sysctl_exporter/prometheus_sysctl_exporter.c:

1. ``sysctl`` and the parts of the name, joined by ``_``; what is no letter or digit becomes ``_``.
2. A part with a label is no part of the name: the label's value is the part (dev.cpu.0.freq is
   sysctl_dev_cpu_freq{device_index="0"}).
3. Temperatures end in _celsius, a struct timeval in _seconds.  Of a load average the one minute is
   what counts.
4. What is described as "(LEGACY)" is another's alias, and left out.

Beyond it:

5. An array has a sample for each element, with a label ``index``; a struct's members continue the
   name (sysctl_vm_vmtotal_t_free).  Texts are no samples.
6. A label that no label can be called, or that a name has twice, is made to fit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from kvm_exporter.kvm.objects.sysctls import Sysctl, Value

NO_NAME = re.compile(r"[^a-zA-Z0-9]")
NO_LABEL = re.compile(r"[^a-zA-Z0-9_]")
LEGACY = "(LEGACY)"
TEMPERATURE, TIME, LOAD = "IK", "S,timeval", "S,loadavg"
"""Formats (sysctl(9)); a temperature's goes on with a digit."""

INDEX = "index"


class Named(NamedTuple):
    """A sysctl as a metric: its name, and its labels with their values."""

    metric: str
    labels: tuple[str, ...]
    values: tuple[str, ...]

    def member(self, path: str) -> Named:
        """A struct's member (rule 5)."""
        return self._replace(metric=f"{self.metric}_{NO_NAME.sub('_', path)}")

    def element(self, number: int) -> Named:
        """An array's element (rule 5)."""
        label = _free(INDEX, self.labels)
        return self._replace(labels=(*self.labels, label), values=(*self.values, str(number)))


def named(sysctl: Sysctl) -> Named | None:
    """What a sysctl is called; None for one that is not to be had (rule 4)."""
    if LEGACY in sysctl.description:
        return None
    metric = "sysctl"
    labels: list[str] = []
    values: list[str] = []
    for part, label in zip(sysctl.parts, sysctl.labels, strict=True):
        if label:
            labels.append(_free(_fitting(label), labels))
            values.append(part)
        else:
            metric += f"_{NO_NAME.sub('_', part)}"
    return Named(metric + suffix(sysctl.format), tuple(labels), tuple(values))


def suffix(form: str) -> str:
    """What a format adds to the name (rule 3)."""
    if form.startswith(TEMPERATURE):
        return "_celsius"
    return "_seconds" if form == TIME else ""


def samples(one: Named, form: str, value: Value) -> Iterator[tuple[Named, float]]:
    """The numbers of a value, each with what it is called."""
    if isinstance(value, int | float):
        yield one, value
    elif form == LOAD and isinstance(value, tuple):
        yield from samples(one, "", value[0])
    elif isinstance(value, Mapping):
        for member, inner in value.items():
            yield from samples(one.member(member), "", inner)
    elif isinstance(value, tuple):
        for number, inner in enumerate(value):
            yield from samples(one.element(number), "", inner)


def pattern(sysctl: Sysctl) -> str:
    """The sysctls that a metric is made of: ``dev.cpu.*.freq``."""
    parts = zip(sysctl.parts, sysctl.labels, strict=True)
    return ".".join("*" if label else part for part, label in parts)


def _fitting(label: str) -> str:
    name = NO_LABEL.sub("_", label)
    return f"label_{name}" if name[:1].isdigit() or name.startswith("__") else name


def _free(label: str, taken: Sequence[str]) -> str:
    name, number = label, 2
    while name in taken:
        name, number = f"{label}{number}", number + 1
    return name
