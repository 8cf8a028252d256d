"""What of a kernel's texts is shown?"""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvm_exporter.kvm.expressions.running.texts import text


def unescaped(shown: str) -> bytes:
    """What the text was, found out from how it is shown."""
    parts = re.findall(r"\\x([0-9a-f]{2})|(\\\\)|([^\\])", shown)
    return b"".join(
        bytes.fromhex(code) if code else b"\\" if slash else plain.encode()
        for code, slash, plain in parts
    )


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"ada0\0\0secret", "ada0"),
        (b"no end", "no end"),
        (b"\0hidden", ""),
        (b"", ""),
        ("Zürich 東京".encode(), "Zürich 東京"),
        (b"a\nb\x1b[0m\x7f", r"a\x0ab\x1b[0m\x7f"),
        (b"\xff\xfeabc", r"\xff\xfeabc"),
        ("é".encode()[:1], r"\xc3"),
        ("a\u200eb".encode(), r"a\xe2\x80\x8eb"),
        (rb"C:\x41", r"C:\\x41"),
    ],
)
def test_what_is_shown(data: bytes, shown: str) -> None:
    """A text ends at its NUL; what is not printable UTF-8 is escaped, byte by byte."""
    assert text(data) == shown


@given(st.binary())
def test_no_two_texts_look_the_same(data: bytes) -> None:
    """What is shown tells the very bytes, is printable, and is nothing from behind the NUL."""
    shown = text(data)
    assert shown.isprintable()
    assert unescaped(shown) == data.split(b"\0")[0]
