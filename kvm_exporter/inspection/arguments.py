"""What shall be inspected?  The arguments behind ``kvm_exporter inspect``."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from kvm_exporter.arguments import OtherKernel, add_kernel, other_kernel
from kvm_exporter.inspection import memory, names, objects, pages, process, processes, system, types
from kvm_exporter.inspection.report import Report
from kvm_exporter.kvm import Kvm

Look = Callable[[Kvm], Report]
Given = argparse.Namespace

LONGEST = 64 << 20
"""Bytes that ``read`` shows at once: 300 MiB of text."""

EPILOG = """\
Without --core it is the running kernel.

examples:
  kvm_exporter inspect info --core /var/crash
  kvm_exporter inspect ps --threads --core /var/crash/vmcore.0.zst --kernel /boot/kernel.old/kernel
  kvm_exporter inspect nlist allproc averunnable
  kvm_exporter inspect read version 64
  kvm_exporter inspect type 'struct proc' --core 0 --json

exit status: 0 done, 1 a failure at run time, 2 a mistake in the arguments.
"""


@dataclass(frozen=True, slots=True)
class Inspection:
    """``look`` at the kernel that ``other`` says, and show what it gives."""

    look: Look
    other: OtherKernel
    as_json: bool


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing to ask; ``look`` makes the question of the arguments that ``add`` adds."""

    name: str
    help: str
    look: Callable[[Given], Look]
    add: Callable[[argparse.ArgumentParser], object] = lambda _: None


def parse(argv: Sequence[str]) -> Inspection:
    """The arguments after ``inspect``; none ask for help.

    Errors: SystemExit(2) with a message on stderr, SystemExit(0) after help.
    """
    parser = argparse.ArgumentParser(
        "kvm_exporter inspect",
        description="Look into a kernel: the running one, or a crash dump.",
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="SUBJECT")
    for subject in SUBJECTS:
        one = subjects.add_parser(
            subject.name, help=subject.help, description=subject.help, allow_abbrev=False
        )
        complete(one, subject)
    return inspection(parser, argv or ["--help"])


def complete(parser: argparse.ArgumentParser, subject: Subject) -> None:
    """Give a subject's parser its arguments, and those that all have."""
    subject.add(parser)
    parser.add_argument("--json", dest="as_json", action="store_true", help="print JSON")
    add_kernel(parser.add_argument_group("kernel"))
    parser.set_defaults(look=subject.look)


def inspection(parser: argparse.ArgumentParser, argv: Sequence[str]) -> Inspection:
    """What is asked for.  Errors: as ``parse``."""
    given = parser.parse_args(argv)
    return Inspection(given.look(given), other_kernel(given, parser.error), given.as_json)


def _names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME")


def _range(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "place", type=_place, metavar="ADDR", help="0x…, decimal, a symbol, or symbol+offset"
    )
    parser.add_argument("length", type=_length, metavar="LEN", help="bytes")


def _threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", action="store_true", help="a row a thread")


def _pid(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pid", nargs="?", type=_number, metavar="PID")


def _one_pid(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pid", type=_number, metavar="PID")


def _pattern(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", nargs="?", metavar="PATTERN")


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="'struct proc', 'enum x', pid_t")


SUBJECTS = (
    Subject(
        "info",
        "what the kernel and its dump say of themselves, and what could not be had",
        lambda _: system.info,
    ),
    Subject(
        "ps",
        "processes",
        lambda given: partial(processes.ps, threads=given.threads),
        _threads,
    ),
    Subject(
        "process",
        "all that is known of one process, its arguments and environment too",
        lambda given: partial(process.process, pid=given.pid),
        _one_pid,
    ),
    Subject("swap", "swap devices and their use", lambda _: objects.swap),
    Subject("cpus", "seconds of each CPU in each mode", lambda _: objects.CPUS),
    Subject(
        "memory",
        "memory by queue, and every figure that the kernel keeps of it, as vmstat(8)",
        lambda _: objects.memory,
    ),
    Subject("msgbuf", "the kernel's message buffer, as dmesg(8)", lambda _: system.msgbuf),
    Subject("jails", "jails, as jls(8)", lambda _: objects.JAILS),
    Subject("mounts", "mounted file systems", lambda _: objects.MOUNTS),
    Subject(
        "interfaces",
        "network interfaces of every network stack, and their counters",
        lambda _: objects.INTERFACES,
    ),
    Subject(
        "files",
        "open files of all processes, or of one",
        lambda given: partial(objects.files, pid=given.pid),
        _pid,
    ),
    Subject(
        "nlist",
        "symbols by name, as kvm_nlist(3)",
        lambda given: partial(names.nlist, names=given.names),
        _names,
    ),
    Subject(
        "symbols",
        "all symbols, or those that match a shell pattern such as '*swap*'",
        lambda given: partial(names.symbols, pattern=given.pattern),
        _pattern,
    ),
    Subject(
        "type",
        "a C type as the kernel declares it, with offsets and sizes",
        lambda given: partial(types.type_, name=given.name),
        _name,
    ),
    Subject(
        "read",
        "kernel memory in hex, as kvm_read(3)",
        lambda given: partial(memory.read, place=given.place, length=given.length),
        _range,
    ),
    Subject(
        "pages",
        "the pages of a dump and where they are mapped, as kvm_walk_pages(3)",
        lambda _: pages.pages,
    ),
    Subject(
        "textdump", "the files of a textdump(4): ddb.txt and others", lambda _: system.textdump
    ),
)


def _number(text: str) -> int:
    try:
        number = int(text, 0)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number; 0x… or decimal") from None
    if not 0 <= number < 2**64:
        raise argparse.ArgumentTypeError(f"{text} does not fit in 64 bits")
    return number


def _length(text: str) -> int:
    number = _number(text)
    if not 0 < number <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text} bytes: from 1 to {LONGEST} are shown at once")
    return number


def _place(text: str) -> memory.Place:
    symbol, plus, offset = text.partition("+")
    if re.fullmatch(r"[^\W\d][\w.$]*", symbol, re.ASCII):
        return memory.Place(symbol, _number(offset) if plus else 0)
    return memory.Place(None, _number(text))
