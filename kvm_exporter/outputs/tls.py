"""How do bytes get through TLS?  Contexts from the web configuration, and waitress's channel.

Imported only where TLS is configured: Python's ssl costs 5 MiB.

1. Nothing waits: the handshake goes on whenever the socket is ready, in the event loop, and counts
   as a request in the making, so rule 3 of server.py bounds it.
2. A read takes whole records until OpenSSL holds no more: what it holds, poll(2) cannot see.
3. One thread at a time uses a connection's SSL object.
4. No close_notify is sent: each response says its length, so a cut connection cannot be taken for
   the end of one.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any

from kvm_exporter.config import ConfigError
from kvm_exporter.outputs.channel import Channel
from kvm_exporter.outputs.web_config import TlsServerConfig, Watched, WebConfig
from kvm_exporter.typed_yaml.document import Problem

VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
RECORD_BYTES = 1 << 14
PLAIN_HTTP = (
    b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Connection: close\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
)

log = logging.getLogger(__name__)


class Tls:
    """The context for new connections, and which clients may stay."""

    def __init__(self, path: Path, config: Callable[[], WebConfig]) -> None:
        self._path = path
        self._config = config
        self.context: Callable[[], ssl.SSLContext] = Watched(self._make).current

    def allows(self, connection: ssl.SSLSocket) -> bool:
        """Whether the client's certificate, if there must be one, has an allowed name."""
        config = self._config().tls_server_config
        wanted = config.client_allowed_sans if config else ()
        certificate: Any = connection.getpeercert()  # typeshed's type of it is of no help
        if not wanted or not certificate:
            return True
        return any(name in wanted for _, name in certificate.get("subjectAltName", ()))

    def _make(self) -> tuple[ssl.SSLContext, Iterable[Path]]:
        config = self._config().tls_server_config or TlsServerConfig()
        folder = self._path.parent
        named = (config.cert_file, config.key_file, config.client_ca_file)
        files = (self._path, *(folder / name for name in named if name))
        try:
            return build(config, folder), files
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            what = f"the certificate or key cannot be used: {error}"
            raise ConfigError(
                [Problem(str(self._path), None, "tls_server_config", what)]
            ) from error


def build(config: TlsServerConfig, folder: Path) -> ssl.SSLContext:
    """A server's context; relative file names are in ``folder``.  Errors: OSError, ValueError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[config.min_version]
    context.maximum_version = VERSIONS[config.max_version]
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    with TemporaryDirectory() as scratch:  # OpenSSL, as Python has it, loads these from files only
        cert = _file(config.cert, config.cert_file, folder, Path(scratch, "cert"))
        key = _file(config.key, config.key_file, folder, Path(scratch, "key"))
        context.load_cert_chain(cert, key, password="")  # never asks on the terminal
    if config.client_ca or config.client_ca_file:
        file = folder / config.client_ca_file if config.client_ca_file else None
        context.load_verify_locations(cafile=file, cadata=config.client_ca or None)
    context.verify_mode = CLIENT_AUTH[config.client_auth_type]
    return context


def _file(inline: str | None, name: str | None, folder: Path, scratch: Path) -> Path:
    if name:
        path = folder / name
        path.open("rb").close()  # OpenSSL's error would not say which file
        return path
    with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(inline or "")
    return scratch


class TlsChannel(Channel):
    """One connection through TLS."""

    def __init__(self, server: Any, sock: socket.socket, *rest: Any, **named: Any) -> None:  # noqa: ANN401 - waitress's
        self._tls: Tls = server.hooks.tls
        self._shaking = True
        self._wants_write = False
        self._using = Lock()
        self.began = time.time()
        wrapped = self._tls.context().wrap_socket(
            sock, server_side=True, do_handshake_on_connect=False
        )
        super().__init__(server, wrapped, *rest, **named)

    @property
    def unfinished(self) -> bool:
        return self._shaking or super().unfinished

    def readable(self) -> bool:
        ready: bool = not self.will_close if self._shaking else super().readable()
        return ready

    def writable(self) -> bool:
        if self._shaking:
            return bool(self._wants_write or self.will_close)
        return bool(super().writable())

    def handle_read(self) -> None:
        if self._shaking:
            self._shake()
            return
        try:
            data = self._receive()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            data = b""
        if not data:
            self.handle_close()
            return
        self.last_activity = time.time()
        self.received(data)

    def handle_write(self) -> None:
        if not self._shaking:
            super().handle_write()
        elif self.will_close:
            self.handle_close()
        else:
            self._shake()

    def send(self, data: bytes, do_close: bool = True) -> int:
        """As wasyncore's: the count sent, 0 where the socket takes nothing now."""
        try:
            with self._using:
                return int(self.socket.send(data))
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        except OSError:
            if do_close:
                self.handle_close()
            return 0

    def _receive(self) -> bytes:
        with self._using:
            data: bytes = self.socket.recv(RECORD_BYTES)
            while self.socket.pending():
                data += self.socket.recv(RECORD_BYTES)
        return data

    def _shake(self) -> None:
        self._wants_write = False
        try:
            self.socket.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLWantWriteError:
            self._wants_write = True
            return
        except OSError as error:
            self._refuse(error)
            return
        if not self._tls.allows(self.socket):
            log.info("refused a client whose certificate has no allowed name")
            self.handle_close()
            return
        self._shaking = False
        self.last_activity = time.time()

    def _refuse(self, error: OSError) -> None:
        log.debug("a TLS handshake failed: %s", error)
        if getattr(error, "reason", None) == "HTTP_REQUEST":
            _answer_in_plain(self.socket)
        self.handle_close()


def _answer_in_plain(connection: ssl.SSLSocket) -> None:
    """Say what is wrong, past TLS; what is unread would make the kernel reset the connection."""
    try:
        socket.socket.recv(connection, RECORD_BYTES)
        socket.socket.send(connection, PLAIN_HTTP)
    except OSError as error:
        log.debug("a client of plain HTTP went away: %s", error)
