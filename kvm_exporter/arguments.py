"""Which arguments are there, and what do they say?  argv becomes an Arguments."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn, TypeVar, cast

from kvm_exporter import __version__, collectors
from kvm_exporter.log import FORMATS, LEVELS, Format
from kvm_exporter.outputs.http import RESERVED
from kvm_exporter.outputs.listen import Address

DEFAULT_ADDRESS = ":10111"
"""On every interface, as exporters do; outside 9100-9999, which is fully allocated."""
MAX_REQUESTS = 40

T = TypeVar("T")
Command = Literal["serve", "scrape", "check"]
LOOKS = ("inspect", "explain", "symbols")
"""Commands with arguments of their own (inspection/arguments.py, inspection/questions.py)."""

EPILOG = """\
commands:
  serve    answer scrapes until told to stop (the default)
  scrape   print one snapshot
  check    say whether the configuration is good and what each collector gets
  inspect  look into a kernel; kvm_exporter inspect --help tells at what
  explain  show how an expression of a symbol module becomes a number, a step at a time
  symbols  list the variables whose names match a pattern, with their types

exit status: 0 done, 1 a failure at run time, 2 a mistake in the arguments or the configuration.
"""


@dataclass(frozen=True, slots=True)
class OtherKernel:
    """Which kernel is meant; without a core it is the running one.

    Several ``cores`` are one dump's, which was split.
    """

    kernel: str | None = None
    cores: tuple[str, ...] = ()
    private_key: str | None = None


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the command line said; ``enable`` and ``disable`` are collectors' names."""

    command: Command
    other: OtherKernel
    config_file: Path | None
    config_check: bool
    addresses: tuple[Address, ...]
    systemd_socket: bool
    telemetry_path: str
    web_config_file: Path | None
    max_requests: int
    exporter_metrics: bool
    openmetrics: bool
    log_level: str
    log_format: Format
    enable: tuple[str, ...]
    disable: tuple[str, ...]


def parse(argv: Sequence[str] | None = None) -> Arguments:
    """The arguments.  Errors: SystemExit(2) with a message on stderr, as argparse does."""
    parser = _parser()
    given = parser.parse_args(argv)
    if given.systemd_socket and given.addresses:
        parser.error("--web.systemd-socket and --web.listen-address exclude each other")
    switches = {name: getattr(given, f"collector.{name}") for name in collectors.names()}
    return Arguments(
        command=cast("Command", given.command),
        other=other_kernel(given, parser.error),
        config_file=given.config_file,
        config_check=given.config_check,
        addresses=tuple(given.addresses or [Address.parse(DEFAULT_ADDRESS)]),
        systemd_socket=given.systemd_socket,
        telemetry_path=given.telemetry_path,
        web_config_file=given.web_config_file,
        max_requests=given.max_requests,
        exporter_metrics=given.exporter_metrics,
        openmetrics=given.openmetrics,
        log_level=given.log_level,
        log_format=given.log_format,
        enable=tuple(name for name, wanted in switches.items() if wanted is True),
        disable=tuple(name for name, wanted in switches.items() if wanted is False),
    )


def add_kernel(group: argparse._ArgumentGroup) -> None:
    """The flags that choose a kernel."""
    group.add_argument(
        "--core",
        action="append",
        type=_checked(_name),
        metavar="FILE",
        help="a crash dump, or a directory of them; without it, the running kernel "
        "(once for each file of a split dump)",
    )
    group.add_argument(
        "--kernel",
        type=_checked(_name),
        metavar="FILE",
        help="the kernel that wrote it; without it FreeBSD's is looked for in /boot, by its "
        "version; most dumps of Linux need none",
    )
    group.add_argument(
        "--private-key",
        type=_checked(_name),
        metavar="FILE",
        help="PEM, for an encrypted dump",
    )


def other_kernel(given: argparse.Namespace, complain: Callable[[str], NoReturn]) -> OtherKernel:
    """What ``add_kernel``'s flags said; ``complain`` ends the program."""
    if given.core is None and (given.kernel or given.private_key):
        complain("--kernel and --private-key belong to a crash dump: name it with --core")
    return OtherKernel(given.kernel, tuple(given.core or ()), given.private_key)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "kvm_exporter",
        description="Kernel metrics through kvm(3), for Prometheus and OpenTelemetry.",
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=("serve", "scrape", "check"),
        default="serve",
        help="see below",
        metavar="COMMAND",
    )
    parser.add_argument("--version", action="version", version=f"kvm_exporter {__version__}")
    add_kernel(parser.add_argument_group("kernel"))
    _add_config(parser.add_argument_group("configuration"))
    _add_web(parser.add_argument_group("web (serve)"))
    _add_log(parser.add_argument_group("log"))
    scrape = parser.add_argument_group("scrape")
    scrape.add_argument(
        "--openmetrics", action="store_true", help="print OpenMetrics instead of text 0.0.4"
    )
    _add_collectors(parser.add_argument_group("collectors (stronger than the configuration)"))
    return parser


def _add_config(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--config.file",
        dest="config_file",
        type=_checked(_file),
        metavar="FILE",
        help="YAML; without it, every collector with its defaults",
    )
    group.add_argument(
        "--config.check",
        dest="config_check",
        action="store_true",
        help="say everything that is wrong with the configuration, and end",
    )


def _add_web(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--web.listen-address",
        dest="addresses",
        action="append",
        type=_checked(Address.parse),
        metavar="HOST:PORT",
        help=f"where to answer, repeatable; port 0 is any free one (default {DEFAULT_ADDRESS})",
    )
    group.add_argument(
        "--web.systemd-socket",
        dest="systemd_socket",
        action="store_true",
        help="answer on the sockets that systemd hands over, instead",
    )
    group.add_argument(
        "--web.telemetry-path",
        dest="telemetry_path",
        default="/metrics",
        type=_checked(_telemetry_path),
        metavar="PATH",
        help="where the metrics are (default /metrics)",
    )
    group.add_argument(
        "--web.config.file",
        dest="web_config_file",
        type=_checked(_file),
        metavar="FILE",
        help="TLS, users, headers and a rate limit, as in Prometheus's exporter-toolkit",
    )
    group.add_argument(
        "--web.max-requests",
        dest="max_requests",
        default=MAX_REQUESTS,
        type=_checked(_count),
        metavar="N",
        help=f"requests in progress at once; 0 for no limit (default {MAX_REQUESTS})",
    )
    group.add_argument(
        "--web.disable-exporter-metrics",
        dest="exporter_metrics",
        action="store_false",
        help="leave out process_* and the count of HTTP responses",
    )


def _add_log(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--log.level", dest="log_level", choices=LEVELS, default="info")
    group.add_argument("--log.format", dest="log_format", choices=FORMATS, default="logfmt")


def _add_collectors(group: argparse._ArgumentGroup) -> None:
    for name in collectors.names():
        group.add_argument(
            f"--collector.{name}",
            dest=f"collector.{name}",
            action=argparse.BooleanOptionalAction,
            default=None,
        )


def _checked(convert: Callable[[str], T]) -> Callable[[str], T]:
    """Let a converter's own words reach the user; argparse hides those of a ValueError."""

    def checked(text: str) -> T:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return checked


def _name(text: str) -> str:
    if not text:
        raise ValueError("the file's name is empty")
    return text


def _file(text: str) -> Path:
    return Path(_name(text))


def _telemetry_path(text: str) -> str:
    """A path that reads the same in a URL and after decoding it, else no request would match."""
    if not re.fullmatch(r"/|(/[A-Za-z0-9._~-]+)+/?", text):
        raise ValueError(f"{text!r} is not a path; it starts with / and has letters, digits, ._~-")
    if text in RESERVED:
        raise ValueError(f"{text!r} is the exporter's own; choose another, as /metrics")
    return text


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a whole number from 0 on")
    return int(text)
