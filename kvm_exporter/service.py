"""How does the exporter run on?  Collecting in the background, answering, reloading, ending.

Three threads: the one that calls ``run`` waits for orders, as signals give them; one collects and
publishes; one is the HTTP server's event loop.  Whatever a collector does, the other two go on, so
the end comes within ``END_SECONDS``.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from kvm_exporter import __version__
from kvm_exporter import kvm as kernel
from kvm_exporter.config import Config, ConfigError, Otlp, Problem, redacted
from kvm_exporter.kvm import Kvm
from kvm_exporter.metric import Family
from kvm_exporter.outputs.auth import BasicAuth
from kvm_exporter.outputs.http import SECURITY_HEADERS, Application, Backend
from kvm_exporter.outputs.pages import Overview
from kvm_exporter.outputs.publication import Publication
from kvm_exporter.outputs.rate_limit import Limiter
from kvm_exporter.outputs.server import Hooks, Server
from kvm_exporter.outputs.web_config import WebConfig
from kvm_exporter.self_metrics import SelfMetrics
from kvm_exporter.snapshot import Collection

if TYPE_CHECKING:  # both come with libraries that only their users shall pay for
    from kvm_exporter.outputs.otlp import OtlpPush
    from kvm_exporter.outputs.tls import Tls

END_SECONDS = 1.25
"""Time for responses and a push in progress; the promise is to end within two seconds."""
COLLECTING_END_SECONDS = 0.25
"""A collection that hangs is left behind; another may close its files."""
LONGEST_WAIT = 3600.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Web:
    """Where and how to answer.  ``config`` gives the web configuration of now."""

    sockets: Sequence[socket.socket]
    telemetry_path: str = "/metrics"
    max_requests: int = 40
    config: Callable[[], WebConfig] = WebConfig
    tls: Tls | None = None


class Order(Enum):
    """What the main thread may be told."""

    RELOAD = "reload"
    STOP = "stop"
    FAIL = "fail"


class Orders:
    """Orders for the main thread, from any thread and from signal handlers.

    Waiting for a lock would miss a signal that comes just before it, or in another thread: Python's
    handler runs in the main thread, when that comes back.  So the main thread waits at a socket,
    which the signal itself rings (signal.set_wakeup_fd).
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[Order] = SimpleQueue()
        self._ear, self._bell = socket.socketpair()
        self._bell.setblocking(False)

    def fileno(self) -> int:
        """What a signal shall write to."""
        return self._bell.fileno()

    def put(self, order: Order) -> None:
        """Give an order; without effect after ``close``."""
        self._queue.put(order)
        with suppress(OSError):  # it is full, so it has rung; or nobody listens any more
            self._bell.send(b"\0")

    def get(self) -> Order:
        """The next order, once there is one."""
        while self._queue.empty():
            self._ear.recv(4096)
        return self._queue.get()

    def close(self) -> None:
        """Stop listening."""
        self._bell.close()
        self._ear.close()


class Service:
    """The long-running exporter.

    ``load`` reads the configuration anew at a reload (errors: ConfigError).  ``self_metrics`` may
    be made beforehand to leave some out.  Errors: ConfigError where a configured output cannot be.
    """

    def __init__(
        self,
        config: Config,
        load: Callable[[], Config],
        web: Web,
        *,
        open_kvm: Callable[[], Kvm] = kernel.open,
        self_metrics: SelfMetrics | None = None,
    ) -> None:
        self._load = load
        self._config = config
        self._loading = Lock()
        self._self_metrics = self_metrics or SelfMetrics()
        self._self_metrics.others = self._push_families
        self._collection = Collection(config, open_kvm, self._self_metrics)
        self.publication = Publication()
        self._push = _push(config.otlp)
        self._orders = Orders()
        self._stopping = False
        self._wake = Event()
        self._collecting = Thread(target=self._collect, name="collecting", daemon=True)
        self._server = Server(
            Application(self._backend(web), web.telemetry_path),
            web.sockets,
            requests=web.max_requests,
            hooks=self._hooks(web),
        )

    def run(self, wake_by_signals: Callable[[int], object] = lambda _fd: None) -> int:
        """Serve until an order to stop; the exit status: 1 where a thread died, else 0.

        ``wake_by_signals`` gets the descriptor that signals shall write to, -1 in the end.
        """
        wake_by_signals(self._orders.fileno())
        try:
            return self._run()
        finally:
            wake_by_signals(-1)
            self._orders.close()

    def _run(self) -> int:
        self._server.start()
        self._collecting.start()
        if self._push:
            self._push.start()
        while (order := self._orders.get()) is Order.RELOAD:
            try:
                self.reload()
            except ConfigError as error:
                log.debug("the reload failed: %s", error)  # reload() has logged it
        self._end()
        return 1 if order is Order.FAIL else 0

    def order(self, order: Order) -> None:
        """Tell the main thread to do something; may be called by a signal handler."""
        self._orders.put(order)

    def reload(self) -> None:
        """Read the configuration anew.  Errors: ConfigError; then the old one stays."""
        with self._loading:
            try:
                config = self._load()
                push = self._push if config.otlp == self._config.otlp else _push(config.otlp)
            except ConfigError as error:
                self._self_metrics.reloaded(successful=False)
                log.error("the configuration stays as it was: %s", error)  # noqa: TRY400 - no trace
                self._wake.set()
                raise
            self._replace_push(push)
            self._config = config
            self._self_metrics.reloaded(successful=True)
        log.info("the configuration was loaded again")
        self._wake.set()

    def _collect(self) -> None:
        """The collecting thread: a round whenever a collector is due or something changed."""
        config = self._config
        try:
            while not self._stopping:
                self._wake.clear()
                if config is not self._config:
                    config = self._config
                    self._collection.change(config)
                snapshot = self._collection.collect()
                self.publication.publish(snapshot)
                if push := self._push:
                    push.publish(snapshot)
                wait = self._collection.due - time.monotonic()
                self._wake.wait(max(0.0, min(wait, LONGEST_WAIT)))
            self._collection.close()
        finally:
            self._orders.put(Order.STOP if self._stopping else Order.FAIL)

    def _end(self) -> None:
        until = time.monotonic() + END_SECONDS
        log.info("ending")
        self._stopping = True
        self._wake.set()
        self._server.stop(END_SECONDS - 0.5)
        if self._push:
            self._push.stop(max(0.0, until - time.monotonic()))
        self._collecting.join(COLLECTING_END_SECONDS)

    def _replace_push(self, push: OtlpPush | None) -> None:
        if push is self._push:
            return
        old, self._push = self._push, push
        if push:
            push.start()
        if old:
            old.stop(0.0)

    def _push_families(self) -> Iterable[Family]:
        return self._push.families() if self._push else ()

    def _backend(self, web: Web) -> Backend:
        return Backend(
            publication=self.publication,
            config_text=lambda: redacted(self._config),
            overview=self._overview,
            reload=self.reload,
            allowed=Limiter(web.config).allows,
            granted=BasicAuth(web.config).granted,
        )

    def _hooks(self, web: Web) -> Hooks:
        def headers() -> Iterable[tuple[str, str]]:
            chosen = web.config().http_server_config.headers
            return (dict(SECURITY_HEADERS) | dict(chosen)).items()

        return Hooks(
            headers,
            self._self_metrics.count_response,
            lambda: self._orders.put(Order.STOP if self._stopping else Order.FAIL),
            web.tls,
        )

    def _overview(self) -> Overview:
        snapshot = self.publication.wait(0)
        series = None if snapshot is None else snapshot.series
        return Overview(self._collection.kernel, self._collection.states, series)


def _push(settings: Otlp | None) -> OtlpPush | None:
    """What pushes, where it is configured.  Errors: ConfigError where its packages are missing."""
    if settings is None:
        return None
    from kvm_exporter.outputs.otlp import OtlpMissingError, OtlpPush  # noqa: PLC0415 - its SDK

    try:
        return OtlpPush(settings, __version__)
    except OtlpMissingError as error:
        raise ConfigError([Problem("otlp", None, "", str(error))]) from error
