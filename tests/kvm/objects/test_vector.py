"""Is a block of C strings cut where the program cut it?"""

from __future__ import annotations

import os

import pytest

from kvm_exporter.kvm.objects.vector import vector


@pytest.mark.parametrize(
    ("raw", "strings"),
    [
        (b"", ()),
        (b"\0", ("",)),
        (b"init\0", ("init",)),
        (b"a\0\0b\0", ("a", "", "b")),
        (b"a\0\0", ("a", "")),
        (b"torn\0off", ("torn", "off")),
        (b"caf\xe9\0\xc3\xa9\0", ("caf\udce9", "é")),
    ],
)
def test_strings_end_at_their_nul(raw: bytes, strings: tuple[str, ...]) -> None:
    """Empty strings count, the last NUL makes no further one, and bytes can be had back."""
    assert vector(raw) == strings
    assert [os.fsencode(text) for text in strings] == list(raw.removesuffix(b"\0").split(b"\0"))[
        : len(strings)
    ]
