"""What a kernel's file tells of itself, and what its kernel.debug tells in its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from forge import elf

from kvm_exporter.kvm.errors import SymbolMissing
from kvm_exporter.kvm.kernelfile import KernelFile

GLOBAL = elf.Sym("hz", 0xFFFFFFFF80203010, 4)
STATIC = elf.Sym("timehands", 0xFFFFFFFF80203020, 8)


def written(path: Path, symbols: list[elf.Sym] | None, **options: object) -> KernelFile:
    """A forged kernel, opened."""
    path.write_bytes(elf.kernel("amd64", symbols, **options))
    return KernelFile(str(path))


def found(file: KernelFile) -> list[int | None]:
    """Where both symbols are."""
    return [symbol and symbol.value for symbol in file.symbols.lookup(["hz", "timehands"])]


@pytest.mark.parametrize("left", [None, [GLOBAL]], ids=["nothing", "dynsym"])
def test_a_stripped_kernels_symbols_are_in_its_kernel_debug(
    tmp_path: Path, left: list[elf.Sym] | None
) -> None:
    """Static variables are in no .dynsym; both files are given back."""
    written(tmp_path / "kernel.debug", [GLOBAL, STATIC]).close()
    before = len(os.listdir("/dev/fd"))
    file = written(tmp_path / "kernel", None, dynamic_symbols=left)
    assert found(file) == [GLOBAL.value, STATIC.value]
    file.close()
    assert len(os.listdir("/dev/fd")) == before


def test_the_kernel_debug_of_another_build_is_not_taken(tmp_path: Path) -> None:
    """What is left in the stripped file has to do, or nothing at all."""
    written(tmp_path / "kernel.debug", [GLOBAL, STATIC], build_id=b"another").close()
    dynamic = written(tmp_path / "kernel", None, dynamic_symbols=[GLOBAL])
    assert found(dynamic) == [GLOBAL.value, None]
    dynamic.close()
    nothing = written(tmp_path / "kernel", None)
    with pytest.raises(SymbolMissing, match=r"give the kernel\.debug that belongs to it"):
        found(nothing)
    nothing.close()
