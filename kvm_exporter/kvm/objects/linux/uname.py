"""What is the kernel called?  uname(2), or init_uts_ns, which it answers from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kvm_exporter.kvm.objects.model import Uname

if TYPE_CHECKING:  # a running kernel is not read by type
    from kvm_exporter.kvm.target import Target


def from_live() -> Uname:
    """Name and version of the running kernel, in our own UTS namespace."""
    return Uname(*os.uname())


def from_memory(target: Target) -> Uname:
    """That of the first UTS namespace.  Errors: SymbolMissing, TypeMissing, Fault."""
    fields = ("sysname", "nodename", "release", "version", "machine")
    record = target.record("struct uts_namespace", [f"name.{field}[]" for field in fields])
    return Uname(*map(_text, record.at(target.address("init_uts_ns"))))


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "surrogateescape")
