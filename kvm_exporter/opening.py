"""Which kernel do the arguments mean, and what does a person see while it is being opened?"""

from __future__ import annotations

import os
import sys

from kvm_exporter import kvm as kernel
from kvm_exporter.arguments import OtherKernel
from kvm_exporter.kvm import DumpOptions, Kvm

BAR = 40
"""Characters of a whole progress bar."""


def open_kernel(other: OtherKernel) -> Kvm:
    """The kernel that ``other`` says.  Errors: as kvm.open()."""
    if other == OtherKernel():
        return kernel.open()
    watched = sys.stderr is not None and sys.stderr.isatty()
    bar = ProgressBar(", ".join(map(os.path.basename, other.cores))) if watched else None
    options = DumpOptions(private_key=other.private_key, progress=bar)
    try:
        return kernel.open(other.kernel, _cores(other), dump_options=options)
    finally:
        if bar:
            bar.clear()


def _cores(other: OtherKernel) -> str | tuple[str, ...]:
    return other.cores if len(other.cores) > 1 else other.cores[0]


class Opener:
    """Opens a kernel at once, gives it to the first who calls, and opens it anew for the others.

    A dead kernel's types are read at once, too: it can take longer than collectors have.
    """

    def __init__(self, other: OtherKernel) -> None:
        self._other = other
        opened = open_kernel(other)
        self.live = opened.live
        if not self.live:
            opened.facts()
        self._ready = [opened]

    def __call__(self) -> Kvm:
        return self._ready.pop() if self._ready else open_kernel(self._other)


class ProgressBar:
    """One line on standard error while bytes are done, of all that there are; then none.

    Types can be indexed long after the kernel was opened, so it takes itself away at the end.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._drawn = -1

    def __call__(self, done: int, total: int) -> None:
        """Draw it where a per cent more is done."""
        share = done * 100 // total if total > 0 else 100
        if share >= 100:
            self.clear()
        elif share != self._drawn:
            bar = "#" * (share * BAR // 100)
            sys.stderr.write(f"\rindexing {self._name} [{bar:<{BAR}}] {share:3}%")
            sys.stderr.flush()
            self._drawn = share

    def clear(self) -> None:
        """Take the line away, if there is one."""
        if self._drawn >= 0:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
            self._drawn = -1
