"""How are Linux's /proc files read?  Here, and nowhere else (but for /proc/kcore's bytes).

Rule 1: an OSError passes up as it is; what it means is for the objects to say.
Rule 2: a process is read through its open directory, so a number that a new process took over
        in the meantime cannot mix two processes: every later read then fails (proc(5)).
Rule 3: a file of many records gives whole records only, so it ends where a read gives nothing.
        What is read in /proc/PID is one record, or a process's memory (cmdline, environ): these
        fill the buffer as far as they go, so they also end at a short read.
"""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from functools import cached_property

_FILE = os.O_RDONLY | os.O_CLOEXEC
_DIRECTORY = _FILE | os.O_DIRECTORY
_RECORD = 4096
_CHUNK = 65536


class Directory:
    """An open /proc/PID or /proc/PID/task/TID; close it.  ``number`` is the PID or TID."""

    __slots__ = ("_fd", "number")

    def __init__(self, fd: int, number: int) -> None:
        self._fd = fd
        self.number = number

    def close(self) -> None:
        os.close(self._fd)

    def read(self, name: str) -> bytes:
        """The whole of a file (rule 3)."""
        fd = os.open(name, _FILE, dir_fd=self._fd)
        try:
            data = os.read(fd, _RECORD)
            return data if len(data) < _RECORD else data + _drain(fd)
        finally:
            os.close(fd)

    def link(self, name: str) -> bytes:
        """What a symbolic link says."""
        return os.fsencode(os.readlink(name, dir_fd=self._fd))

    def numbers(self, name: str) -> list[int]:
        """The numeric names in a directory (``task``, ``fd``), ascending."""
        fd = os.open(name, _DIRECTORY, dir_fd=self._fd)
        try:
            return _numbers(fd)
        finally:
            os.close(fd)

    def size(self, name: str) -> int:
        """The size that stat(2) tells."""
        return os.stat(name, dir_fd=self._fd).st_size

    def holds(self, name: str) -> bool:
        """Is that file there?  No file is, once the process is gone."""
        try:
            os.stat(name, dir_fd=self._fd)
        except (FileNotFoundError, ProcessLookupError):
            return False
        except PermissionError:
            return True
        return True

    def thread(self, tid: int) -> Directory:
        """The directory of one of a process's threads."""
        return Directory(os.open(f"task/{tid}", _DIRECTORY, dir_fd=self._fd), tid)


class Procfs:
    """A mounted /proc; ``root`` may name another one, such as a host's inside a container."""

    clock_ticks: int = os.sysconf("SC_CLK_TCK")
    page_size: int = os.sysconf("SC_PAGE_SIZE")

    def __init__(self, root: str = "/proc") -> None:
        self.root = root

    def path(self, name: str) -> str:
        """The full name of a file, for messages."""
        return f"{self.root}/{name}"

    def read(self, name: str) -> bytes:
        """The whole of a file, however many reads that takes."""
        fd = os.open(self.path(name), _FILE)
        try:
            return _drain(fd)
        finally:
            os.close(fd)

    def beginning(self, name: str, limit: int) -> bytes:
        """What one read gives, at most ``limit`` bytes: of /proc/sys all there is (rule 3)."""
        fd = os.open(self.path(name), _FILE)
        try:
            return os.read(fd, limit)
        finally:
            os.close(fd)

    def entries(self, name: str) -> list[tuple[str, bool]]:
        """What is in a directory, and whether that is a directory itself; links are left out."""
        with os.scandir(self.path(name)) as found:
            kept = (one for one in found if not one.is_symlink())
            return [(one.name, one.is_dir(follow_symlinks=False)) for one in kept]

    def readable(self, name: str) -> bool:
        """Whether its owner may read a file at all; some of /proc/sys can only be written."""
        return bool(os.stat(self.path(name)).st_mode & stat.S_IRUSR)

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines of a file, as they are read: a long one is never held as a whole."""
        with open(self.path(name), "rb", buffering=_CHUNK) as stream:
            yield from stream

    def pids(self) -> list[int]:
        """The processes there are, ascending."""
        return _numbers(self.root)

    def process(self, pid: int) -> Directory:
        """The directory of a process, or of any thread: proc(5) resolves those numbers too."""
        return Directory(os.open(self.path(str(pid)), _DIRECTORY), pid)

    @cached_property
    def numbered_as_ours(self) -> bool:
        """Does this /proc number processes as our own system calls do?"""
        try:
            return os.readlink(self.path("self")) == str(os.getpid())
        except OSError:
            return False

    @cached_property
    def counts_descriptors(self) -> bool:
        """Is the size of /proc/PID/fd the number of descriptors?  Since Linux 6.2 (f1f1f2569901).

        Before that it is 0, and ours cannot be: the directory itself is open while we look.
        """
        if not self.numbered_as_ours:
            return False
        try:
            own = self.process(os.getpid())
        except OSError:
            return False
        try:
            return own.size("fd") > 0
        except OSError:
            return False
        finally:
            own.close()

    def descriptor_limit(self, pid: int) -> int | None:
        """RLIMIT_NOFILE of a process or thread by prlimit(2); None where that cannot tell.

        It needs our own numbers, and the same user or CAP_SYS_RESOURCE; OSError for a dead one.
        """
        if not self.numbered_as_ours:
            return None
        try:
            soft = resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]
        except PermissionError:
            return None
        return None if soft == resource.RLIM_INFINITY else soft

    def room(self, path: str) -> os.statvfs_result | None:
        """How full a mounted file system is; None where this /proc is not of our own namespaces.

        OSError as the file system says; one whose server is gone may never answer.
        """
        return os.statvfs(path) if self.numbered_as_ours else None


def _drain(fd: int) -> bytes:
    parts = []
    while part := os.read(fd, _CHUNK):
        parts.append(part)
    return b"".join(parts)


def _numbers(directory: int | str) -> list[int]:
    return sorted(map(int, filter(str.isdecimal, os.listdir(directory))))
