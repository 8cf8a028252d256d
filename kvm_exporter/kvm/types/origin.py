"""Where are a kernel's types from?  What each of the openers (``*opening.py``) gives."""

from __future__ import annotations

from dataclasses import dataclass

from kvm_exporter.kvm.source import Source
from kvm_exporter.kvm.types.model import Types


@dataclass(frozen=True, slots=True)
class Origin:
    """A kernel's types, a phrase for people that says where they are from, and their file.

    ``file`` stays open: the types may read it until the end; it may be the kernel file itself.
    """

    types: Types
    words: str
    file: Source
