"""kvm(3), the kernel data access library, in Python: ``kvm.open()`` and the Kvm it gives."""

from kvm_exporter.kvm.dump import DumpOptions
from kvm_exporter.kvm.errors import (
    AccessDenied,
    Fault,
    FormatError,
    KvmError,
    ProcessGone,
    SymbolMissing,
    TypeMissing,
    Unsupported,
)
from kvm_exporter.kvm.handle import Kvm, open  # noqa: A004
from kvm_exporter.kvm.memory import Symbol
from kvm_exporter.kvm.objects.model import ProcOp

__all__ = [
    "AccessDenied",
    "DumpOptions",
    "Fault",
    "FormatError",
    "Kvm",
    "KvmError",
    "ProcOp",
    "ProcessGone",
    "Symbol",
    "SymbolMissing",
    "TypeMissing",
    "Unsupported",
    "open",
]
