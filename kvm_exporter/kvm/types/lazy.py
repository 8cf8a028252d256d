"""When are a kernel's types read?  At the first question: who only looks symbols up never waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.types.model import Enum, Type, Types

if TYPE_CHECKING:  # the readers of types are imported by who needs one
    from kvm_exporter.kvm.types.origin import Origin


class LazyTypes:
    """Types (types/model.py) that ``open_types`` gives; its error comes with every question."""

    def __init__(self, open_types: Callable[[], Origin]) -> None:
        self._open = open_types
        self._origin: Origin | None = None
        self._error: KvmError | None = None

    @property
    def origin(self) -> Origin:
        """The types, and where they are from.  Errors: those of ``open_types``."""
        if self._error:
            raise self._error
        if self._origin is None:
            try:
                self._origin = self._open()
            except KvmError as e:
                self._error = e
                raise
        return self._origin

    @property
    def opened(self) -> Types:
        """The types themselves.  Errors: those of ``open_types``."""
        return self.origin.types

    def find(self, name: str) -> Type:
        """As Types.find."""
        return self.opened.find(name)

    def variable(self, name: str) -> Type:
        """As Types.variable."""
        return self.opened.variable(name)

    def names(self) -> Iterator[str]:
        """As Types.names."""
        return self.opened.names()

    def enums(self) -> Iterator[Enum]:
        """As Types.enums."""
        return self.opened.enums()

    def close(self) -> None:
        """Give the file back that the types are read from, if it was opened."""
        if self._origin:
            self._origin.file.close()
