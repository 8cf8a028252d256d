"""Which dump formats are there, and which one is this?

A format is one module with one constant ``FORMAT``; modules without are what formats share.  A
probe claims exactly its own files: a test runs every probe on every forged dump and demands one
claim, so the order never matters.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from importlib import import_module

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.formats.beginnings import describe
from kvm_exporter.kvm.formats.model import (
    Anchor,
    Format,
    Image,
    KernelSymbols,
    Segment,
    Utsname,
)
from kvm_exporter.kvm.source import Source

__all__ = [
    "Anchor",
    "Format",
    "Image",
    "KernelSymbols",
    "Segment",
    "Utsname",
    "formats",
    "open_image",
    "open_images",
]


def formats() -> tuple[Format, ...]:
    """Every format there is, by the names of their modules."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    found = (getattr(import_module(f"{__name__}.{name}"), "FORMAT", None) for name in names)
    return tuple(one for one in found if isinstance(one, Format))


def open_image(source: Source) -> Image:
    """The image in ``source``; a FormatError tells what else it seems to be.

    Raw memory is claimed by its device's name only; rawmem.open_raw takes any file for that.
    """
    return _format(source).open(source)


def open_images(sources: Sequence[Source]) -> Image:
    """The image in ``sources``: one file, or those of a split set in any order.

    Errors: FormatError as open_image, and where the files do not belong together.
    """
    if len(sources) == 1:
        return open_image(sources[0])
    joins = [_join_of(source) for source in sources]
    return joins[0](sources)


def _join_of(source: Source) -> Callable[[Sequence[Source]], Image]:
    found = _format(source)
    if found.join is None:
        raise FormatError(f"{source.name}: a dump of its own ({found.name}): open it alone")
    return found.join


def _format(source: Source) -> Format:
    known = formats()
    claims = [one for one in known if one.probe(source)]
    if len(claims) == 1:
        return claims[0]
    names = ", ".join(one.name for one in claims or known)
    if claims:
        raise FormatError(f"{source.name}: claimed by more than one format: {names}")
    raise FormatError(f"{source.name}: {describe(source)}; formats that can be read: {names}")
