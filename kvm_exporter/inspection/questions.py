"""What shall be explained?  The arguments behind ``kvm_exporter explain`` and ``symbols``."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from functools import partial
from itertools import zip_longest

from kvm_exporter.inspection import candidates, explain
from kvm_exporter.inspection.arguments import Inspection, Subject, complete, inspection
from kvm_exporter.inspection.element import Chosen
from kvm_exporter.inspection.pointing import pointed
from kvm_exporter.kvm.expressions.compiling.type_names import type_name
from kvm_exporter.kvm.expressions.language.parsing import parse as parse_expression
from kvm_exporter.kvm.expressions.language.syntax import ExpressionError
from kvm_exporter.kvm.expressions.wanted import Step

EPILOG = {
    "explain": """\
examples:
  kvm_exporter explain 'vm_cnt.v_swtch' --cpu each
  kvm_exporter explain '((struct tcpstat)tcpstat).tcps_connects' --vnet all --core /var/crash
  kvm_exporter explain 'nr_threads' --type nr_threads=int
  kvm_exporter explain 'sw_used * 4096' --each swtailq

exit status: 0 done, 1 where the kernel lacks a part of it, 2 a mistake in the arguments.
""",
    "symbols": """\
examples:
  kvm_exporter symbols swap
  kvm_exporter symbols 'vm_cnt.v_swap*' --core /var/crash
  kvm_exporter symbols 'zone_mbuf->uz_*'
""",
}


def parse(command: str, argv: Sequence[str]) -> Inspection:
    """The arguments after a command.

    Errors: SystemExit(2) with a message on stderr, SystemExit(0) after help.
    """
    subject = COMMANDS[command]
    parser = argparse.ArgumentParser(
        f"kvm_exporter {command}",
        description=f"{subject.help[0].upper()}{subject.help[1:]}.",
        epilog=EPILOG[command],
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    complete(parser, subject)
    try:
        return inspection(parser, argv)
    except argparse.ArgumentTypeError as e:  # of several arguments together
        parser.error(str(e))


def _pattern(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "pattern",
        metavar="PATTERN",
        help="as a shell's (*tcp*), or a part of the name; with . or -> behind it, of members",
    )


def _expression(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("expression", type=_parsed, metavar="EXPR")
    parser.add_argument(
        "--cpu",
        type=_cpu,
        default=explain.SUM,
        metavar="CPU",
        help="the copies of all CPUs added up (sum, the default), each for itself (each), or a "
        "CPU's by its number",
    )
    parser.add_argument(
        "--vnet",
        default="host",
        metavar="STACK",
        help="FreeBSD: the host's network stack (the default), all, or a jail's by name or number",
    )
    parser.add_argument(
        "--type",
        dest="types",
        action="append",
        type=_declared,
        default=[],
        metavar="SYMBOL=TYPE",
        help="the type of a variable, as under types: of a module; repeatable",
    )
    group = parser.add_argument_group("an element of a list")
    group.add_argument(
        "--each",
        action="append",
        type=_parsed,
        default=[],
        metavar="LIST",
        help="the list, as a module's; EXPR is of an element (again for a list in each of these)",
    )
    for flag, name, what in (
        ("--via", "MEMBER", "the member that links the elements"),
        ("--element", "TYPE", "their type"),
    ):
        group.add_argument(
            flag, action="append", default=[], metavar=name, help=f"{what}; once for each LIST"
        )
    group.add_argument(
        "--number",
        type=_count,
        default=0,
        metavar="N",
        help="which element, from 0 (the default)",
    )


def _parsed(text: str) -> str:
    try:
        parse_expression(text)
    except ExpressionError as e:
        raise argparse.ArgumentTypeError(pointed(e)) from e
    return text


def _declared(text: str) -> tuple[str, str]:
    symbol, equals, type_ = text.partition("=")
    if not symbol or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not SYMBOL=TYPE")
    try:
        type_name(type_)
    except ExpressionError as e:
        raise argparse.ArgumentTypeError(pointed(e)) from e
    return symbol, type_


def _cpu(text: str) -> str:
    if text not in (explain.SUM, explain.EACH) and not re.fullmatch(r"[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is neither sum nor each nor a CPU's number")
    return text


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return int(text)


def _question(given: argparse.Namespace) -> explain.Question:
    if max(len(given.via), len(given.element)) > len(given.each):
        raise argparse.ArgumentTypeError(
            "--via and --element belong to a list: name it with --each"
        )
    lists = zip_longest(given.each, given.via, given.element, fillvalue="")
    steps = tuple(Step((each,), via, element) for each, via, element in lists)
    chosen = Chosen(steps, given.number) if steps else None
    return explain.Question(given.expression, given.cpu, given.vnet, dict(given.types), chosen)


COMMANDS = {
    subject.name: subject
    for subject in (
        Subject(
            "explain",
            "show how an expression becomes a number: its parts, what is read where, and the value",
            lambda given: partial(explain.explain, question=_question(given)),
            _expression,
        ),
        Subject(
            "symbols",
            "list the variables whose names match a pattern, with their types",
            lambda given: partial(candidates.candidates, pattern=given.pattern),
            _pattern,
        ),
    )
}
