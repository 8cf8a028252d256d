"""Are a running kernel's jails read whole, addresses and all?"""

from __future__ import annotations

import struct

import pytest
from forge.sysctl import ForgedSysctl

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.objects.freebsd import jails
from kvm_exporter.kvm.objects.freebsd.answers import Answers
from kvm_exporter.kvm.objects.model import Jail, Process
from kvm_exporter.kvm.tally import Tally


def xprison(  # noqa: PLR0917
    jid: int,
    name: str,
    state: int = 1,
    ip4: int = 0,
    ip6: int = 0,
    version: int = 3,
    order: str = "<",
) -> bytes:
    """A struct xprison with its addresses behind it (sys/sys/jail.h)."""
    head = struct.pack(
        f"{order}iiii1024s256s256sII",
        *(version, jid, state, 4, b"/jail", b"host.example", name.encode(), ip4, ip6),
    )
    return head + b"\x7f\0\0\1" * ip4 + bytes(16) * ip6


def listed(raw: bytes, machine: str = "amd64") -> tuple[Jail, ...]:
    """What is read of security.jail.list."""
    tree = {"hw.machine_arch": machine.encode() + b"\0", "security.jail.list": raw}
    return jails.from_live(Answers(ForgedSysctl(tree), Tally()))


def jail(jid: int, name: str, parent: int = 0) -> Jail:
    """One of those."""
    return Jail(jid, name, "host.example", "/jail", parent)


@pytest.mark.parametrize(("machine", "order"), [("amd64", "<"), ("i386", "<"), ("powerpc64", ">")])
def test_addresses_between_jails_are_skipped(machine: str, order: str) -> None:
    """In order of the numbers; a child is behind its parent's name and a dot."""
    raw = (
        xprison(9, "web.db", ip4=1, ip6=3, order=order)
        + xprison(2, "mail", ip4=2, order=order)
        + xprison(4, "gone", state=2, ip6=1, order=order)
        + xprison(7, "web", order=order)
        + xprison(8, "no.parent", order=order)
    )
    expected = (jail(2, "mail"), jail(7, "web"), jail(8, "no.parent"), jail(9, "web.db", 7))
    assert listed(raw, machine) == expected


def test_no_jail_is_an_empty_list() -> None:
    """As on most machines."""
    assert listed(b"") == ()


@pytest.mark.parametrize("raw", [xprison(1, "a")[:-1], xprison(1, "a", version=2)])
def test_a_list_that_is_damaged_is_an_error(raw: bytes) -> None:
    """Cut within a jail, or of another version."""
    with pytest.raises(FormatError, match=r"security\.jail\.list"):
        listed(raw)


def test_absurd_counts_lead_past_the_end() -> None:
    """What was whole is there, and nothing is allocated."""
    raw = xprison(1, "a")[:-8] + b"\xff" * 8 + xprison(2, "b")
    assert listed(raw) == (jail(1, "a"),)


def test_processes_are_counted_by_jail() -> None:
    """A jail without any has none; the host's belong to nobody."""
    processes = [Process(number, jail=number % 3) for number in range(8)]
    found = jails.counted([jail(1, "a"), jail(5, "b")], processes)
    assert [one.processes for one in found] == [3, 0]
