"""Which FreeBSD is this?"""

from __future__ import annotations

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.objects.freebsd.answers import Answers
from kvm_exporter.kvm.objects.model import Uname
from kvm_exporter.kvm.target import Target


def from_live(answers: Answers) -> Uname:
    """The sysctls that uname(3) reads (lib/libc/gen/__xuname.c), in its form."""
    return Uname(
        sysname=answers.required_text("kern.ostype"),
        nodename=answers.required_text("kern.hostname"),
        release=answers.required_text("kern.osrelease"),
        version=_one_line(answers.required_text("kern.version")),
        machine=answers.required_text("hw.machine"),
    )


def from_memory(target: Target, machine: str, hostname: str | None = None) -> Uname:
    """The variables behind those sysctls.

    The host name is prison0's; where that cannot be had, ``hostname``, the dump header's.
    """
    return Uname(
        sysname=_text(target, "ostype"),
        nodename=_hostname(target, hostname),
        release=_text(target, "osrelease"),
        version=_one_line(_text(target, "version")),
        machine=machine,
    )


def _hostname(target: Target, otherwise: str | None) -> str:
    try:
        return _text(target, "prison0", target.offset("struct prison", "pr_hostname"))
    except KvmError:
        target.tally.add("prison0", None)
        if otherwise is None:
            raise
        return otherwise


def _text(target: Target, name: str, offset: int = 0) -> str:
    return target.string(target.address(name) + offset)


def _one_line(version: str) -> str:
    """kern.version has several lines; uname makes newlines and tabs spaces."""
    return version.translate({10: " ", 9: " "}).strip()
