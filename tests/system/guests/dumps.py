"""What does Debian's makedumpfile make of a guest's memory?"""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

from system.guests.recipes import PRODUCTS, SPLIT

PARTS = 3  # of a split set
FLATTENED = "-F"


def reassembled(flat: Path, path: Path) -> None:
    """Write a flattened dump as `makedumpfile -R` puts it together to `path`."""
    with flat.open("rb") as stream:
        subprocess.run(["makedumpfile", "-R", path], stdin=stream, capture_output=True, check=True)


def products(core: Path, folder: Path) -> dict[str, tuple[Path, ...]]:
    """Every form that makedumpfile makes of an amd64 ELF core."""
    made = {}
    for form, options in PRODUCTS.items():
        path = folder / form
        if FLATTENED in options:
            path.write_bytes(makedumpfile(*options, core))
        else:
            makedumpfile(*options, core, path)
        made[form] = (path,)
    made[SPLIT] = tuple(folder / f"split-{i}" for i in range(PARTS))
    makedumpfile("--split", "-c", "-d", "31", core, *made[SPLIT])
    return made


def makedumpfile(*words: str | Path) -> bytes:
    """Its standard output."""
    ended = subprocess.run(["makedumpfile", *words], capture_output=True, check=False)
    assert ended.returncode == 0, f"makedumpfile {words}: {ended.stderr.decode()}"
    return ended.stdout


def usual(core: Path, path: Path) -> Path:
    """QEMU's ELF with its program headers where makedumpfile looks: right after the header.

    QEMU 7.2 writes e_ehsize 8 and the section header first; makedumpfile takes e_phoff for 64.
    """
    subprocess.run(["cp", "--reflink=auto", core, path], check=True)
    path.chmod(0o600)
    with path.open("r+b") as file:
        head = bytearray(file.read(4096))
        (offset,) = struct.unpack_from("<Q", head, 32)
        (count,) = struct.unpack_from("<H", head, 56)
        headers = head[offset : offset + count * 56]
        struct.pack_into("<QQ", head, 32, 64, 0)  # e_phoff, e_shoff
        struct.pack_into("<6H", head, 52, 64, 56, count, 0, 0, 0)
        file.seek(0)
        file.write(head[:64] + headers)
    return path
