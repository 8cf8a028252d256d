"""Where is an address's byte?  Through tables to physical memory, and from there to a file.

Of a running kernel there is the device only: the processor walks its tables.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvm_exporter.kvm import Kvm, KvmError
from kvm_exporter.kvm.dump import Dump
from kvm_exporter.kvm.memory import Place
from kvm_exporter.kvm.space import Step


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """The way to a byte, as far as it goes; ``problem`` tells why it ends.

    ``place`` is in what a dump is without its ``layers``, the compression of the whole file for
    one.  ``packed``: of pages that are compressed one by one, the place of the byte's in its file,
    and how many bytes it has there.
    """

    steps: tuple[Step, ...] = ()
    physical: int | None = None
    place: Place | None = None
    packed: tuple[Place, int] | None = None
    layers: tuple[str, ...] = ()
    problem: str | None = None


def whereabouts(kvm: Kvm, address: int) -> Whereabouts:
    """Where the byte at a kernel address is read from."""
    steps: list[Step] = []
    physical = None
    try:
        if isinstance(kvm.dump, Dump):
            for step in kvm.dump.translator.trace(address):
                steps.append(step)  # noqa: PERF402 - those before a Fault count
            physical = kvm.dump.translator.translate(address, 1).address
        place = kvm.target.memory.place(address)
        packed = _packed(kvm, place)
    except KvmError as e:
        return Whereabouts(tuple(steps), physical, problem=str(e))
    layers = tuple(kvm.dump.unwrapped.layers) if kvm.dump else ()
    return Whereabouts(tuple(steps), physical, None if packed else place, packed, layers)


def _packed(kvm: Kvm, place: Place) -> tuple[Place, int] | None:
    store = kvm.dump.image.store if isinstance(kvm.dump, Dump) else None
    if store is None:
        return None
    from kvm_exporter.kvm.formats.kdump.store import PageStore  # noqa: PLC0415 - dump.py says why

    if not isinstance(store, PageStore):
        return None
    name, page = store.packed(place.offset)
    return Place(name, page.offset), page.size
