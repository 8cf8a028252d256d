"""Where types come from: the kernel's CTF, else its kernel.debug, and what is said of either."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import shapes
from forge import cdecl, ctf, elf

from kvm_exporter.kvm import debugfile
from kvm_exporter.kvm.errors import KvmError, TypeMissing
from kvm_exporter.kvm.source import File
from kvm_exporter.kvm.types import dwarf_cache
from kvm_exporter.kvm.types.dwarf import Dwarf
from kvm_exporter.kvm.types.dwarf_file import DwarfFile
from kvm_exporter.kvm.types.dwarf_scan import Names
from kvm_exporter.kvm.types.lazy import LazyTypes
from kvm_exporter.kvm.types.opening import open_types
from kvm_exporter.kvm.types.origin import Origin

TEXT = "struct proc { struct proc *next; int p_pid; }; struct proc *allproc;"
BUILD_ID = bytes.fromhex("0123456789abcdef")
FLAGS = f"-gdwarf-4 -Wl,--build-id=0x{BUILD_ID.hex()}"
DECLARED = cdecl.Declarations(TEXT)

Compiler = Callable[[str, str, str], Path]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own cache directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kvm_exporter"


def written(path: Path, **options: object) -> File:
    """A forged kernel file, opened."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(elf.kernel("amd64", **options))
    return File(str(path))


def right(origin: Origin) -> bool:
    """Whether its struct proc is TEXT's."""
    found = shapes.ours(origin.types.find("struct proc"))
    return found == shapes.forged(DECLARED.type("struct proc"))


def test_a_kernels_ctf_is_taken(tmp_path: Path) -> None:
    """Its types, its variables by the caller's list of symbols, and where they are from."""
    data = ctf.Ctf(DECLARED, objects=("allproc",)).data
    with written(tmp_path / "kernel", ctf=data) as kernel:
        origin = open_types(kernel, lambda: ["allproc"])
        assert right(origin)
        assert shapes.ours(origin.types.variable("allproc")) == ("pointer", 8, "proc")
        assert origin.words.startswith(f"CTF of {tmp_path}/kernel, ")


@pytest.mark.parametrize("place", ["kernel.debug", ".debug/kernel.debug", "linked.name"])
def test_a_kernel_debug_beside_it_is_taken(
    tmp_path: Path, cache: Path, compiler: Compiler, place: str
) -> None:
    """Where the kernel has no CTF; by its usual name or the one that .gnu_debuglink says."""
    debug = tmp_path / place
    debug.parent.mkdir(exist_ok=True)
    debug.write_bytes(compiler("x86_64-freebsd", FLAGS, TEXT).read_bytes())
    more = {".gnu_debuglink": b"linked.name\0" + bytes(4)}
    with written(tmp_path / "kernel", build_id=BUILD_ID, more=more) as kernel:
        origin = open_types(kernel)
        assert right(origin)
        assert origin.words.startswith(f"DWARF of {debug}, ")
        origin.file.close()


def test_a_kernel_debug_below_usr_lib_debug_is_taken(
    tmp_path: Path, cache: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DEBUGDIR has the kernel's folders again."""
    monkeypatch.setattr(debugfile, "DEBUG_ROOT", str(tmp_path / "usr"))
    debug = Path(f"{tmp_path}/usr{tmp_path}/boot/kernel.debug")
    debug.parent.mkdir(parents=True)
    debug.write_bytes(compiler("x86_64-freebsd", FLAGS, TEXT).read_bytes())
    with written(tmp_path / "boot" / "kernel", build_id=BUILD_ID) as kernel:
        origin = open_types(kernel)
        assert right(origin)
        origin.file.close()


def test_a_kernel_with_dwarf_in_itself_needs_no_other_file(
    tmp_path: Path, cache: Path, compiler: Compiler
) -> None:
    """kernel.full, or a kernel.debug given as the kernel."""
    with File(str(compiler("x86_64-freebsd", FLAGS, TEXT))) as kernel:
        assert right(open_types(kernel))


@pytest.mark.parametrize("change", ["build id", "checksum"])
def test_another_kernels_debug_file_is_refused(
    tmp_path: Path, cache: Path, compiler: Compiler, change: str
) -> None:
    """By build id, or by .gnu_debuglink's checksum; the error says which file it is."""
    data = compiler("x86_64-freebsd", FLAGS, TEXT).read_bytes()
    (tmp_path / "kernel.debug").write_bytes(data)
    checksum = zlib.crc32(data).to_bytes(4, "little")
    options: dict[str, object] = {"build_id": b"another", "more": {}}
    if change == "checksum":
        options = {"build_id": b"", "more": {".gnu_debuglink": b"kernel.debug\0\0\0\0" + checksum}}
        with written(tmp_path / "kernel", **options) as kernel:
            origin = open_types(kernel)
            assert right(origin)
            origin.file.close()
        options["more"] = {".gnu_debuglink": b"kernel.debug\0\0\0\0" + bytes(4)}
    refused = pytest.raises(TypeMissing, match=r"kernel\.debug is of another kernel")
    with written(tmp_path / "kernel", **options) as kernel, refused:
        open_types(kernel)


def test_a_kernel_without_any_types_says_so(tmp_path: Path) -> None:
    """The message names the kernel, what was looked for and what would help."""
    refused = pytest.raises(TypeMissing, match=r"kernel: .* no DWARF; its kernel\.debug would")
    with written(tmp_path / "kernel") as kernel, refused:
        open_types(kernel)


def test_a_kernel_debug_without_types_is_given_back(tmp_path: Path) -> None:
    """It may have been stripped as well."""
    written(tmp_path / "kernel.debug").close()
    with written(tmp_path / "kernel") as kernel:
        before = len(os.listdir("/dev/fd"))
        with pytest.raises(TypeMissing, match=r"kernel\.debug has no DWARF"):
            open_types(kernel)
        assert len(os.listdir("/dev/fd")) == before


def test_damaged_ctf_falls_back(tmp_path: Path, cache: Path, compiler: Compiler) -> None:
    """On the DWARF beside it; without one the error says what is wrong with the CTF."""
    with written(tmp_path / "kernel", ctf=b"junk", build_id=BUILD_ID) as kernel:
        with pytest.raises(TypeMissing, match="SUNW_ctf: 4 bytes"):
            open_types(kernel)
        debug = tmp_path / "kernel.debug"
        debug.write_bytes(compiler("x86_64-freebsd", FLAGS, TEXT).read_bytes())
        origin = open_types(kernel)
        assert right(origin)
        origin.file.close()


def indexed(compiler: Compiler) -> DwarfFile:
    """The DWARF of TEXT."""
    return DwarfFile(File(str(compiler("x86_64-freebsd", FLAGS, TEXT))))


def test_an_index_is_kept_by_build_id(
    cache: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For its owner only; the second time no entry is scanned, and the names are the same."""
    first = dwarf_cache.kept_names(indexed(compiler))
    (path,) = cache.iterdir()
    assert path.name == f"{BUILD_ID.hex()}.dwarf.kvmidx"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    monkeypatch.setattr(dwarf_cache, "scan", None)
    assert dwarf_cache.kept_names(indexed(compiler)) == first
    assert first.types["struct proc"] > 0


def test_progress_is_told_while_an_index_is_made(tmp_path: Path, compiler: Compiler) -> None:
    """Up to all bytes; nothing where the index is kept already."""
    told: list[tuple[int, int]] = []
    file = indexed(compiler)
    for _ in range(2):
        dwarf_cache.kept_names(file, str(tmp_path), lambda done, total: told.append((done, total)))
    assert told == [(file.size, file.size)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"junk",
        zlib.compress(b"[1, 2"),
        zlib.compress(b"{}"),
        zlib.compress(b"[1, {}, {}]"),
        zlib.compress(b"[" * 100_000),
        zlib.compress(b"\xff"),
        zlib.compress(b'[["kvm_exporter DWARF index 1", "0123456789abcdef", 0], {}, {}]'),
    ],
)
def test_a_damaged_index_is_made_anew(cache: Path, compiler: Compiler, content: bytes) -> None:
    """Whatever is in the file; it is whole again then."""
    first = dwarf_cache.kept_names(indexed(compiler))
    (path,) = cache.iterdir()
    good = path.read_bytes()
    path.write_bytes(content)
    assert dwarf_cache.kept_names(indexed(compiler)) == first
    assert path.read_bytes() == good


def test_an_index_with_other_values_is_made_anew(cache: Path, compiler: Compiler) -> None:
    """Offsets that are no integers are not believed."""
    file = indexed(compiler)
    first = dwarf_cache.kept_names(file)
    (path,) = cache.iterdir()
    dwarf_cache._keep(
        str(path),
        [dwarf_cache.VERSION, file.identity, file.size],
        Names({"struct proc": "here"}, {}),
    )
    assert dwarf_cache.kept_names(file) == first


def test_an_index_that_leads_astray_is_an_error(cache: Path, compiler: Compiler) -> None:
    """Any offset in it: a type or a KvmError."""
    file = indexed(compiler)
    for at in (-1, 0, 3, 20, file.size, 1 << 70):
        types = Dwarf(file, Names({"struct proc": at}, {"allproc": at}))
        for ask in (types.find, types.variable):
            try:
                ask("struct proc" if ask == types.find else "allproc")
            except KvmError:
                continue


def test_a_cache_that_cannot_be_written_costs_nothing_else(
    tmp_path: Path, compiler: Compiler
) -> None:
    """A file where the directory should be: the names are there all the same."""
    (tmp_path / "taken").write_text("")
    names = dwarf_cache.kept_names(indexed(compiler), str(tmp_path / "taken" / "deep"))
    assert "struct proc" in names.types


def test_a_link_in_the_caches_place_is_not_followed(
    tmp_path: Path, cache: Path, compiler: Compiler
) -> None:
    """What a link leads to is neither read nor written."""
    dwarf_cache.kept_names(indexed(compiler))
    (path,) = cache.iterdir()
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    kept = elsewhere.read_bytes()
    elsewhere.write_bytes(b"not ours")
    path.symlink_to(elsewhere)
    dwarf_cache.kept_names(indexed(compiler))
    assert path.read_bytes() == kept
    assert elsewhere.read_bytes() == b"not ours"


def test_types_are_opened_at_the_first_question(tmp_path: Path) -> None:
    """Once; an error is remembered and comes with each question; close gives the file back."""
    opened = 0

    def open_one() -> Origin:
        nonlocal opened
        opened += 1
        data = ctf.Ctf(DECLARED, objects=("allproc",)).data
        return open_types(written(tmp_path / "kernel", ctf=data), lambda: ["allproc"])

    types = LazyTypes(open_one)
    assert opened == 0
    types.close()
    assert shapes.ours(types.find("int")) == ("int", 4, True)
    assert shapes.ours(types.variable("allproc")) == ("pointer", 8, "proc")
    assert "struct proc" in set(types.names())
    assert opened == 1
    types.close()

    def fail() -> Origin:
        nonlocal opened
        opened += 1
        raise TypeMissing("none")

    types = LazyTypes(fail)
    for _ in range(2):
        with pytest.raises(TypeMissing, match="none"):
            types.find("int")
    assert opened == 2
