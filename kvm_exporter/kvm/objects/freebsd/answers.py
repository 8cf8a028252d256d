"""How does a raw sysctl answer become a number, a text or a record; and what if there is none?"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any, Protocol

from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.live.sysctl import Sysctl
from kvm_exporter.kvm.objects.freebsd.layouts import abi_of, layout
from kvm_exporter.kvm.objects.freebsd.refusals import refused
from kvm_exporter.kvm.tally import Tally

WIDEST = 8
"""Bytes asked for a number: with a buffer of 4, vm.stats.* would cut its 64 bits to 32."""


class Numbers(Protocol):
    """Numbers by the names of their sysctls: of a running kernel, or out of a dead one's memory."""

    def number(self, name: str) -> int | None:
        """An unsigned integer; None, and tallied, where it cannot be had."""


class Answers:
    """One kernel's sysctl answers, decoded for its ABI.

    ``required…`` and ``listed`` raise KvmError where there is no answer; the others give None.
    Every answer that is refused, missing or of the wrong size is counted in the tally.
    """

    def __init__(self, sysctl: Sysctl, tally: Tally) -> None:
        self._sysctl = sysctl
        self._tally = tally
        self.machine = self.required_text("hw.machine_arch")
        self.abi = abi_of(self.machine)

    def number(self, name: str) -> int | None:
        """An unsigned integer of 1 to 8 bytes."""
        try:
            raw = self._sysctl.by_name(name, WIDEST)
        except OSError as e:
            self._tally.add(name, e.errno)
            return None
        if len(raw) not in (1, 2, 4, 8):
            self._tally.add(name, None)
            return None
        return int.from_bytes(raw, "big" if self.abi.order == ">" else "little")

    def required_number(self, name: str) -> int:
        """As ``number``; KvmError where there is none."""
        value = self.number(name)
        if value is None:
            raise KvmError(f"sysctl {name} gave no number")
        return value

    def required(self, name: str, remedy: str = "") -> bytes:
        """The raw answer; KvmError where there is none, with what would help if refused."""
        try:
            return self._sysctl.by_name(name)
        except OSError as e:
            raise self._refused(name, e, remedy) from e

    def required_text(self, name: str) -> str:
        """A C string, undecodable bytes as surrogates; KvmError where there is none."""
        return self.required(name).split(b"\0", 1)[0].decode("utf-8", "surrogateescape")

    def required_record(self, name: str, struct: str, members: Sequence[str]) -> dict[str, int]:
        """Integer members of the struct that ``name`` answers; KvmError where there is none."""
        return self.record(name, self.required(name), struct, members)

    def optional_record(
        self, name: str, struct: str, members: Sequence[str]
    ) -> dict[str, int] | None:
        """As ``required_record``; None where there is none."""
        try:
            raw = self._sysctl.by_name(name)
            return self.record(name, raw, struct, members)
        except OSError as e:
            self._tally.add(name, e.errno)
        except FormatError:
            self._tally.add(name, None)
        return None

    def listed(
        self, name: str, index: tuple[int, ...], struct: str, members: Sequence[str]
    ) -> dict[str, Any] | None:
        """As ``required_record`` for an entry of a list; None where there is none.

        ``index`` is the numbers behind the list's MIB.  The buffer has just the struct's size, by
        which the kernel chooses between layouts: a 32-bit program on a 64-bit kernel gets
        vm.swap_info as i386 has it.
        """
        try:
            mib = self._sysctl.mib(name)
        except OSError as e:
            raise self._refused(name, e) from e
        size = layout(struct, self.machine).size
        try:
            raw = self._sysctl.by_mib((*mib, *index), size, keep_partial=True)
        except OSError as e:
            if e.errno == errno.ENOENT:
                return None
            raise self._refused(name, e) from e
        return self.record(".".join([name, *map(str, index)]), raw, struct, members)

    def record(self, name: str, raw: bytes, struct: str, members: Sequence[str]) -> dict[str, Any]:
        """Members of a struct, int or bytes; FormatError unless ``raw`` has just its size."""
        known = layout(struct, self.machine)
        if len(raw) != known.size:
            raise FormatError(
                f"sysctl {name}: {len(raw)} bytes, but struct {struct} has {known.size} on "
                f"{self.machine}; this kernel's release is not known to this program"
            )
        compiled = known.compile(members)
        return dict(zip(compiled.names, compiled.decoder.unpack(raw), strict=True))

    def _refused(self, name: str, error: OSError, remedy: str = "") -> KvmError:
        self._tally.add(name, error.errno)
        return refused(error, f"sysctl {name}", remedy)
