"""What does a C type look like in this kernel?  ``inspect type NAME``."""

from __future__ import annotations

from kvm_exporter.inspection.report import Report, Text
from kvm_exporter.kvm import Kvm
from kvm_exporter.kvm.types.declare import declare


def type_(kvm: Kvm, name: str) -> Report:
    """A declaration with the offset and size of each member.  Errors: TypeMissing."""
    text = declare(kvm.target.types.find(name))
    return Text(text.splitlines(), {"name": name, "declaration": text})
