"""What is a sysctl?  A number (or text) that a kernel gives by name, and what it tells of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

Value = int | float | str | tuple["Value", ...] | Mapping[str, "Value"]
"""A number, a text, an array, or a struct by its members (dotted where they lie in structs)."""


@dataclass(frozen=True, slots=True, eq=False)
class Sysctl:
    """What does not change of a sysctl; the same object as long as its kernel has it.

    ``parts`` of its name (``dev``, ``cpu``, ``0``, ``freq``); ``labels``: for each part what it
    is an instance of (``device_index``), "" for one that is a plain name.  ``kind`` is the C type
    of one value, ``string`` or ``opaque``, "" where the kernel does not tell; ``format`` and
    ``description`` are the kernel's own words (sysctl(9)).
    """

    parts: tuple[str, ...]
    labels: tuple[str, ...]
    kind: str = ""
    format: str = ""
    description: str = ""

    @property
    def name(self) -> str:
        """As sysctl(8) spells it: a dot within a part (a VLAN's interface) is a slash."""
        return ".".join(part.replace(".", "/") for part in self.parts)


class Setting(NamedTuple):
    """A sysctl and its value at one instant.

    Temperatures are degrees Celsius, a struct timeval is seconds, a struct loadavg its three
    averages.
    """

    sysctl: Sysctl
    value: Value


class Sysctls(Protocol):
    """The sysctls of one kernel."""

    def read(
        self, prefixes: Collection[str], without: Collection[str] = (), *, texts: bool = False
    ) -> Iterator[Setting]:
        """Those whose name is one of ``prefixes`` or begins with one and a dot, but for those
        ``without``, that have a value now; strings only with ``texts``.  KvmError."""

    def one(self, name: str) -> Setting | None:
        """The sysctl of just that name; None for none, and for one without a value.  KvmError."""


def below(parts: tuple[str, ...], roots: Iterable[tuple[str, ...]]) -> bool:
    """Whether a name is one of ``roots``, or lies below one."""
    for root in roots:  # noqa: SIM110 - any() takes thrice as long, for each of 7,000 names
        if parts[: len(root)] == root:
            return True
    return False
