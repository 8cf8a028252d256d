"""Is a running kernel read by name and type, from what it shows, or keeps, or left in a file?"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from forge import btf, cdecl, elf, kcore
from forge.kallsyms import Kind, Sym, vmcoreinfo, write
from forge.kallsyms_kernels import BASES, KINDS, RODATA, symbols
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvm_exporter.kvm.abi import NATIVE, Abi
from kvm_exporter.kvm.errors import AccessDenied, KvmError, SymbolMissing, TypeMissing, Unsupported
from kvm_exporter.kvm.live.kcore import Kcore
from kvm_exporter.kvm.live.procfs import Procfs
from kvm_exporter.kvm.objects.linux import NoMemory
from kvm_exporter.kvm.objects.linux.running import Running
from kvm_exporter.kvm.tally import Tally

TEXT = "struct pair { int first; struct pair *next; }; struct pair pair; int counter;"
MODULE = "struct driver { long speed; };"
ABIS = {(64, "<"): cdecl.AMD64, (32, "<"): cdecl.I386, (64, ">"): cdecl.POWERPC64}
TABLES = 0x10000
BTF, DATA = 0x400000, 0x800000
"""From the kernel's start: its types, and variables."""

COUNTER = 0x12345678
BUILD_ID = bytes(range(20))
MOVED = 0x1200000
"""Bytes between where the kernel lies and where its vmlinux was linked."""


@dataclass(frozen=True)
class Machine:
    """What a running kernel shows: ``root`` is the directory of /proc, /sys and the rest."""

    root: Path
    kind: Kind
    own: Sequence[Sym]
    section: bytes

    @property
    def base(self) -> int:
        return BASES[self.kind.bits]

    @property
    def types(self) -> cdecl.Declarations:
        return cdecl.Declarations(TEXT, ABIS[self.kind.bits, self.kind.endian])

    def put(self, path: str, data: bytes | str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data if isinstance(data, bytes) else data.encode())

    def kallsyms(self, *, shown: bool = True, variables: bool = True) -> None:
        rows = [one for one in self.own if variables or one.letter in "tTA"]
        lines = (f"{one.address * shown:016x} {one.letter} {one.name}\n" for one in rows)
        self.put("proc/kallsyms", "".join(lines))

    def kcore(self, note: bytes | None = None) -> bytes:
        """Its memory: code, tables, types and variables."""
        tables = write(self.kind, self.own, self.base + RODATA, b"decoys")
        told = {"_stext": self.base} | vmcoreinfo(tables)
        text = "".join(f"SYMBOL({name})={at:x}\n" for name, at in told.items()).encode()
        first = struct.pack(self.kind.endian + "I", 7).ljust(self.kind.bits // 8, b"\0")
        counter = struct.pack(self.kind.endian + "I", COUNTER)
        order = self.kind.endian
        return kcore.core(
            [
                (self.base, bytes(4096)),
                (tables.address, tables.data),
                (self.base + BTF, self.section),
                (
                    self.base + DATA,
                    counter.ljust(16, b"\0") + first + struct.pack(self.kind.long, 0),
                ),
            ],
            bits=self.kind.bits,
            order=order,
            note=elf.note(order, b"VMCOREINFO\0", 0, text) if note is None else note,
        )

    def module(self) -> bytes:
        """The types of a module, which continue the kernel's."""
        declared = cdecl.Declarations(MODULE, self.types.abi)
        return btf.Btf(declared, base=btf.Btf(self.types)).data

    def vmlinux(self, *, types: bool = True, build_id: bytes = BUILD_ID) -> bytes:
        """Its file, linked ``MOVED`` bytes lower."""
        machine = {(64, "<"): "amd64", (32, "<"): "i386", (64, ">"): "powerpc64"}
        order = self.kind.endian
        note = elf.Section(elf.note(order, b"GNU\0", 3, build_id), elf.NOTE)
        data = elf.Section(bytes(64), elf.PROGBITS, elf.ALLOC, self.base - MOVED)
        named = [elf.Sym(one.name, one.address - MOVED) for one in self.own if one.letter != "A"]
        return elf.write_elf(
            machine[self.kind.bits, order],
            symbols=named,
            sections={".data": data, ".note.gnu.build-id": note}
            | ({".BTF": elf.Section(self.section)} if types else {}),
        )

    def run(self) -> Running:
        """What open_live makes of it."""
        memory = Kcore(str(self.root / "proc/kcore"))
        return Running(memory, Procfs(str(self.root / "proc")), Tally(), str(self.root))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own cache directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Machine]:
    """A machine that shows everything."""

    def made(kind: Kind = KINDS["x86-64 6.12"]) -> Machine:
        types = btf.Btf(cdecl.Declarations(TEXT, ABIS[kind.bits, kind.endian]))
        base = BASES[kind.bits]
        own = [
            *[one for one in symbols(kind) if one.name != "_end"],
            Sym(base + BTF, "R", "__start_BTF"),
            Sym(base + BTF + len(types.data), "R", "__stop_BTF"),
            Sym(base + DATA, "D", "counter"),
            Sym(base + DATA + 8, "D", "init_task"),
            Sym(base + DATA + 16, "B", "pair"),
            Sym(base + DATA + 0x1000, "B", "_end"),
        ]
        machine = Machine(tmp_path / "root", kind, own, types.data)
        machine.kallsyms()
        machine.put("proc/kcore", machine.kcore())
        machine.put("sys/kernel/notes", elf.note(NATIVE.order, b"GNU\0", 3, BUILD_ID))
        machine.put("sys/kernel/btf/vmlinux", types.data)
        return machine

    return made


FORMS = ["x86-64 6.12", "i386 6.1", "s390x 6.18", "arm64 6.1"]


@pytest.mark.parametrize("name", FORMS)
def test_variables_by_name_and_type(make: Callable[..., Machine], name: str) -> None:
    """Of any word size and byte order, which the kernel's memory tells."""
    machine = make(KINDS[name])
    running = machine.run()
    target = running.target()
    assert target.abi == Abi(machine.kind.endian, machine.kind.bits // 8)
    assert target.integer(target.address("counter"), 4) == COUNTER
    pair = target.variable("pair", "struct pair")
    assert pair.value() == {"first": 7, "next": 0}
    assert pair.size == machine.types.struct("pair").size
    with pytest.raises(SymbolMissing, match="nothing"):
        target.address("nothing")
    running.close()


def test_nothing_is_opened_before_it_is_needed(make: Callable[..., Machine]) -> None:
    """A Target costs no privilege but for the kernel's word size; closing gives all files back."""
    machine = make()
    machine.put("proc/kcore", b"")
    before = os.listdir("/dev/fd")
    running = machine.run()
    assert os.listdir("/dev/fd") == before
    target = running.target()
    assert target.abi == NATIVE
    assert target.types.find("struct pair")
    running.close()
    assert os.listdir("/dev/fd") == before


@pytest.mark.parametrize("name", FORMS)
def test_symbols_where_the_kernel_hides_them(make: Callable[..., Machine], name: str) -> None:
    """All are those in its memory, where it may be read."""
    machine = make(KINDS[name])
    machine.kallsyms(shown=False)
    running = machine.run()
    names = [one.name for one in machine.own if one.name not in ("twice", "thrice")]
    found = running.symbols.lookup(names)
    assert [one and one.value for one in found] == [
        one.address for one in machine.own if one.name in names
    ]
    assert {one.name for one in running.symbols} >= set(names)
    running.close()


def test_types_of_modules(make: Callable[..., Machine]) -> None:
    """What a module's BTF in /sys has continues the kernel's."""
    machine = make()
    machine.put("sys/kernel/btf/driver", machine.module())
    running = machine.run()
    types = running.target().types
    assert [one.name for one in types.find("struct driver").members] == ["speed"]
    with pytest.raises(TypeMissing, match="struct absent"):
        types.find("struct absent")
    running.close()


@pytest.mark.parametrize("shown", [True, False])
def test_types_in_memory(make: Callable[..., Machine], shown: bool) -> None:
    """Where /sys shows none, they lie between two symbols, which may be hidden."""
    machine = make()
    machine.kallsyms(shown=shown)
    (machine.root / "sys/kernel/btf/vmlinux").unlink()
    running = machine.run()
    assert running.target().variable("pair", "struct pair").value() == {"first": 7, "next": 0}
    running.close()


def test_types_of_the_vmlinux(make: Callable[..., Machine]) -> None:
    """Where memory cannot be read either; another build's file is not taken, which is told."""
    machine = make()
    (machine.root / "sys/kernel/btf/vmlinux").unlink()
    (machine.root / "proc/kcore").unlink()
    release = os.uname().release
    running = machine.run()
    with pytest.raises(TypeMissing, match=r"btf/vmlinux.*CONFIG_PROC_KCORE.*DEBUG_INFO_BTF"):
        running.target().types.find("struct pair")
    running.close()
    machine.put(f"boot/vmlinux-{release}", machine.vmlinux(build_id=bytes(20)))
    running = machine.run()
    with pytest.raises(TypeMissing, match="another build"):
        running.target().types.find("struct pair")
    running.close()
    machine.put(f"usr/lib/debug/boot/vmlinux-{release}", machine.vmlinux())
    running = machine.run()
    assert running.target().types.find("struct pair")
    running.close()


@pytest.mark.parametrize("linked", [True, False])
def test_a_kernel_that_lists_functions_only(make: Callable[..., Machine], linked: bool) -> None:
    """Without CONFIG_KALLSYMS_ALL its vmlinux has the variables, if it is installed."""
    full = make()
    machine = replace(full, own=[one for one in full.own if one.letter in "tTA"])
    machine.kallsyms()
    machine.put("proc/kcore", machine.kcore())
    if linked:
        machine.put(f"boot/vmlinux-{os.uname().release}", full.vmlinux())
    running = machine.run()
    code, counter = running.symbols.lookup(["_stext", "counter"])
    assert code is not None
    assert code.value == machine.base
    assert (counter and counter.value) == (machine.base + DATA if linked else None)
    running.close()


def test_without_memory(make: Callable[..., Machine]) -> None:
    """What /proc and /sys show does not take it; what lies in it is refused."""
    machine = make()
    procfs = Procfs(str(machine.root / "proc"))
    running = Running(NoMemory("/dev/null"), procfs, Tally(), str(machine.root))
    target = running.target()
    assert target.address("counter") == machine.base + DATA
    assert target.types.find("struct pair")
    with pytest.raises(Unsupported, match="/dev/null"):
        target.read(target.address("counter"), 4)
    machine.kallsyms(shown=False)
    hidden = Running(NoMemory("/dev/null"), procfs, Tally(), str(machine.root))
    with pytest.raises(AccessDenied, match="opened without the kernel's memory"):
        hidden.symbols.lookup(["counter"])


@pytest.fixture
def hidden(make: Callable[..., Machine]) -> Machine:
    """A machine that has everything in its memory, and shows nothing."""
    machine = make()
    machine.kallsyms(shown=False)
    (machine.root / "sys/kernel/btf/vmlinux").unlink()
    return machine


def survives(machine: Machine) -> None:
    """Whatever is asked of it gives a value or a KvmError."""
    running = machine.run()
    with contextlib.suppress(KvmError):
        found = running.symbols.lookup(["counter", "absent"])
        assert found[1] is None
        running.target().variable("pair", "struct pair").value()
    running.close()


@given(patch=st.binary(min_size=1, max_size=16), at=st.integers(0, 0x8000))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_memory_gives_symbols_or_a_kvm_error(hidden: Machine, patch: bytes, at: int) -> None:
    """Nothing else comes out of a core that is written over."""
    core = (hidden.root / "proc/kcore").read_bytes()
    hidden.put("proc/kcore", core[:at] + patch + core[at + len(patch) :])
    survives(hidden)
    hidden.put("proc/kcore", core)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff" * 500,
        b"SYMBOL(_stext)=0\n",
        b"SYMBOL(_stext)=ffffffffffffffff\nSYMBOL(kallsyms_names)=ffffffffffffffff\n",
        b"SYMBOL(kallsyms_num_syms)=ffffffff81000000\nSYMBOL(kallsyms_names)=ffffffff81000000\n",
    ],
)
def test_any_note_gives_symbols_or_a_kvm_error(hidden: Machine, text: bytes) -> None:
    """Whatever addresses VMCOREINFO tells."""
    hidden.put("proc/kcore", hidden.kcore(elf.note("<", b"VMCOREINFO\0", 0, text)))
    survives(hidden)
