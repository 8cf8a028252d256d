"""Are symbols found in /proc/kallsyms as kvm_nlist(3) finds them?"""

from __future__ import annotations

import errno
from typing import Any

import pytest

from kvm_exporter.kvm.errors import AccessDenied, Unsupported
from kvm_exporter.kvm.live.kallsyms import Kallsyms
from kvm_exporter.kvm.live.procfs import Procfs
from kvm_exporter.kvm.memory import Symbol

KALLSYMS = """\
0000000000000000 A fixed_percpu_data
ffffffff81000000 T _stext
ffffffff81000010 t local_text
ffffffff82000000 R rodata
ffffffff82000010 d local_data
ffffffff82000020 D jiffies
ffffffff83000000 B bss
ffffffff81000020 W weak
ffffffff81000030 t twice
ffffffff81000040 t twice
broken
nothex T broken
ffffffffc0001000 t in_module\t[ext4]
ffffffffc0002000 t last\t[bpf]
"""


@pytest.fixture
def symbols(forged: Any) -> Kallsyms:
    """The symbols of a forged kernel."""
    forged.tree.put("kallsyms", KALLSYMS)
    return Kallsyms(forged.procfs)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("fixed_percpu_data", 0, 3),
        ("_stext", 0xFFFFFFFF81000000, 5),
        ("local_text", 0xFFFFFFFF81000010, 4),
        ("rodata", 0xFFFFFFFF82000000, 7),
        ("local_data", 0xFFFFFFFF82000010, 6),
        ("jiffies", 0xFFFFFFFF82000020, 7),
        ("bss", 0xFFFFFFFF83000000, 9),
        ("weak", 0xFFFFFFFF81000020, 5),
        ("in_module", 0xFFFFFFFFC0001000, 4),
    ],
)
def test_a_symbol(symbols: Kallsyms, name: str, value: int, kind: int) -> None:
    """Address and nlist type, also of modules; an address of 0 among others is one."""
    assert symbols.lookup([name]) == [Symbol(name, value, kind)]


def test_order_and_gaps_are_kept(symbols: Kallsyms) -> None:
    """Answers are in the order of the questions; None for what is not there."""
    names = ["last", "absent", "jiffies", "last", ""]
    assert [s and s.value for s in symbols.lookup(names)] == [
        0xFFFFFFFFC0002000,
        None,
        0xFFFFFFFF82000020,
        0xFFFFFFFFC0002000,
        None,
    ]
    assert symbols.lookup([]) == []


def test_one_underscore_may_lead(symbols: Kallsyms) -> None:
    """The exact name comes first; one underscore too many is forgiven, two are not."""
    exact, forgiven, wrong = symbols.lookup(["_stext", "_jiffies", "__jiffies"])
    assert (exact.value, exact.name) == (0xFFFFFFFF81000000, "_stext")
    assert (forgiven.value, forgiven.name) == (0xFFFFFFFF82000020, "_jiffies")
    assert wrong is None
    assert symbols.lookup(["stext"]) == [None]


def test_the_exact_name_wins_over_an_earlier_one(forged: Any) -> None:
    """``_x`` is not taken for ``x`` only because ``x`` comes first."""
    forged.tree.put("kallsyms", "ffffffff81000000 T x\nffffffff81000010 T _x\n")
    assert Kallsyms(forged.procfs).lookup(["_x"])[0].value == 0xFFFFFFFF81000010


def test_of_several_the_first(symbols: Kallsyms) -> None:
    """A name that several files use is that of the lowest line."""
    first, last = symbols.lookup(["twice", "last"])
    assert (first.value, last.value) == (0xFFFFFFFF81000030, 0xFFFFFFFFC0002000)


def test_of_several_the_external_one(forged: Any) -> None:
    """A file's own function is not taken for the kernel's of that name; nor is a module's."""
    lines = ("10 t name", "20 T name", "30 T name", "40 T other", "50 T name\t[ext4]")
    forged.tree.put("kallsyms", "\n".join(lines) + "\n")
    assert Kallsyms(forged.procfs).lookup(["name"]) == [Symbol("name", 0x20, 5)]
    forged.tree.put("kallsyms", "\n".join(lines[:1] + lines[3:]) + "\n")
    assert Kallsyms(forged.procfs).lookup(["name"]) == [Symbol("name", 0x10, 4)]


@pytest.mark.parametrize(
    "name", ["T _stext", "in_module\t[ext4]", "jiffies\n", " jiffies", "T", "_"]
)
def test_what_is_no_name(symbols: Kallsyms, name: str) -> None:
    """Parts of lines are not taken for names."""
    assert symbols.lookup([name]) == [None]


def test_the_file_is_read_once(forged: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs the kernel 100 ms; only another list of modules has it read anew."""
    forged.tree.put("kallsyms", KALLSYMS)
    forged.tree.put("modules", "ext4 1000 1 - Live 0xffffffffc0001000\n")
    symbols = Kallsyms(forged.procfs)
    for used in range(3):
        forged.tree.put("modules", f"ext4 1000 {used} - Live 0xffffffffc0001000\n")
        symbols.lookup(["jiffies", "absent", "in_module"])
    assert forged.procfs.accesses.count("kallsyms") == 1
    forged.tree.put("kallsyms", KALLSYMS.replace("ffffffffc0001000", "ffffffffc0003000"))
    forged.tree.put("modules", "ext4 1000 1 - Live 0xffffffffc0003000\n")
    assert symbols.lookup(["in_module"])[0].value == 0xFFFFFFFFC0003000
    forged.tree.put("kallsyms", KALLSYMS + "ffffffffc0009000 t later\t[xfs]\n")
    forged.tree.put("modules", "xfs 1000 1 - Live 0xffffffffc0009000\n")
    assert symbols.lookup(["later"])[0].value == 0xFFFFFFFFC0009000


HIDDEN = "0000000000000000 T _stext\n0000000000000000 D init_task\n"


def test_hidden_addresses_are_refused(forged: Any) -> None:
    """Zeros everywhere are no addresses; a missing name is missing all the same."""
    forged.tree.put("kallsyms", HIDDEN)
    symbols = Kallsyms(forged.procfs)
    with pytest.raises(AccessDenied, match=r"CAP_SYSLOG.*kernel\.kptr_restrict"):
        symbols.lookup(["init_task"])
    assert symbols.lookup(["absent"]) == [None]
    assert symbols.lookup([]) == []
    assert not symbols.shown


def test_hidden_variables_are_refused(forged: Any) -> None:
    """Where only functions are listed, whether there is a variable of that name is hidden, too."""
    forged.tree.put("kallsyms", HIDDEN.splitlines(keepends=True)[0])
    symbols = Kallsyms(forged.procfs)
    with pytest.raises(AccessDenied, match="CAP_SYSLOG"):
        symbols.lookup(["absent"])
    assert symbols.lookup([]) == []


def test_no_file_and_no_permission(forged: Any) -> None:
    """Each says what it is."""
    with pytest.raises(Unsupported, match="CONFIG_KALLSYMS"):
        Kallsyms(forged.procfs).lookup(["x"])

    class Refusing(Procfs):
        def lines(self, name: str) -> Any:
            raise PermissionError(errno.EPERM, "Operation not permitted")

    with pytest.raises(AccessDenied, match="it takes root"):
        Kallsyms(Refusing()).lookup(["x"])


def test_the_running_kernels() -> None:
    """Where this machine shows addresses they are the file's own; where not, that is said.

    Of several of one name it is the kernel's first with a capital letter, else its first.
    """
    try:
        with open("/proc/kallsyms", encoding="utf-8", errors="surrogateescape") as stream:
            rows = [line.split() for line in stream]
    except FileNotFoundError:
        with pytest.raises(Unsupported):
            Kallsyms(Procfs()).lookup(["_stext"])
        return
    expected: dict[str, int] = {}
    rows.sort(key=lambda row: (len(row) > 3, row[1].islower()))
    for address, _, name, *_ in rows:
        expected.setdefault(name, int(address, 16))
    if not any(expected.values()):
        with pytest.raises(AccessDenied):
            Kallsyms(Procfs()).lookup(["_stext"])
        return
    names = list(expected)[:: max(1, len(expected) // 200)]
    found = Kallsyms(Procfs()).lookup(names)
    assert [symbol and symbol.value for symbol in found] == [expected[name] for name in names]
