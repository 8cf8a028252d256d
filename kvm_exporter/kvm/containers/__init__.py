"""What is a dump wrapped in?  Compression, encryption, a dump device: each gives a Source again.

A wrapping is one file with a constant ``CONTAINER``, and a row of opening.CONTAINERS.  Its probe
claims exactly its own files.
"""

from kvm_exporter.kvm.containers.directory import find_dump, parse_info, read_info
from kvm_exporter.kvm.containers.model import DumpHeader, DumpInfo, Textdump, Unwrapped
from kvm_exporter.kvm.containers.opening import open_container

__all__ = [
    "DumpHeader",
    "DumpInfo",
    "Textdump",
    "Unwrapped",
    "find_dump",
    "open_container",
    "parse_info",
    "read_info",
]
