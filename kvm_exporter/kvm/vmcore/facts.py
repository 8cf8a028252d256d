"""What does VMCOREINFO tell that people want to know of a dump?  (name, value), to be shown."""

from __future__ import annotations

from collections.abc import Iterator

from kvm_exporter.kvm.vmcore.vmcoreinfo import Vmcoreinfo


def facts(info: Vmcoreinfo) -> tuple[tuple[str, str], ...]:
    """The kernel's release and build, and where it lies; what there is of that."""
    return tuple((name, value) for name, value in _told(info) if value is not None)


def _told(info: Vmcoreinfo) -> Iterator[tuple[str, str | None]]:
    size = info.page_size
    yield "kernel release", info.release
    yield "build id", info.build_id
    yield "page size", None if size is None else f"{size >> 10} KiB"
    yield "KASLR offset", _shown(info.kernel_offset)
    yield "phys_base", _shown(info.number("phys_base"))
    yield "memory encryption mask", _shown(info.number("sme_mask") or None)


def _shown(number: int | None) -> str | None:
    return None if number is None else f"{number:#x}"
