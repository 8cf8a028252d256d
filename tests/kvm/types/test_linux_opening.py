"""Where a Linux kernel's types come from: its memory, /sys/kernel/btf, its vmlinux."""

from __future__ import annotations

import os
import shutil
import stat
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from fakes import shapes
from fakes.sources import Bytes
from forge import btf, cdecl, elf

from kvm_exporter.kvm.errors import AccessDenied, Fault, FormatError, KvmError, TypeMissing
from kvm_exporter.kvm.memory import Symbol
from kvm_exporter.kvm.source import File
from kvm_exporter.kvm.types import btf_kept, btf_modules
from kvm_exporter.kvm.types.btf_kept import kept_index
from kvm_exporter.kvm.types.linux_opening import (
    Stretch,
    open_btf_folder,
    open_linux_types,
    open_memory_btf,
    open_symbols_btf,
)
from kvm_exporter.kvm.types.linux_types import LinuxTypes
from kvm_exporter.kvm.types.model import Composite
from kvm_exporter.kvm.types.origin import Origin
from kvm_exporter.kvm.types.vmlinux_opening import open_vmlinux

TEXT = """
struct list_head { struct list_head *next, *prev; };
struct btf { void *data; unsigned int pad, data_size; char name[56]; };
struct btf_module { int before; struct list_head list; void *module; struct btf *btf; };
struct task { struct task *next; int pid; }; int counter;
"""
ABIS = {"amd64": cdecl.AMD64, "i386": cdecl.I386, "powerpc64": cdecl.POWERPC64}
DECLARED = "struct task { struct task *next; int pid; char comm[16]; };"
TARGETS = {
    "x86_64-linux-gnu": cdecl.AMD64,
    "x86-linux-gnu": cdecl.I386,
    "arm-linux-gnueabihf": cdecl.ARMV7,
    "powerpc64le-linux-gnu": cdecl.POWERPC64LE,
}
BUILD_ID = "0123456789abcdef0123456789abcdef01234567"
START, MODULES = 0x8000_0000, 0x9000_0000

Compiler = Callable[[str, str, str], Path]


class Forged:
    """Memory (kvm/memory.py) with forged bytes in places; ``bytes_read`` of it so far."""

    def __init__(self) -> None:
        self.places: dict[int, bytes] = {}
        self.bytes_read = 0

    def read(self, address: int, length: int) -> bytes:
        for at, data in self.places.items():
            if at <= address < at + len(data):
                self.bytes_read += length
                return data[address - at : address - at + length]
        raise Fault(address, "nothing was forged there")

    def write(self, address: int, data: bytes) -> int:
        raise AssertionError

    def close(self) -> None:
        raise AssertionError


class Symbols:
    """Those that are given (kvm/memory.py)."""

    def __init__(self, **known: int) -> None:
        self.known = known

    def lookup(self, names: Sequence[str]) -> list[Symbol | None]:
        return [Symbol(name, self.known[name]) if name in self.known else None for name in names]

    def __iter__(self) -> Iterator[Symbol]:
        raise AssertionError


class World:
    """A kernel's memory, with its BTF and with ``modules``: the declarations of each."""

    def __init__(self, abi: str = "amd64", modules: Sequence[str] = ()) -> None:
        self.c = cdecl.Declarations(TEXT, ABIS[abi])
        self.forged = btf.Btf(self.c, variables={".data..percpu": {"counter": 0}})
        self.memory = Forged()
        self.memory.places[START] = self.forged.data
        self.stop = START + len(self.forged.data)
        self.heads = [MODULES + 0x10000 * n for n in range(len(modules) + 1)]
        self._put(MODULES, "list_head", {"next": self._after(0)})
        for number, text in enumerate(modules, 1):
            self._module(number, self.split(text).data)

    def split(self, text: str) -> btf.Btf:
        """The types of a module."""
        return btf.Btf(cdecl.Declarations(text, self.c.abi), base=self.forged)

    def _after(self, number: int) -> int:
        """The address of the list's next link."""
        following = (number + 1) % len(self.heads)
        inside = self.c.offset("btf_module", "list") if following else 0
        return self.heads[following] + inside

    def _module(self, number: int, data: bytes) -> None:
        at = self.heads[number]
        links = {"list.next": self._after(number), "btf": at + 0x1000}
        self._put(at, "btf_module", links)
        self._put(at + 0x1000, "btf", {"data": at + 0x2000, "data_size": len(data)})
        self.memory.places[at + 0x2000] = data

    def _put(self, at: int, name: str, values: dict[str, object]) -> None:
        self.memory.places[at] = self.c.pack(name, values)

    @property
    def symbols(self) -> Symbols:
        """As kallsyms has them."""
        return Symbols(__start_BTF=START, __stop_BTF=self.stop, btf_modules=MODULES)

    def open(self, **options: object) -> Origin:
        """The types in memory."""
        return open_symbols_btf(self.memory, self.symbols, **options)

    def right(self, origin: Origin) -> bool:
        """Whether ``struct task`` is TEXT's."""
        found = shapes.ours(origin.types.find("struct task"))
        return found == shapes.forged(self.c.type("struct task"))


def names_of(origin: Origin, struct: str) -> list[str]:
    """A struct's members."""
    found = origin.types.find(struct)
    assert isinstance(found, Composite)
    return [one.name for one in found.members]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own cache directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kvm_exporter"


@pytest.mark.parametrize("abi", list(ABIS))
def test_types_are_read_from_memory(abi: str) -> None:
    """Between the two symbols; what is said of them names the memory and counts them."""
    world = World(abi)
    origin = world.open()
    assert world.right(origin)
    assert shapes.ours(origin.types.variable("counter")) == ("int", 4, True)
    assert origin.words == f"BTF of its memory, {len(origin.types.own)} types"


@pytest.mark.parametrize("abi", list(ABIS))
def test_modules_are_found_in_memory(abi: str) -> None:
    """A name that the kernel lacks is a module's, whose types continue the kernel's."""
    world = World(abi, ["struct one { struct task *owner; };", "struct two { long x; };"])
    origin = world.open()
    assert world.right(origin)
    assert names_of(origin, "struct two") == ["x"]
    (owner,) = origin.types.find("struct one").members
    assert owner.type().target() is origin.types.find("struct task")
    assert {"struct one", "struct two", "struct task"} <= set(origin.types.names())
    with pytest.raises(TypeMissing, match="struct three"):
        origin.types.find("struct three")


def test_modules_are_not_read_before_they_are_needed() -> None:
    """The kernel's own types are found without them, and they are read once."""
    opened = []
    world = World()
    own = world.open().types.own

    def modules() -> Iterator[object]:
        opened.append(1)
        return iter(())

    types = LinuxTypes(own, modules)
    types.find("struct task")
    assert not opened
    for _ in range(3):
        with pytest.raises(TypeMissing):
            types.find("struct nothing")
    assert len(opened) == 1


@pytest.mark.parametrize("damage", ["gone", "cut", "junk", "huge"])
def test_a_damaged_module_costs_its_own_types_only(damage: str) -> None:
    """Its data is not there, ends early, is something else, or is said to be enormous."""
    world = World(modules=["struct one { int x; };", "struct two { long x; };"])
    at = world.heads[1] + 0x2000
    data = world.memory.places.pop(at)
    if damage == "huge":
        values = {"data": at, "data_size": 0xFFFFFFFF}
        world.memory.places[world.heads[1] + 0x1000] = world.c.pack("btf", values)
    elif damage != "gone":
        world.memory.places[at] = data[: len(data) // 2] if damage == "cut" else b"junk" * 50
    origin = world.open()
    assert names_of(origin, "struct two") == ["x"]
    with pytest.raises(TypeMissing):
        origin.types.find("struct one")


@pytest.mark.parametrize("damage", ["circle", "no page", "null"])
def test_a_damaged_list_of_modules_ends(damage: str) -> None:
    """A list that leads back to a module, or nowhere: those before are known."""
    world = World(modules=["struct one { int x; };", "struct two { long x; };"])
    at = world.heads[2]
    inside = world.c.offset("btf_module", "list")
    back = {"circle": world.heads[1] + inside, "no page": 0x1234, "null": 0}[damage]
    values = {"list.next": back, "btf": at + 0x1000}
    world.memory.places[at] = world.c.pack("btf_module", values)
    origin = world.open()
    assert names_of(origin, "struct two") == ["x"]
    with pytest.raises(TypeMissing, match="struct three"):
        origin.types.find("struct three")


def test_modules_have_so_many_bytes_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged list cannot make anyone read the same types over and over."""
    world = World(modules=["struct one { int x; };", "struct two { long x; };"])
    first = world.memory.places[world.heads[1] + 0x2000]
    monkeypatch.setattr(btf_modules, "MOST_BYTES", len(first) + 8)
    origin = world.open()
    assert names_of(origin, "struct one") == ["x"]
    with pytest.raises(TypeMissing, match="struct two"):
        origin.types.find("struct two")


def test_a_kernel_without_module_types_has_its_own() -> None:
    """No symbol of the list, or no struct of it, as before Linux 5.11."""
    world = World()
    for symbols in (
        Symbols(__start_BTF=START, __stop_BTF=world.stop),
        Symbols(__start_BTF=START, __stop_BTF=world.stop, btf_modules=0x1234),
    ):
        origin = open_symbols_btf(world.memory, symbols)
        assert world.right(origin)
        with pytest.raises(TypeMissing, match="struct nothing"):
            origin.types.find("struct nothing")


def image(world: World, btf: bytes) -> Symbols:
    """The kernel's image: code, data with pieces that look like BTF, and ``btf``; its symbols."""
    start = world.forged.data[:24]
    small, order = world.memory.places[START], world.c.abi.order
    huge = start[:16] + struct.pack(order + "2I", 1 << 31, 1 << 31)
    data = b"\xcc" * 4096 + huge + bytes(100) + small + bytes(1 << 20) + btf + bytes(4096)
    world.memory.places = {START: data}
    return Symbols(_etext=START + 4000, _sinittext=START + len(data))


@pytest.mark.parametrize("abi", list(ABIS))
def test_btf_is_found_where_no_symbol_tells(abi: str) -> None:
    """Between the end of the code and the code for the start; what is too small is no kernel's."""
    world = World(abi)
    made = world.forged.records
    made.name("x" * (1 << 16))
    origin = open_linux_types(world.memory, image(world, made.data), build_id=BUILD_ID)
    assert world.right(origin)


def test_btf_is_not_looked_for_outside() -> None:
    """Behind the code for the start there are modules', and copies."""
    world = World()
    world.forged.records.name("x" * (1 << 16))
    symbols = image(world, world.forged.data)
    symbols.known["_sinittext"] = START + (1 << 20)
    with pytest.raises(TypeMissing, match="no BTF is in its memory"):
        open_linux_types(world.memory, symbols)
    symbols.known["_sinittext"] = START
    with pytest.raises(TypeMissing, match="no BTF is in its memory"):
        open_linux_types(world.memory, symbols)


def test_a_vmlinux_is_asked_before_btf_is_looked_for() -> None:
    """32-bit kernels have a vmlinux and no BTF: nothing of their memory is read."""
    world = World()
    symbols = image(world, b"")
    origin = open_linux_types(world.memory, symbols, Bytes(world.forged.data, "vmlinux"))
    assert world.right(origin)
    assert world.memory.bytes_read == 0


@pytest.mark.parametrize("bounds", [(START, START), (START, 0), (START, START + (1 << 40)),
                                    (START, START + 8)])  # fmt: skip
def test_bounds_that_hold_no_btf_are_refused(bounds: tuple[int, int]) -> None:
    """Nothing of that size is read; the message has both."""
    world = World()
    with pytest.raises(FormatError, match=f"{bounds[1]:#x}"):
        open_memory_btf(world.memory, *bounds)
    assert world.memory.bytes_read == 0


def test_btf_whose_pages_lack_is_a_fault() -> None:
    """The address that could not be read is told."""
    world = World()
    whole = world.memory.places[START]
    world.memory.places[START] = whole[:200]
    with pytest.raises(Fault, match=f"{START + 200:#x}"):
        world.open()


def test_a_stretch_of_memory_is_read_only() -> None:
    """It is a Source of just its bytes."""
    world = World()
    stretch = Stretch(world.memory, START, START + 10)
    assert stretch.read(8, 100) == world.forged.data[8:10]
    assert stretch.read(10, 1) == b""
    with pytest.raises(AccessDenied):
        stretch.write(0, b"x")
    stretch.close()


def test_an_index_is_kept_and_little_else_is_read(cache: Path) -> None:
    """With a build id: the second time only the ends of the BTF are read, and nothing is lost."""
    world = World(modules=["struct one { int x; };"])
    world.memory.places[START] += bytes(1 << 20)
    world.stop += 1 << 20
    world.open(build_id=BUILD_ID)
    (path,) = cache.iterdir()
    assert path.name == f"{BUILD_ID}.btf.kvmidx"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = world.memory.bytes_read
    origin = world.open(build_id=BUILD_ID)
    assert world.memory.bytes_read - before < 1 << 14
    assert world.right(origin)
    assert names_of(origin, "struct one") == ["x"]
    assert shapes.ours(origin.types.variable("counter")) == ("int", 4, True)


@pytest.mark.parametrize("build_id", [None, "", "../../evil", "0123", "g" * 40, "a" * 500])
def test_without_a_build_id_nothing_is_kept(cache: Path, build_id: str | None) -> None:
    """What is none, too; the types are the same."""
    world = World()
    assert world.right(world.open(build_id=build_id))
    assert not cache.exists()


def test_a_damaged_index_is_made_anew(cache: Path) -> None:
    """Every byte of it changed, and every length of it cut."""
    world = World()
    world.open(build_id=BUILD_ID)
    (path,) = cache.iterdir()
    good = path.read_bytes()
    for at in (*range(72), *range(72, len(good), 101)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :])
        assert world.right(world.open(build_id=BUILD_ID))
        assert path.read_bytes() == good
        path.write_bytes(good[:at])
        assert world.right(world.open(build_id=BUILD_ID))
        assert path.read_bytes() == good


@pytest.mark.parametrize("change", ["first", "last", "length", "build id"])
def test_an_index_of_another_btf_is_not_taken(cache: Path, change: str) -> None:
    """A kernel whose BTF differs at its ends or in length, or whose build id does."""
    world = World()
    world.open(build_id=BUILD_ID)
    (path,) = cache.iterdir()
    other = btf.Btf(cdecl.Declarations("struct task { char another; };"))
    data = other.data + bytes(len(world.forged.data) - len(other.data))
    if change == "length":
        data += bytes(4)
    build_id = BUILD_ID[::-1] if change == "build id" else BUILD_ID
    if change == "build id":
        shutil.copy(path, cache / f"{build_id}.btf.kvmidx")
    if change == "last":
        data = data[:-1] + b"x"
    found = kept_index(Bytes(data), build_id)
    assert found.section.strings == btf_kept.read_section(data).strings


def test_the_cache_directory_may_be_given(tmp_path: Path, cache: Path) -> None:
    """And may be one that cannot be written."""
    world = World()
    world.open(build_id=BUILD_ID, cache_directory=str(tmp_path / "mine"))
    assert os.listdir(tmp_path / "mine") == [f"{BUILD_ID}.btf.kvmidx"]
    assert world.right(world.open(build_id=BUILD_ID, cache_directory="/proc/nowhere"))
    assert not cache.exists()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """/sys/kernel/btf, with a module."""
    world = World()
    made = tmp_path / "btf"
    made.mkdir()
    (made / "vmlinux").write_bytes(world.forged.data)
    (made / "xfs").write_bytes(world.split("struct one { struct task *owner; };").data)
    return made


def test_the_running_kernels_types_are_shown_in_a_folder(folder: Path) -> None:
    """Its own, and its modules'; a module that came later is found, too."""
    (folder / "damaged").write_bytes(b"junk")
    (folder / "folder").mkdir()
    origin = open_btf_folder(str(folder))
    assert World().right(origin)
    (folder / "later").write_bytes(World().split("struct two { long x; };").data)
    assert names_of(origin, "struct one") == ["owner"]
    assert names_of(origin, "struct two") == ["x"]
    assert origin.words.startswith(f"BTF of {folder}/vmlinux, ")
    origin.file.close()


def test_a_folder_may_vanish(folder: Path) -> None:
    """Its modules' types are missing then."""
    origin = open_btf_folder(str(folder))
    shutil.rmtree(folder)
    with pytest.raises(TypeMissing, match="struct one"):
        origin.types.find("struct one")
    origin.file.close()


@pytest.mark.parametrize("content", [None, b"", b"junk" * 100])
def test_a_folder_without_a_kernel_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    """Not there, empty or something else; the file is given back."""
    if content is not None:
        (tmp_path / "vmlinux").write_bytes(content)
    before = len(os.listdir("/dev/fd"))
    with pytest.raises(KvmError):
        open_btf_folder(str(tmp_path))
    assert len(os.listdir("/dev/fd")) == before


def test_a_vmlinux_has_btf_in_a_section(cache: Path) -> None:
    """Its index is kept by the file's own build id."""
    world = World()
    build_id = bytes.fromhex(BUILD_ID)
    data = elf.kernel("amd64", build_id=build_id, more={".BTF": world.forged.data})
    origin = open_vmlinux(Bytes(data, "vmlinux"))
    assert world.right(origin)
    assert origin.words.startswith("BTF of vmlinux, ")
    assert [one.name for one in cache.iterdir()] == [f"{BUILD_ID}.btf.kvmidx"]
    with pytest.raises(TypeMissing, match="nothing"):
        origin.types.find("nothing")


def test_btf_may_be_a_file_of_its_own() -> None:
    """As /sys/kernel/btf/vmlinux copied, or what pahole wrote."""
    world = World()
    assert world.right(open_vmlinux(Bytes(world.forged.data, "vmlinux.btf")))
    with pytest.raises(FormatError, match=r"\.BTF"):
        open_vmlinux(Bytes(b"junk" * 10))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("flags", ["-gdwarf-4", "-gdwarf-5", "-gz=zlib"])
def test_a_vmlinux_without_btf_has_dwarf(compiler: Compiler, target: str, flags: str) -> None:
    """Types and variables of it, compressed or not."""
    declared = cdecl.Declarations(DECLARED, TARGETS[target])
    text = DECLARED + 'struct task init = { &init, 1, "a" };'
    with File(str(compiler(target, flags, text))) as vmlinux:
        origin = open_vmlinux(vmlinux)
        for found in (origin.types.find("struct task"), origin.types.variable("init")):
            assert shapes.ours(found) == shapes.forged(declared.type("struct task"))
        assert origin.words.startswith(f"DWARF of {vmlinux.name}, ")


def test_damaged_btf_of_a_vmlinux_falls_back(compiler: Compiler, tmp_path: Path) -> None:
    """On the DWARF of its debug file; without one the error says what is wrong with it."""
    build_id = bytes.fromhex(BUILD_ID)
    vmlinux = tmp_path / "vmlinux"
    vmlinux.write_bytes(elf.kernel("amd64", build_id=build_id, more={".BTF": b"junk" * 9}))
    with File(str(vmlinux)) as file:
        with pytest.raises(TypeMissing, match=r"vmlinux: \.BTF: starts with 6a75"):
            open_vmlinux(file)
        flags = f"-Wl,--build-id=0x{BUILD_ID}"
        debug = compiler("x86_64-linux-gnu", flags, DECLARED + "struct task init;")
        shutil.copy(debug, tmp_path / "vmlinux.debug")
        origin = open_vmlinux(file)
        assert names_of(origin, "struct task") == ["next", "pid", "comm"]
        origin.file.close()


def test_memory_is_asked_before_a_vmlinux() -> None:
    """And the vmlinux where memory does not tell."""
    world = World()
    other = btf.Btf(cdecl.Declarations("struct task { char another; };"))
    vmlinux = Bytes(other.data, "vmlinux")
    assert world.right(open_linux_types(world.memory, world.symbols, vmlinux))
    origin = open_linux_types(world.memory, Symbols(), vmlinux)
    assert names_of(origin, "struct task") == ["another"]
    world.memory.places[START] = b"junk" * 1000
    origin = open_linux_types(world.memory, world.symbols, vmlinux)
    assert names_of(origin, "struct task") == ["another"]


def test_where_nobody_tells_types_the_error_says_what_was_tried() -> None:
    """Memory, and the vmlinux if there is one; else that one would help."""
    world = World()
    with pytest.raises(
        TypeMissing, match=r"no symbol __start_BTF.*vmlinux.* would tell: name that file$"
    ):
        open_linux_types(world.memory, Symbols())
    bare = Bytes(elf.kernel("amd64"), "vmlinux")
    with pytest.raises(TypeMissing, match=r"no symbol __start_BTF.*vmlinux has no DWARF; .*_etext"):
        open_linux_types(world.memory, Symbols(), bare)
