"""Is a kernel's BTF found in its memory, where no symbol says where?"""

from __future__ import annotations

import struct

import pytest
from fakes.regions import Regions

from kvm_exporter.kvm.errors import TypeMissing
from kvm_exporter.kvm.types.btf_search import find_btf

END = 0xFFFF_FFFF_8200_0000
FAR = END + (1 << 25)
WHOLE = 100_000


def section(order: str = "<", types: int = 60_000, strings: int = WHOLE - 60_024) -> bytes:
    """A header that promises these bytes, and as many."""
    head = struct.pack(f"{order}HBBIIIII", 0xEB9F, 1, 0, 24, 0, types, types, strings)
    return head + bytes(types) + bytes(strings)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("at", [0, 8, 4096 * 700 + 12])
def test_it_is_found_behind_the_code(order: str, at: int) -> None:
    """From its first byte to its last, of either byte order."""
    memory = Regions({END: b"\xcc" * at + section(order) + bytes(5000)})
    assert find_btf(memory, END, FAR) == (END + at, END + at + WHOLE)


def test_what_only_looks_like_it_is_passed_over() -> None:
    """Headers of a module's few types, of parts that overlap, of absurd sizes."""
    decoys = [
        section(types=400, strings=100),
        section()[:16] + struct.pack("<II", 4, 60_000),
        section()[:12] + struct.pack("<III", 8, 8, 2**32 - 1),
        section()[:12] + struct.pack("<III", 60_001, 60_004, 40_000),
    ]
    noise = b"".join(one.ljust(4096, b"\0") for one in decoys)
    memory = Regions({END: noise + section()})
    assert find_btf(memory, END, FAR).start == END + len(noise)


def test_without_it_the_error_says_so() -> None:
    """No BTF at all, and a header at the end of memory."""
    for data in (bytes(10_000), bytes(4000) + section()[:20]):
        with pytest.raises(TypeMissing, match="CONFIG_DEBUG_INFO_BTF"):
            find_btf(Regions({END: data}), END, FAR)
