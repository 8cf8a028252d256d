"""What does the file of the running kernel tell?  Its list of symbols, and its types.

kldsym(2) finds a symbol by name, but lists none; and no sysctl tells a C type.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kvm_exporter.kvm.errors import KvmError, TypeMissing
from kvm_exporter.kvm.memory import Symbol
from kvm_exporter.kvm.objects.freebsd.answers import Answers

if TYPE_CHECKING:  # no collector opens the file: they are imported by who does
    from kvm_exporter.kvm.kernelfile import KernelFile
    from kvm_exporter.kvm.source import Source
    from kvm_exporter.kvm.types.origin import Origin


class BootFile:
    """kern.bootfile, opened when it is first needed.  Errors: as KernelFile."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._file: KernelFile | None = None

    @property
    def _opened(self) -> KernelFile:
        from kvm_exporter.kvm.kernelfile import KernelFile  # noqa: PLC0415 - as above

        if self._file is None:
            self._file = KernelFile(self._answers.required_text("kern.bootfile"))
            lies = self._answers.number("kern.relbase_address")
            linked = self._answers.number("kern.base_address")
            self._file.symbols.displacement = 0 if lies is None or linked is None else lies - linked
        return self._file

    def symbols(self) -> Iterator[Symbol]:
        """Every symbol of the kernel; modules' are not in its file."""
        return iter(self._opened.symbols)

    def types(self) -> Origin:
        """The kernel's types.  Errors: TypeMissing, saying why, where there are none."""
        from kvm_exporter.kvm.types.opening import open_types  # noqa: PLC0415 - as above

        try:
            return open_types(self._opened.source, self._opened.symbols.objects)
        except KvmError as e:
            raise TypeMissing(f"a running kernel's types are those of its file: {e}") from e

    def module(self, name: str, path: str) -> Source | None:
        """The file of a module that the kernel has loaded as ``path``; None where it is not there.

        Errors: those of asking for the kernel's own.
        """
        from kvm_exporter.kvm.symbols.kofile import finder  # noqa: PLC0415 - as above

        return finder(self._answers.required_text("kern.bootfile"))(name, path)

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()
