"""Which number is a constant's name?  The values of all enums of a kernel, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from kvm_exporter.kvm.errors import KvmError, TypeMissing
from kvm_exporter.kvm.objects.spelling import nearest
from kvm_exporter.kvm.types.model import Types

MOST = 1 << 20
"""Constants: many times a kernel's."""


class Enumerators:
    """The constants of the enums in ``types``; read when the first is asked for."""

    def __init__(self, types: Types) -> None:
        self._types = types
        self._values: dict[str, set[int]] | None = None

    def value(self, name: str) -> int | None:
        """The constant's value; None where there is none of that name.

        KvmError where enums differ about it.
        """
        values = self._known().get(name, set())
        if len(values) > 1:
            told = " or ".join(map(str, sorted(values)))
            raise KvmError(f"{name} is {told}: say of which enum, (enum NAME){name}")
        return next(iter(values), None)

    def like(self, name: str) -> Sequence[str]:
        """A few constants that are spelled nearly so, the nearest first."""
        return nearest(name, self._known())

    def _known(self) -> Mapping[str, set[int]]:
        if self._values is None:
            self._values = {}
            with suppress(TypeMissing):  # a kernel without types has no constants either
                self._read(self._values)
        return self._values

    def _read(self, found: dict[str, set[int]]) -> None:
        for enum in self._types.enums():
            for name, value in enum.values:
                found.setdefault(name, set()).add(value)
            if len(found) > MOST:
                break
