"""What did a guest say about itself?  Its console, taken apart into /proc's files."""

from __future__ import annotations

import base64
import io
import re
import struct
import tarfile
from dataclasses import dataclass

MARKED = re.compile(
    rb"===TRUTH BEGIN===\n(.*?)===TRUTH END===\n===LATE BEGIN===\n(.*?)===LATE END===", re.DOTALL
)
AT_PAGESZ = 6
HEADING = re.compile(rb"^==> (\S+) <==\n", re.MULTILINE)


@dataclass(frozen=True)
class Truth:
    """Files and links by path, such as "/proc/1/cmdline"; `late` holds those read last."""

    files: dict[str, bytes]
    links: dict[str, str]
    late: dict[str, bytes]
    console: bytes

    def text(self, path: str) -> str:
        """A file as text, the late reading if there is one."""
        return self.late.get(path, self.files.get(path, b"")).decode()

    def numbers(self, path: str) -> dict[str, int]:
        """A "name value" file such as /proc/vmstat, or "Name:  value kB" such as /proc/meminfo."""
        words = (line.replace(":", "").split() for line in self.text(path).splitlines())
        return {row[0]: int(row[1]) for row in words}

    @property
    def page_size(self) -> int:
        """Bytes in a page, as the kernel told init in its auxiliary vector (getauxval(3))."""
        data = self.files["/proc/1/auxv"]
        for word in ("<QQ", "<II"):
            if len(data) % struct.calcsize(word) == 0:
                size = dict(struct.iter_unpack(word, data)).get(AT_PAGESZ)
                if size:
                    return size
        raise AssertionError(f"no page size in {data!r}")

    def pids(self) -> list[int]:
        """The processes that were there at the end."""
        found = (re.fullmatch(r"/proc/(\d+)/stat", path) for path in self.late)
        return sorted(int(match[1]) for match in found if match)

    def stat(self, pid: int, tid: int | None = None) -> list[str]:
        """The fields of /proc/PID/stat, or of a thread's, by their numbers in proc(5)."""
        text = self.text(f"/proc/{pid}/stat" if tid is None else f"/proc/{pid}/task/{tid}/stat")
        start, end = text.index("("), text.rindex(")")
        return ["", text[: start - 1], text[start + 1 : end], *text[end + 2 :].split()]

    def status(self, pid: int, tid: int | None = None) -> dict[str, str]:
        """The fields of /proc/PID/status, or of a thread's."""
        return fields(self.text(status_path(pid, tid)))

    def first_status(self, pid: int, tid: int | None = None) -> dict[str, str]:
        """The same as it was before anything else was told of it; empty if it was not there yet."""
        return fields(self.files.get(status_path(pid, tid), b"").decode())

    def threads(self, pid: int) -> list[int]:
        """The threads of a process."""
        found = (re.fullmatch(rf"/proc/{pid}/task/(\d+)/stat", path) for path in self.late)
        return sorted(int(match[1]) for match in found if match)


def status_path(pid: int, tid: int | None) -> str:
    """Where the status of a process, or of a thread of it, is."""
    return f"/proc/{pid}/status" if tid is None else f"/proc/{pid}/task/{tid}/status"


def fields(text: str) -> dict[str, str]:
    """The lines "name:<tab>value" of a status."""
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def read_truth(console: bytes) -> Truth:
    """The truth that `init.sh` wrote to the console."""
    console = console.replace(b"\r", b"")
    marked = MARKED.search(console)
    assert marked, f"no truth on the console: {console[-2000:]!r}"
    files: dict[str, bytes] = {}
    links: dict[str, str] = {}
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(marked[1]))) as members:
        for member in members:
            if member.isfile():
                files[member.name.removeprefix(".")] = members.extractfile(member).read()
            elif member.issym():
                links[member.name.removeprefix(".")] = member.linkname
    return Truth(files, links, sections(marked[2]), console)


def sections(text: bytes) -> dict[str, bytes]:
    """What `head` printed of several files, by path."""
    parts = HEADING.split(text)[1:]
    paths = [path.decode() for path in parts[::2]]
    return {path: body.removesuffix(b"\n") for path, body in zip(paths, parts[1::2], strict=True)}
