"""Do answers reach people and programs whole?"""

from __future__ import annotations

import io
import json

import pytest

from kvm_exporter.inspection.report import (
    Column,
    Facts,
    Table,
    Text,
    as_json,
    as_text,
    printable,
)
from kvm_exporter.kvm import KvmError

COLUMNS = (
    Column("name", 6),
    Column("size", 5, "number"),
    Column("at", 6, "address"),
    Column("words"),
)


def breaking(*rows):
    """Rows, and then an error."""
    yield from rows
    raise KvmError("its page is missing")


def test_rows_are_aligned():
    """Numbers and addresses are to the right under their heads, and what is unknown is a dash."""
    rows = [("a", 1, 0x10, ("x", "y")), ("b", None, None, None), ("c", 2.5, 0, ())]
    assert list(as_text(Table(COLUMNS, rows))) == [
        "NAME    SIZE     AT WORDS\n",
        "a          1   0x10 x y\n",
        "b          -      - -\n",
        "c       2.50    0x0 -\n",
    ]


def test_json_is_an_array_of_objects():
    """Addresses are hex strings, several words an array, the unknown null."""
    rows = [("a", 1, 2**63, ("x", "y")), ("b", None, None, None)]
    assert json.loads("".join(as_json(Table(COLUMNS, rows)))) == [
        {"name": "a", "size": 1, "at": "0x8000000000000000", "words": ["x", "y"]},
        {"name": "b", "size": None, "at": None, "words": None},
    ]


@pytest.mark.parametrize("rows", [[], iter(())])
def test_no_rows_are_an_answer(rows):
    """A table without rows is its head, and in JSON an empty array."""
    table = Table(COLUMNS[:1], list(rows))
    assert list(as_text(table)) == ["NAME\n"]
    assert json.loads("".join(as_json(table))) == []


@pytest.mark.parametrize("written", [as_text, as_json])
def test_an_error_at_the_start_writes_nothing(written):
    """What cannot be read at all leaves standard output to who wants to parse it."""
    pieces = written(Table(COLUMNS, breaking()))
    with pytest.raises(KvmError, match="missing"):
        next(pieces)


def test_an_error_midway_leaves_json_whole():
    """The rows before it can be parsed, and the error is told all the same."""
    pieces = io.StringIO()
    with pytest.raises(KvmError, match="missing"):
        pieces.writelines(as_json(Table(COLUMNS[:1], breaking(("a",), ("b",)))))
    assert json.loads(pieces.getvalue()) == [{"name": "a"}, {"name": "b"}]


def test_rows_are_written_as_they_come():
    """The second row is not asked for before the first is written."""
    asked = []

    def rows():
        for number in range(3):
            asked.append(number)
            yield (str(number),)

    pieces = as_text(Table(COLUMNS[:1], rows()))
    next(pieces)
    next(pieces)
    assert asked == [0]


def test_facts_and_problems():
    """Facts are lined up; problems follow, one a line, and are an array in JSON."""
    report = Facts([("core", "x"), ("page size", 4096), ("panic", None)], ["not read: y"])
    assert list(as_text(report)) == [
        "core:      x\n",
        "page size: 4096\n",
        "panic:     -\n",
        "not read: y\n",
    ]
    assert json.loads("".join(as_json(report))) == {
        "core": "x",
        "page_size": 4096,
        "panic": None,
        "problems": ["not read: y"],
    }


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b]0;title\a", r"\x1b]0;title\x07"),
        ("a\r\nb", r"a\r\nb"),
        ("\x9b2J", r"\x9b2J"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        (b"\xff\xfe".decode("utf-8", "surrogateescape"), r"\xff\xfe"),
        ("\ud800", r"\ud800"),
        ("naïve 文字", "naïve 文字"),
        ("a\tb", "a\tb"),
    ],
)
def test_nothing_moves_the_cursor(hostile, shown):
    """Escape sequences and bytes that are no text are spelt out; letters of any script stay."""
    assert printable(hostile) == shown
    assert list(as_text(Text([hostile], {}))) == [shown + "\n"]


def test_a_tab_does_not_shift_columns():
    """In a row a tab is spelt out."""
    assert list(as_text(Table(COLUMNS[:1], [("a\tb",)])))[1] == "a\\tb\n"


def test_json_has_no_lone_surrogates():
    """What is no UTF-8 is spelt out, since many readers refuse it."""
    name = b"\xff".decode("utf-8", "surrogateescape")
    text = "".join(as_json(Table(COLUMNS, [(name, 1, 1, (name,))])))
    assert text.isascii()
    assert json.loads(text)[0] == {"name": "\\xff", "size": 1, "at": "0x1", "words": ["\\xff"]}
