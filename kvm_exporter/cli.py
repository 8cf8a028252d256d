"""What shall be done, and how did it end?

Exit status: 0 done, 1 a failure at run time, 2 a mistake in the arguments or the configuration.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kvm_exporter import __version__, config, log
from kvm_exporter.arguments import LOOKS, Arguments, parse
from kvm_exporter.config import Config, ConfigError
from kvm_exporter.kvm import KvmError
from kvm_exporter.opening import Opener
from kvm_exporter.outputs.exposition import OPENMETRICS_END, render
from kvm_exporter.outputs.listen import ListenError, from_systemd, listen, url
from kvm_exporter.outputs.web_config import WebConfig, watch
from kvm_exporter.self_metrics import SelfMetrics
from kvm_exporter.service import Order, Service, Web
from kvm_exporter.snapshot import Collection
from kvm_exporter.trial import trial

if TYPE_CHECKING:
    from kvm_exporter.outputs.tls import Tls

OK, FAILURE, MISTAKE = 0, 1, 2
INTERRUPTED = 130
"""128 + SIGINT, as shells count."""

ORDERS: dict[int, Order] = {
    signal.SIGHUP: Order.RELOAD,
    signal.SIGTERM: Order.STOP,
    signal.SIGINT: Order.STOP,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    given = sys.argv[1:] if argv is None else list(argv)
    if given and given[0] in LOOKS:
        return _ending(lambda: _look(*given))
    return _ending(lambda: _run(parse(given)))


def _ending(run: Callable[[], int]) -> int:
    """How it ended: errors become messages and an exit status."""
    try:
        status = run()
        sys.stdout.flush()
    except ConfigError as error:
        _complain(str(error))
        return MISTAKE
    except (KvmError, ListenError) as error:
        _complain(f"kvm_exporter: {error}")
        return FAILURE
    except BrokenPipeError:
        # who read our output has had enough; keep Python's own flush at exit from complaining
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _complain(f"kvm_exporter: cannot go on: {error}")
        return FAILURE
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _run(arguments: Arguments) -> int:
    log.set_up(arguments.log_level, arguments.log_format)
    if sys.stdout is None:  # it was closed by who started us
        sys.stdout = open(os.devnull, "w", encoding="ascii")  # noqa: SIM115 - until the end
        if arguments.command != "serve" or arguments.config_check:
            raise OSError("standard output is closed, so there is nowhere to write to")
    if arguments.config_check:
        return _check_config(arguments)
    commands = {"serve": _serve, "scrape": _scrape, "check": _check}
    return commands[arguments.command](arguments)


def _look(command: str, *argv: str) -> int:
    """Look into a kernel."""
    from kvm_exporter.inspection.command import look  # noqa: PLC0415 - a service never does

    return look(command, argv)


def _load(arguments: Arguments) -> Config:
    file = arguments.config_file
    chosen = config.load(file) if file else config.default()
    return config.with_collectors(chosen, arguments.enable, arguments.disable)


def _check_config(arguments: Arguments) -> int:
    """Both files, and all of their mistakes."""
    mistakes = []
    for look in (_load, _web_config):
        try:
            look(arguments)
        except ConfigError as error:
            mistakes.append(str(error))
    if mistakes:
        _complain("\n".join(mistakes))
        return MISTAKE
    _say("The configuration is good.")
    return OK


def _check(arguments: Arguments) -> int:
    """The configuration, and what every collector gets."""
    if (status := _check_config(arguments)) != OK:
        return status
    opener = Opener(arguments.other)
    well, lines = trial(_load(arguments), opener, live=opener.live)
    for line in lines:
        _say(line)
    return OK if well else FAILURE


def _scrape(arguments: Arguments) -> int:
    """One snapshot to stdout; a failed collector is in the log and in the exit status."""
    collection = Collection(
        _load(arguments),
        Opener(arguments.other),
        SelfMetrics(detailed=arguments.exporter_metrics),
    )
    snapshot = collection.collect()
    for part in snapshot.parts:
        sys.stdout.buffer.write(render(part.families, openmetrics=arguments.openmetrics))
    if arguments.openmetrics:
        sys.stdout.buffer.write(OPENMETRICS_END)
    sys.stdout.flush()
    collection.close()
    return OK if all(state.success for state in collection.states) else FAILURE


def _serve(arguments: Arguments) -> int:
    """Answer until a signal says stop."""
    config_ = _load(arguments)
    opener = Opener(arguments.other)
    web = _web(arguments)
    service = Service(
        config_,
        lambda: _load(arguments),
        web,
        open_kvm=opener,
        self_metrics=SelfMetrics(detailed=arguments.exporter_metrics),
    )

    def obey(number: int, _frame: object) -> None:
        service.order(ORDERS[number])

    for number in tuple(ORDERS):
        signal.signal(number, obey)
    scheme = "https" if web.tls else "http"
    for sock in web.sockets:
        address = url(sock, scheme).rstrip("/")
        # a space after the URL: logfmt's closing quote would stick to it when it is copied
        logging.getLogger(__name__).info(
            "answering on %s%s (version %s)", address, web.telemetry_path, __version__
        )
    return service.run(signal.set_wakeup_fd)


def _web(arguments: Arguments) -> Web:
    current, tls = _web_config(arguments)
    sockets = from_systemd(os.environ) if arguments.systemd_socket else listen(arguments.addresses)
    return Web(sockets, arguments.telemetry_path, arguments.max_requests, current, tls)


def _web_config(arguments: Arguments) -> tuple[Callable[[], WebConfig], Tls | None]:
    """The web configuration of now, and TLS where it asks for it; certificates are read."""
    path = arguments.web_config_file
    current = watch(path)
    if path is None or current().tls_server_config is None:
        return current, None
    from kvm_exporter.outputs.tls import Tls  # noqa: PLC0415 - ssl costs 5 MiB

    return current, Tls(path, current)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")
