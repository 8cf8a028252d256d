"""Are the structs laid out as FreeBSD's own headers and kernels have them?"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from forge import freebsd_facts

from kvm_exporter.kvm.errors import TypeMissing, Unsupported
from kvm_exporter.kvm.layout import Layout
from kvm_exporter.kvm.objects.freebsd.layouts import ABIS, STRUCTS, layout

TARGETS = {
    "amd64": "x86_64",
    "i386": "x86",
    "aarch64": "aarch64",
    "armv7": "arm",
    "riscv64": "riscv64",
    "powerpc64": "powerpc64",
}
"""hw.machine_arch → the architecture of ziglang's FreeBSD headers; it has none for powerpc64le."""

HEADERS = """
#include <sys/param.h>
#include <sys/types.h>
#include <sys/time.h>
#include <sys/resource.h>
#include <sys/vmmeter.h>
#include <vm/vm_param.h>
#include <sys/file.h>
#include <sys/user.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <net/if.h>
#include <net/if_mib.h>
#include <stddef.h>
"""

IN_C = {f"ldavg{at}": f"ldavg[{at}]" for at in range(3)}
"""Members that the table names otherwise than C does."""

SOCKET = ("pcb", "inpcb", "unpconn", "snd_sb_state", "rcv_sb_state", "recvq")
IN_C |= {f"kf_sock_{name}": f"kf_un.kf_sock.kf_sock_{name}" for name in SOCKET}

NEWER = {"ki_sparestrings", "ki_spareints", "ki_reaper", "ki_reapsubtree"}
"""ziglang's headers are 15.0's; 15.1 made two numbers of kinfo_proc's spare bytes."""


UNRECORDED = {"ifmibdata"}
"""Structs that the recorded debugging information leaves out."""


def sizes(known: Layout) -> dict[str, tuple[int, int]]:
    """Member → offset and size, under its name in C."""
    return {
        IN_C.get(name, name): (member.offset, struct.calcsize(known.order + member.code))
        for name, member in known.members.items()
    }


@pytest.mark.parametrize("machine", TARGETS)
def test_every_row_is_what_the_c_compiler_says(machine: str, tmp_path: Path) -> None:
    """Size and offset of every member of every struct, against FreeBSD's libc headers."""
    pytest.importorskip("ziglang", reason="PyPI has no wheel for this system")
    checks = [HEADERS]
    for name in STRUCTS:
        known = layout(name, machine)
        checks.append(f'_Static_assert(sizeof(struct {name}) == {known.size}, "{name}");')
        rows = (row for row in sizes(known).items() if row[0] not in NEWER)
        for member, (offset, size) in rows:
            checks.append(
                f'_Static_assert(offsetof(struct {name}, {member}) == {offset}, "{member}");'
                f"_Static_assert(sizeof(((struct {name} *)0)->{member}) == {size}, "
                f'"{member}");'
            )
    source = tmp_path / "layouts.c"
    source.write_text("\n".join(checks), encoding="ascii")
    target = f"{TARGETS[machine]}-freebsd"
    command = ["-m", "ziglang", "cc", "-target", target, "-c", source, "-o", tmp_path / "layouts.o"]
    cache = {"ZIG_GLOBAL_CACHE_DIR": str(tmp_path), "ZIG_LOCAL_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, *command],
        env=os.environ | cache,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("machine", ABIS)
def test_every_row_is_what_the_kernels_dwarf_says(machine: str) -> None:
    """The same figures as the debugging information of FreeBSD 15.1's kernel."""
    kernel = freebsd_facts.layouts()[machine]
    for name in STRUCTS.keys() - UNRECORDED:
        known = layout(name, machine)
        assert known.size == kernel[name]["sizeof"]
        fields = kernel[name]["fields"]
        for member, (offset, size) in sizes(known).items():
            whole, _, index = member.rstrip("]").partition("[")
            start = fields[whole]["off"] + (int(index) * size if index else 0)
            width = size if index else fields[whole]["size"]
            assert (offset, size) == (start, width), (name, member)


def test_the_rows_leave_nothing_of_a_process_out() -> None:
    """Every member of kinfo_proc, and of the structs inside it, can be asked for."""
    known = layout("kinfo_proc", "amd64").members
    fields = freebsd_facts.layouts()["amd64"]["kinfo_proc"]["fields"]
    parts = {name for name in fields if any(other.startswith(f"{name}.") for other in fields)}
    bits = {f"{name}.__bits" for name in parts}  # inside sigset_t, which is raw bytes here
    whole = {name for name in parts if f"{name}.__bits" in fields}
    assert set(fields) - parts - bits | whole == set(known)


def test_byte_order_follows_the_machine() -> None:
    """powerpc64 is the one big-endian machine."""
    assert {m: layout("timeval", m).order for m in ABIS if layout("timeval", m).order == ">"} == {
        "powerpc64": ">"
    }


def test_an_unknown_machine_is_named() -> None:
    """The error says which machine, and which are known."""
    with pytest.raises(Unsupported, match=r"sparc64.*amd64"):
        layout("timeval", "sparc64")


def test_an_unknown_struct_is_named() -> None:
    """The error says which struct."""
    with pytest.raises(TypeMissing, match="struct nosuch"):
        layout("nosuch", "amd64")
