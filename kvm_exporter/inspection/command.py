"""How do ``kvm_exporter inspect`` and its kin run?  Open the kernel, look, print."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from kvm_exporter.inspection import arguments, questions
from kvm_exporter.inspection.pointing import pointed
from kvm_exporter.inspection.report import as_json, as_text
from kvm_exporter.kvm import KvmError
from kvm_exporter.kvm.expressions.language.syntax import ExpressionError
from kvm_exporter.opening import open_kernel


def look(command: str, argv: Sequence[str]) -> int:
    """Print what the arguments of a command ask for; 0.

    Errors: KvmError, and SystemExit for bad arguments.
    """
    own = command == "inspect"
    given = arguments.parse(argv) if own else questions.parse(command, argv)
    written = as_json if given.as_json else as_text
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal may lack a process's letters
        sys.stdout.reconfigure(errors="backslashreplace")
    with open_kernel(given.other) as kvm:
        try:
            for piece in written(given.look(kvm)):
                sys.stdout.write(piece)
        except ExpressionError as e:
            raise KvmError(pointed(e)) from e
    return 0
