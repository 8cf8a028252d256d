"""Which FreeBSD is this?"""

from __future__ import annotations

from kvm_exporter.kvm.objects.freebsd.answers import Answers
from kvm_exporter.kvm.objects.model import Uname


def from_live(answers: Answers) -> Uname:
    """The sysctls that uname(3) reads (lib/libc/gen/__xuname.c), in its form.

    kern.version has several lines; uname makes newlines and tabs spaces.
    """
    version = answers.required_text("kern.version").translate({10: " ", 9: " "})
    return Uname(
        sysname=answers.required_text("kern.ostype"),
        nodename=answers.required_text("kern.hostname"),
        release=answers.required_text("kern.osrelease"),
        version=version.strip(),
        machine=answers.required_text("hw.machine"),
    )
