"""How does ``kvm_exporter inspect`` run?  Open the kernel, look, print."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from kvm_exporter.inspection.arguments import parse
from kvm_exporter.inspection.report import as_json, as_text
from kvm_exporter.opening import open_kernel


def inspect(argv: Sequence[str]) -> int:
    """Print what the arguments ask for; 0.  Errors: KvmError, and SystemExit for bad arguments."""
    given = parse(argv)
    written = as_json if given.as_json else as_text
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal may lack a process's letters
        sys.stdout.reconfigure(errors="backslashreplace")
    with open_kernel(given.other) as kvm:
        for piece in written(given.look(kvm)):
            sys.stdout.write(piece)
    return 0
