"""Are arguments, environment and program of a dead process what /proc would have told?"""

from __future__ import annotations

import pytest
from fakes.world import UserMemory, target
from forge import cdecl
from forge.linux_structs import MODERN, OLD
from forge.linux_tasks import PF_KTHREAD, Tasks
from forge.world import Thing, World

from kvm_exporter.kvm.errors import Fault, Filtered, FormatError, ProcessGone, Unsupported
from kvm_exporter.kvm.objects.linux.taskargs import Programs
from kvm_exporter.kvm.target import Target

KERNELS = [
    pytest.param(MODERN, cdecl.AMD64, id="modern"),
    pytest.param(OLD, cdecl.I386, id="old"),
]
PGD = 0x5000
STACK = 0x7FFF_0F00
"""Near the end of a page, so that what lies there goes on in the next one."""


class Machine:
    """A kernel with a process 42, whose own memory holds arguments and environment."""

    def __init__(self, kernel: str = MODERN, abi: cdecl.Abi = cdecl.AMD64) -> None:
        self.people = Tasks(World(kernel, abi))
        self.people.task(1)
        self.mm = self.people.world.new("struct mm_struct", pgd=PGD)
        self.people.task(42, members={"mm": self.mm})
        self.people.finish()
        self.target: Target = target(self.people.world)

    def strings(self, arguments: bytes, environment: bytes = b"A=1\0", gap: int = 0) -> None:
        """Lay them out, the environment ``gap`` bytes behind the arguments."""
        end = STACK + len(arguments)
        start = end + gap
        self.mm.set(arg_start=STACK, arg_end=end, env_start=start, env_end=start + len(environment))
        self.people.world.user(PGD, STACK, arguments + b"#" * gap)
        self.people.world.user(PGD, start, environment)

    def user(self, pgd: int) -> UserMemory:
        """The process's own memory."""
        return UserMemory(self.people.world.users[pgd], 4096)

    def arguments(self, pid: int = 42) -> tuple[str, ...]:
        return Programs(self.target, self.user).arguments(pid)

    def environment(self, pid: int = 42) -> tuple[str, ...]:
        return Programs(self.target, self.user).environment(pid)

    def executable(self, pid: int = 42) -> str | None:
        return Programs(self.target, None).executable(pid)


@pytest.mark.parametrize(("kernel", "abi"), KERNELS)
def test_arguments_and_environment(kernel: str, abi: cdecl.Abi) -> None:
    """As execve(2) laid them out, empty ones too, over the end of a page."""
    made = Machine(kernel, abi)
    long = "x" * 300
    made.strings(f"sh\0-c\0\0{long}\0".encode() + b"\xff\xfe\0", b"A=1\0SPACED=two words\0EMPTY=\0")
    assert made.arguments() == ("sh", "-c", "", long, "\udcff\udcfe")
    assert made.environment() == ("A=1", "SPACED=two words", "EMPTY=")


TITLES = [
    (b"nginx: master process", b"", 0, ("nginx: master process",)),
    (b"nginx: mas", b"ter\0B=2\0", 0, ("nginx: master",)),  # over the environment
    (b"nginx: mas", b"ter\0B=2\0", 8, ("nginx: mas",)),  # which is not behind it
    (b"one\0two", b"\0B=2\0", 0, ("one",)),
    (b"t" * 5000, b"A=1\0", 0, ("t" * 4096,)),  # a page at most
]


@pytest.mark.parametrize(("arguments", "environment", "gap", "told"), TITLES)
def test_a_title_goes_on_into_the_environment(
    arguments: bytes, environment: bytes, gap: int, told: tuple[str, ...]
) -> None:
    """Where the last byte of the arguments is no NUL, as setproctitle(3) leaves it."""
    made = Machine()
    made.strings(arguments, environment, gap)
    assert made.arguments() == told


def test_a_shorter_title_ends_in_empty_arguments() -> None:
    """The NULs that fill the old arguments up are arguments, as /proc shows them."""
    made = Machine()
    made.strings(b"title\0\0\0\0")
    assert made.arguments() == ("title", "", "", "")


def test_strings_that_were_overwritten_are_left_out() -> None:
    """Of an environment what is no string any more."""
    made = Machine()
    made.strings(b"x\0", b"A=1\0\0\0B=2\0")
    assert made.environment() == ("A=1", "B=2")


def test_who_has_no_memory_has_no_strings() -> None:
    """Kernel threads, with memory that they borrow too, zombies, and who execve(2) is making."""
    made = Machine()
    made.strings(b"x\0")
    people = made.people
    people.tasks[42].set(flags=PF_KTHREAD, comm=b"kthread")
    assert (made.arguments(), made.environment()) == ((), ())
    assert made.executable() is None
    people.tasks[42].set(flags=0, mm=0)
    assert (made.arguments(), made.environment()) == ((), ())
    people.tasks[42].set(mm=made.mm)
    made.mm.set(env_end=0)
    assert (made.arguments(), made.environment()) == ((), ())


def test_what_is_before_a_missing_page_is_told() -> None:
    """The first page of several, and the failure is counted."""
    made = Machine()
    made.strings(b"sh\0" + b"y" * 5000 + b"\0")
    del made.people.world.users[PGD][STACK // 4096 * 4096 + 4096]
    assert made.arguments() == ("sh", "y" * (256 - 3))
    assert made.target.tally.counts() == {("user memory", "unknown"): 1}


def test_a_missing_page_is_a_fault_that_says_so() -> None:
    """Nothing at all could be read; the failure is counted."""
    made = Machine()
    made.strings(b"sh\0")
    made.people.world.users[PGD].clear()
    with pytest.raises(Fault, match="process 42 has its own memory there, which is not in this"):
        made.arguments()
    with pytest.raises(Fault, match="process 42"):
        made.environment()
    assert made.target.tally.counts() == {("user memory", "unknown"): 2}


def test_a_page_left_out_on_purpose_says_so() -> None:
    """With makedumpfile -d 8 the error is of the kind, and has the words, of what was left out."""

    class Left:
        def read(self, address: int, length: int) -> bytes:
            raise Filtered(address, "left out by makedumpfile")

    made = Machine()
    made.strings(b"sh\0")
    with pytest.raises(Filtered, match=r"process 42 .*left out by makedumpfile"):
        Programs(made.target, lambda _: Left()).arguments(42)


def test_without_page_tables_it_is_unsupported() -> None:
    """Where nothing reads processes' own memory."""
    made = Machine()
    made.strings(b"sh\0")
    with pytest.raises(Unsupported, match="cannot be read in this dump"):
        Programs(made.target, None).arguments(42)


def test_a_damaged_length_is_no_reason_to_read_for_ever() -> None:
    """More strings than execve(2) takes."""
    made = Machine()
    made.strings(b"sh\0")
    made.mm.set(arg_end=2**63)
    with pytest.raises(FormatError, match="bytes of strings"):
        made.arguments()
    made.mm.set(arg_start=5, arg_end=5)
    assert made.arguments() == ()


@pytest.mark.parametrize("pid", [0, 7, -1])
def test_who_is_not_there_is_gone(pid: int) -> None:
    """For each of the three."""
    made = Machine()
    for ask in (made.arguments, made.environment):
        with pytest.raises(ProcessGone, match=f"no process {pid} "):
            ask(pid)
    with pytest.raises(ProcessGone):
        made.executable(pid)


@pytest.mark.parametrize(("kernel", "abi"), KERNELS)
def test_the_program_is_told_by_its_path(kernel: str, abi: cdecl.Abi) -> None:
    """mm->exe_file; one that was removed says so."""
    made = Machine(kernel, abi)
    files = made.people.files
    bin_ = files.directory(b"bin", files.top)

    def run(dentry: Thing) -> str | None:
        made.mm.set(exe_file=files.file(files.mount, dentry))
        return made.executable()

    made.people.tasks[1].set(fs=files.fs)
    assert run(files.directory(b"sh", bin_)) == "/bin/sh"
    assert run(files.directory(b"sh", bin_, gone=True)) == "/bin/sh (deleted)"
