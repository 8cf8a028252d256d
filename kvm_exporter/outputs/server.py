"""How are clients served without one costing the others?  waitress, with limits of our own.

1. One thread runs the event loop: it accepts, reads requests, and sends what a worker could not.
   A worker takes a whole request, never waits for a client, and hands over bytes that are ready.
   waitress would let a worker wait at ``outbuf_high_watermark``, and a client that pipelines
   requests and reads nothing would hold it for ever; so that mark is set out of reach.  It costs
   no memory, because a body is sent from the one copy that all its readers share.
2. A request is in progress from its last byte in to its response's last byte out.  More than
   ``requests`` at once are answered 503, in the words of Go's promhttp; the number of workers is
   smaller, since bytes that are ready keep none of them busy.
3. A connection may take ``EXCHANGE_SECONDS`` from a request's first byte (or a TLS handshake's) to
   its response's last, and be idle for ``IDLE_SECONDS``.  Where all connections are taken, the one
   that is idle longest makes room, so slow clients cannot keep others out.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.server import BaseWSGIServer
from waitress.task import ThreadedTaskDispatcher

from kvm_exporter.outputs.channel import Channel, Headers, TooManyRequests

if TYPE_CHECKING:  # the first costs half a MiB, the second 5 and comes from TLS alone
    from wsgiref.types import WSGIApplication

    from kvm_exporter.outputs.tls import Tls

WORKERS = 4
CONNECTIONS = 256
HEADER_BYTES = 16 * 1024
BODY_BYTES = 8 * 1024
"""No request of ours has a body; what a client sends all the same is read and forgotten."""
EXCHANGE_SECONDS = 60.0
IDLE_SECONDS = 150
"""Longer than the usual scrape intervals, so that Prometheus can keep its connection."""
CHECK_SECONDS = 5
UNREACHABLE = 1 << 60

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the server tells and asks the exporter.

    ``headers`` are those of every response, ``count_response`` gets each response's status code,
    ``ended`` is called when the event loop comes to its end, in whatever way.
    """

    headers: Callable[[], Headers] = tuple
    count_response: Callable[[str], None] = lambda _code: None
    ended: Callable[[], None] = lambda: None
    tls: Tls | None = None


class Listener(BaseWSGIServer):
    """One listening socket; several share a map of connections, a dispatcher and limits."""

    channel_class = Channel
    hooks = Hooks()
    requests = UNREACHABLE

    def getsockname(self) -> tuple[str, str]:
        """Host and port as waitress wants them for SERVER_NAME and SERVER_PORT."""
        if self.socket.family == socket.AF_UNIX:
            return "unix", str(self.socket.getsockname())
        host, port = self.socket.getsockname()[:2]
        return host, str(port)

    def set_socket_options(self, conn: socket.socket) -> None:
        """Send at once: nothing follows that Nagle's algorithm could wait for."""
        if conn.family != socket.AF_UNIX:
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fix_addr(self, addr: Any) -> Any:  # noqa: ANN401 - as accept(2) gives it
        return addr or ("localhost", None)

    def handle_accept(self) -> None:
        try:
            super().handle_accept()
        except OSError as error:  # it must not cost the listener
            log.debug("a connection was gone before it could be set up: %s", error)

    def add_task(self, task: Channel) -> None:
        if sum(channel.busy for channel in self.channels()) > self.requests:
            task.requests[0].error = TooManyRequests(self.requests)
        super().add_task(task)

    def readable(self) -> bool:
        if len(self._map) >= self.adj.connection_limit - 1:
            self._make_room()
        acceptable: bool = super().readable()
        return acceptable

    def maintenance(self, now: float) -> None:
        super().maintenance(now)
        for channel in self.channels():
            if channel.unfinished and channel.began < now - EXCHANGE_SECONDS:
                channel.will_close = True

    def channels(self) -> Sequence[Channel]:
        """Every open connection of every listener."""
        return [each for each in list(self._map.values()) if isinstance(each, Channel)]

    def _make_room(self) -> None:
        idle = [channel for channel in self.channels() if not channel.busy]
        if idle and not any(channel.will_close for channel in idle):
            min(idle, key=lambda channel: channel.last_activity).will_close = True


class Server:
    """The event loop over all listeners, in a thread; it answers from ``start`` on.

    ``requests`` is how many may be in progress at once, 0 for no limit.  With ``hooks.tls`` it
    speaks TLS.
    """

    def __init__(
        self,
        application: WSGIApplication,
        sockets: Sequence[socket.socket],
        *,
        requests: int,
        hooks: Hooks,
    ) -> None:
        logging.getLogger("waitress").setLevel(logging.ERROR)
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._map: dict[int, Any] = {}
        self._dispatcher = ThreadedTaskDispatcher()
        self._thread = Thread(target=self._run, name="http", daemon=True)
        self._stop_at: float | None = None
        self._hooks = hooks
        self._told = Event()
        self._ended = Event()
        channel = _channel(hooks)
        adjustments = _adjustments(requests, "https" if hooks.tls else "http", len(sockets))
        for sock in sockets:
            self._listen(sock, application, adjustments)
        for listener in self._listeners():
            listener.hooks = hooks
            listener.channel_class = channel
            listener.requests = requests or UNREACHABLE
        self._dispatcher.set_thread_count(_workers(requests))

    def start(self) -> None:
        """Serve until ``stop``, in a thread of its own."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Take no more connections, let responses in progress end for so long, then close all."""
        self._stop_at = time.monotonic() + seconds
        if not self._ended.is_set():
            self._listeners()[0].pull_trigger()
        self._told.set()
        self._ended.wait(seconds + 0.2)

    def _listen(
        self, sock: socket.socket, application: WSGIApplication, adjustments: Adjustments
    ) -> None:
        info = (sock.family, sock.type, sock.proto, sock.getsockname())
        Listener(  # enters itself into the map
            application,
            self._map,
            _sock=sock,
            dispatcher=self._dispatcher,
            adj=adjustments,
            sockinfo=info,
            bind_socket=False,
        )

    def _listeners(self) -> Sequence[Listener]:
        return [each for each in list(self._map.values()) if isinstance(each, Listener)]

    def _run(self) -> None:
        try:
            while self._stop_at is None:
                wasyncore.poll2(CHECK_SECONDS, self._map)
            self._told.wait(self._stop_at - time.monotonic())  # the trigger is pulled: close it
            self._drain(self._stop_at)
        finally:
            left = (self._stop_at or 0.0) - time.monotonic()
            self._dispatcher.shutdown(timeout=max(0.0, left))  # workers pull triggers too
            wasyncore.close_all(self._map, ignore_all=True)
            self._ended.set()
            self._hooks.ended()

    def _drain(self, until: float) -> None:
        """Rule 2's requests in progress are finished; other connections are closed now."""
        listeners = self._listeners()
        for listener in listeners:
            wasyncore.dispatcher.close(listener)
        while (channels := listeners[0].channels()) and time.monotonic() < until:
            for channel in channels:
                if not channel.requests:
                    channel.close_when_flushed = True
            wasyncore.poll2(0.02, self._map)


def _workers(requests: int) -> int:
    return min(WORKERS, requests or WORKERS)


def _channel(hooks: Hooks) -> type[Channel]:
    if hooks.tls is None:
        return Channel
    from kvm_exporter.outputs.tls import TlsChannel  # noqa: PLC0415 - ssl costs 5 MiB

    return TlsChannel


def _adjustments(requests: int, scheme: str, listeners: int) -> Adjustments:
    """Settings for waitress; each listener has two entries in the map beside the connections'."""
    return Adjustments(
        threads=_workers(requests),
        url_scheme=scheme,
        ident="kvm_exporter",
        connection_limit=max(CONNECTIONS, 2 * requests) + 2 * listeners,
        channel_timeout=IDLE_SECONDS,
        cleanup_interval=CHECK_SECONDS,
        max_request_header_size=HEADER_BYTES,
        max_request_body_size=BODY_BYTES,
        outbuf_overflow=UNREACHABLE,
        outbuf_high_watermark=UNREACHABLE,
        log_socket_errors=False,
        clear_untrusted_proxy_headers=False,
    )
