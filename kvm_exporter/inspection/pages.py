"""Which pages does a dump hold, and where are they mapped?  ``inspect pages``."""

from __future__ import annotations

from collections.abc import Iterator

from kvm_exporter.inspection.report import Column, Report, Row, Table
from kvm_exporter.kvm import Kvm

COLUMNS = (
    Column("physical", 18, "address"),
    Column("kernel", 18, "address"),
    Column("direct_map", 18, "address"),
    Column("protection", 10),
    Column("offset", 14, "address"),
    Column("length", 9, "number"),
)
PROTECTION = ((1, "r"), (2, "w"), (4, "x"))
"""VM_PROT_* of sys/vm/vm.h."""


def pages(kvm: Kvm) -> Report:
    """A row a page or superpage (kvm_walk_pages(3)).  Unsupported of a running kernel."""
    return Table(COLUMNS, _rows(kvm))


def _rows(kvm: Kvm) -> Iterator[Row]:
    for page in kvm.pages():
        yield (
            page.physical,
            page.kernel_address,
            page.direct_address,
            "".join(letter if page.protection & bit else "-" for bit, letter in PROTECTION),
            page.offset,
            page.length,
        )
