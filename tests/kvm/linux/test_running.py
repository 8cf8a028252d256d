"""Are the running kernel's symbols those that it shows, or keeps, and is nothing read too early?"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from kvm_exporter.kvm.errors import AccessDenied, KvmError, Unsupported
from kvm_exporter.kvm.live.kallsyms import Kallsyms
from kvm_exporter.kvm.memory import Symbol, Symbols
from kvm_exporter.kvm.objects.linux.running import RunningSymbols

SHOWN = "ffffffff81000000 T _stext\nffffffff82000000 D init_task\n"
HIDDEN = "0000000000000000 T _stext\n0000000000000000 D init_task\n"
KEPT = [Symbol("_stext", 0x81, 5), Symbol("init_task", 0x82, 7)]


class Table:
    """Symbols in memory."""

    def lookup(self, names: Sequence[str]) -> list[Symbol | None]:
        known = {symbol.name: symbol for symbol in KEPT}
        return [known.get(name) for name in names]

    def __iter__(self) -> Iterator[Symbol]:
        return iter(KEPT)


def unreadable() -> Symbols:
    """Memory that may not be read."""
    raise AccessDenied("/proc/kcore: it takes root's CAP_SYS_RAWIO")


@pytest.fixture
def running(forged: Any) -> Callable[..., RunningSymbols]:
    """The symbols of a kernel that lists some text, and finds some symbols in memory."""

    def make(listed: str | None, find: Callable[[], Symbols]) -> RunningSymbols:
        if listed is not None:
            forged.tree.put("kallsyms", listed)
        return RunningSymbols(Kallsyms(forged.procfs), find)

    return make


def test_shown_addresses_are_taken(running: Callable[..., RunningSymbols]) -> None:
    """Memory is not read at all."""
    symbols = running(SHOWN, unreadable)
    expected = [Symbol("_stext", 0xFFFFFFFF81000000, 5), Symbol("init_task", 0xFFFFFFFF82000000, 7)]
    assert symbols.lookup(["_stext", "absent", "init_task"]) == [expected[0], None, expected[1]]
    assert list(symbols) == expected


@pytest.mark.parametrize("listed", [HIDDEN, None])
def test_hidden_addresses_are_those_in_memory(
    running: Callable[..., RunningSymbols], listed: str | None
) -> None:
    """Where the kernel shows none, or lists nothing; they are looked for once."""
    searches = []

    def find() -> Symbols:
        searches.append(1)
        return Table()

    symbols = running(listed, find)
    assert symbols.lookup(["init_task", "absent", "_stext"]) == [KEPT[1], None, KEPT[0]]
    assert symbols.lookup(["init_task"]) == [KEPT[1]]
    assert list(symbols) == KEPT
    assert len(searches) == 1


@pytest.mark.parametrize(
    ("listed", "kind", "told"),
    [(HIDDEN, AccessDenied, "CAP_SYSLOG"), (None, Unsupported, "CONFIG_KALLSYMS")],
)
def test_neither_file_may_be_read(
    running: Callable[..., RunningSymbols], listed: str | None, kind: type[KvmError], told: str
) -> None:
    """The message says what either would take."""
    symbols = running(listed, unreadable)
    with pytest.raises(kind, match=rf"{told}.*CAP_SYS_RAWIO"):
        symbols.lookup(["init_task"])


def test_names_are_listed_without_addresses(running: Callable[..., RunningSymbols]) -> None:
    """That is all that the kernel shows of them; without a list there is an error."""
    assert [(s.name, s.value) for s in running(HIDDEN, unreadable)] == [
        ("_stext", 0),
        ("init_task", 0),
    ]


def test_no_names_at_all(running: Callable[..., RunningSymbols]) -> None:
    """Neither a list nor memory: the error says so."""
    with pytest.raises(Unsupported, match=r"CONFIG_KALLSYMS.*CAP_SYS_RAWIO"):
        list(running(None, unreadable))


@pytest.mark.skipif(sys.platform != "linux", reason="the live Linux kernel")
def test_who_asks_for_no_name_pays_for_none() -> None:
    """A live handle that told the load and its processes imported no reader of memory or types."""
    program = (
        "import sys\n"
        "from kvm_exporter import kvm\n"
        "with kvm.open() as kernel:\n"
        "    kernel.load_average(), list(kernel.processes())\n"
        "rooms = 'types symbols vmcore target segments space elf source debugfile dead'.split()\n"
        "prefixes = tuple(f'kvm_exporter.kvm.{room}' for room in rooms)\n"
        "print([name for name in sys.modules if name.startswith(prefixes)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"
