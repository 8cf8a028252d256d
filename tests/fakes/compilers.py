"""What do real compilers say of a C text?  For every architecture, through zig's clang; or gcc."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from forge import cdecl

TARGETS = {
    "x86_64-freebsd": cdecl.AMD64,
    "x86-freebsd": cdecl.I386,
    "aarch64-freebsd": cdecl.AARCH64,
    "riscv64-freebsd": cdecl.RISCV64,
    "arm-freebsd": cdecl.ARMV7,
    "powerpc64-freebsd": cdecl.POWERPC64,
}


def compiled(out: Path, target: str, flags: str, text: str) -> Path:
    """Link C text to ``out``, with debug information: zig's clang for a target, or ``gcc``.

    For BPF, whose clang writes BTF, nothing is linked.
    """
    if target == "gcc":
        if shutil.which("gcc") is None:
            pytest.skip("needs gcc")
        command = ["gcc"]
    else:
        if importlib.util.find_spec("ziglang") is None:
            pytest.skip("needs ziglang (pip install ziglang), a C compiler for every architecture")
        command = [sys.executable, "-m", "ziglang", "cc", "-target", target]
    linking = ["-c"] if target.startswith("bpf") else ["-nostdlib", "-shared"]
    source = out.with_suffix(".c")
    source.write_text(text)
    subprocess.run(
        [*command, "-g", *linking, *flags.split(), "-o", str(out), str(source)],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return out
