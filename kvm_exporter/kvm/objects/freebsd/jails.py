"""Which jails are there?  By rising number; the host itself is none.

Live: security.jail.list, struct xprison and behind it the jail's addresses, for each jail below the
caller's own.  In memory: the list allprison (sys/sys/jail.h).
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.objects.freebsd.answers import Answers
from kvm_exporter.kvm.objects.model import Jail, Process
from kvm_exporter.kvm.target import Target

VERSION = 3
"""XPRISON_VERSION."""

XPRISON = "4i1024s256s256s2I"
"""pr_version, pr_id, pr_state, pr_cpusetid; path, host, name; counts of IPv4 and IPv6 addresses."""

ALIVE = 1
"""PRISON_STATE_ALIVE."""

OWN_VNET = 0x10
"""PR_VNET."""

PRISON = "struct prison"
MEMBERS = ("pr_list.tqe_next", "pr_id", "pr_flags", "pr_name[]", "pr_hostname[]", "pr_path[]")

MOST_JAILS = 1_000_000
"""JAIL_MAX."""


def from_live(answers: Answers) -> tuple[Jail, ...]:
    """The jails that live; whether one has a network stack of its own is not told."""
    return _family(_listed(answers))


def from_memory(target: Target) -> tuple[Jail, ...]:
    """The jails that live."""
    return _family(
        Jail(jid, _text(name), _text(hostname), _text(path), vnet=bool(flags & OWN_VNET))
        for _, jid, flags, name, hostname, path in _living(target, MEMBERS)
    )


def network_owners(target: Target) -> dict[int, tuple[int, str]]:
    """Address of a struct vnet → number and name of the living jail whose own it is."""
    rows = _living(target, ("pr_list.tqe_next", "pr_id", "pr_flags", "pr_name[]", "pr_vnet"))
    return {vnet: (jid, _text(name)) for _, jid, flags, name, vnet in rows if flags & OWN_VNET}


def _living(target: Target, members: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    life = "pr_state" if target.has(PRISON, "pr_state") else "pr_uref"  # since 14
    for *row, alive in _rows(target, (*members, life)):
        if alive == ALIVE if life == "pr_state" else alive > 0:
            yield tuple(row)


def networks(target: Target) -> dict[int, int]:
    """Address of a struct vnet → the number of the jail whose own it is."""
    rows = _rows(target, ("pr_list.tqe_next", "pr_id", "pr_flags", "pr_vnet"))
    return {vnet: jid for _, jid, flags, vnet in rows if flags & OWN_VNET}


def counted(jails: Iterable[Jail], processes: Iterable[Process]) -> tuple[Jail, ...]:
    """The jails with the number of processes in each."""
    counts = Counter(process.jail for process in processes)
    return tuple(replace(jail, processes=counts[jail.jid]) for jail in jails)


def _rows(target: Target, members: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    first = target.pointer(target.address("allprison"))
    return islice(target.rows(first, target.record(PRISON, members), "allprison"), MOST_JAILS)


def _listed(answers: Answers) -> Iterator[Jail]:
    raw = answers.required("security.jail.list")
    shape = struct.Struct(answers.abi.order + XPRISON)
    at = 0
    while at < len(raw):
        if len(raw) - at < shape.size:
            raise FormatError(f"sysctl security.jail.list: it ends within a jail, at {at:#x}")
        version, jid, state, _, path, host, name, ip4s, ip6s = shape.unpack_from(raw, at)
        if version != VERSION:
            raise FormatError(f"sysctl security.jail.list: version {version}, not {VERSION}")
        if state == ALIVE:
            yield Jail(jid, _text(name), _text(host), _text(path))
        at += shape.size + 4 * ip4s + 16 * ip6s


def _family(jails: Iterable[Jail]) -> tuple[Jail, ...]:
    """In order, each with its parent: a child's name begins with its parent's and a dot."""
    found = sorted(jails, key=lambda jail: jail.jid)
    numbers = {jail.name: jail.jid for jail in found}
    return tuple(
        replace(jail, parent=numbers.get(jail.name.rpartition(".")[0], 0)) for jail in found
    )


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "surrogateescape")
