"""Is a module's file found beside its kernel, and nothing else opened?"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fakes.sources import Bytes
from forge import elf
from hypothesis import given, settings
from hypothesis import strategies as st

from kvm_exporter.kvm.errors import FormatError, KvmError, SymbolMissing
from kvm_exporter.kvm.symbols.kofile import finder, read_ctf, read_module


def found(kernel: Path, name: str, path: str = "/nowhere/x.ko") -> bytes | None:
    """What the finder of a kernel opens for a module."""
    source = finder(str(kernel))(name, path)
    if source is None:
        return None
    data = source.read(0, 100)
    source.close()
    return data


def test_a_file_is_looked_for_beside_the_kernel_first(tmp_path: Path) -> None:
    """Then in the modules folder beside the kernel's, then at its own path."""
    boot = tmp_path / "boot"
    for folder in ("kernel", "modules", "elsewhere"):
        (boot / folder).mkdir(parents=True)
        (boot / folder / "a.ko").write_text(folder)
    kernel, path = boot / "kernel" / "kernel", str(boot / "elsewhere" / "a.ko")
    assert found(kernel, "a.ko", path) == b"kernel"
    (boot / "kernel" / "a.ko").unlink()
    assert found(kernel, "a.ko", path) == b"modules"
    (boot / "modules" / "a.ko").unlink()
    assert found(kernel, "a.ko", path) == b"elsewhere"
    assert found(kernel, "a.ko") is None


def test_a_relative_kernel_has_a_folder_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``kernel`` is in the working directory."""
    (tmp_path / "a.ko").write_text("here")
    monkeypatch.chdir(tmp_path)
    assert found(Path("kernel"), "a.ko") == b"here"


@pytest.mark.parametrize(
    "name", ["", "..", "a.ko/", "a\0.ko", "../secret", "/etc/passwd", "kernel"]
)
def test_names_of_a_dump_open_nothing_else(tmp_path: Path, name: str) -> None:
    """Only a regular file that is called like a module."""
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot" / "kernel").write_text("kernel")
    (tmp_path / "secret").write_text("secret")
    assert found(tmp_path / "boot" / "kernel", name, name) is None


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    """Opening one would wait for a writer."""
    os.mkfifo(tmp_path / "a.ko")
    assert found(tmp_path / "kernel", "a.ko") is None


def test_an_unreadable_file_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next place may have one."""
    (tmp_path / "a.ko").write_text("mine")
    (tmp_path / "b.ko").write_text("other")
    real = os.open

    def refuse(path: str, *rest: int) -> int:
        if path == str(tmp_path / "a.ko"):
            raise PermissionError(13, "Permission denied")
        return real(path, *rest)

    monkeypatch.setattr(os, "open", refuse)
    assert found(tmp_path / "kernel", "a.ko", str(tmp_path / "b.ko")) == b"other"


def test_a_file_without_symbols_or_types_says_so() -> None:
    """A stripped module, and one without CTF."""
    data = elf.write_elf("amd64", kind=elf.ET_REL, sections={".text": b"x"})
    with pytest.raises(SymbolMissing):
        read_module(Bytes(data), 0, 99)
    assert read_ctf(Bytes(data)) is None
    with pytest.raises(FormatError):
        read_ctf(Bytes(b"no module"))


@given(st.binary(max_size=99), st.integers(0, 900))
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_symbols_or_an_error(noise: bytes, at: int) -> None:
    """Noise over a module raises nothing but KvmErrors."""
    sections = {".text": elf.Section(b"x" * 64, flags=elf.ALLOC, align=16)}
    symbols = [elf.Sym("f", 1, 2, elf.FUNC, elf.GLOBAL, ".text")]
    whole = elf.write_elf("amd64", kind=elf.ET_REL, sections=sections, symbols=symbols)
    source = Bytes(whole[:at] + noise + whole[at + len(noise) :])
    for read in (lambda: list(read_module(source, 0x1000, 99)), lambda: read_ctf(source)):
        try:
            read()
        except KvmError:
            continue
