"""What is the kernel called?  uname(2)."""

from __future__ import annotations

import os

from kvm_exporter.kvm.objects.model import Uname


def from_live() -> Uname:
    """Name and version of the running kernel, in our own UTS namespace."""
    return Uname(*os.uname())
