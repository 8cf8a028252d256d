"""What is FreeBSD's load average?"""

from __future__ import annotations

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.objects.freebsd.answers import Answers
from kvm_exporter.kvm.objects.model import LoadAverage

AVERAGES = ("ldavg0", "ldavg1", "ldavg2")


def from_live(answers: Answers) -> LoadAverage:
    """vm.loadavg (sys/sys/resource.h struct loadavg, which carries its own scale)."""
    found = answers.required_record("vm.loadavg", "loadavg", (*AVERAGES, "fscale"))
    scale = found["fscale"]
    if scale <= 0:
        raise FormatError(f"sysctl vm.loadavg: a scale (fscale) of {scale}")
    return LoadAverage(*(found[name] / scale for name in AVERAGES))
