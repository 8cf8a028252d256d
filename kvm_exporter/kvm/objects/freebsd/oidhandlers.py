"""What would the handler of a dead FreeBSD's sysctl have answered?  Bytes, by the handler's symbol.

Of handlers that are in none of the tables nothing is known, and their sysctls have no value.
"""

from __future__ import annotations

from collections.abc import Mapping

from kvm_exporter.kvm.objects.freebsd.oidgeneric import GENERIC
from kvm_exporter.kvm.objects.freebsd.oidkernel import Answer, Kernel
from kvm_exporter.kvm.objects.freebsd.oidspecial import SPECIAL
from kvm_exporter.kvm.objects.freebsd.oidtree import Oid
from kvm_exporter.kvm.objects.freebsd.oidzones import ZONES

HANDLERS: Mapping[str, Answer] = {**GENERIC, **ZONES, **SPECIAL}
"""By symbol."""


class Handlers:
    """The handlers of ``kernel``."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        found = kernel.target.symbols.lookup(tuple(HANDLERS))
        rows = zip(found, HANDLERS.values(), strict=True)
        self._answers = {symbol.value: answer for symbol, answer in rows if symbol}

    def knows(self, oid: Oid) -> bool:
        """Whether the handler is in a table."""
        return oid.handler in self._answers

    def answer(self, oid: Oid) -> bytes:
        """The bytes that sysctl(3) would give.

        Errors: KvmError where what the handler reads is not there.
        """
        return self._answers[oid.handler](self._kernel, oid)
