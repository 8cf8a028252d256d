"""Where does the exporter answer?  Listening sockets, from addresses or from systemd."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, MutableMapping
from typing import NamedTuple

BACKLOG = 128
SYSTEMD_FIRST_FD = 3
"""sd_listen_fds(3): the sockets are handed over from this descriptor on."""


class ListenError(Exception):
    """An address that cannot be listened on; the message says which, why and what to do."""


class Address(NamedTuple):
    """A host, empty for every interface, and a port, 0 for any free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """``host:port``, ``[v6]:port`` or ``:port``, as Go's exporters write it.

        Errors: ValueError.
        """
        host, colon, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError(f"{text!r}: write an IPv6 address in brackets, as [::1]:10111")
        if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
            raise ValueError(f"{text!r} is not host:port or :port with a port from 0 to 65535")
        return cls(host, int(port))


def listen(addresses: Iterable[Address]) -> list[socket.socket]:
    """A listening socket for each address.  Errors: ListenError; then none is left open."""
    sockets: list[socket.socket] = []
    try:
        for address in addresses:
            sockets.append(_listen(address))  # noqa: PERF401 - those before an error get closed
    except ListenError:
        for each in sockets:
            each.close()
        raise
    return sockets


def from_systemd(environ: MutableMapping[str, str]) -> list[socket.socket]:
    """The sockets that systemd opened for us (sd_listen_fds(3)).

    The variables are taken out of ``environ``: they are not for our children.
    Errors: ListenError where there are none.
    """
    pid = environ.pop("LISTEN_PID", "")
    count = environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit() or count == "0":
        raise ListenError(
            "--web.systemd-socket: systemd handed over no socket;"
            " start this by a .socket unit, or use --web.listen-address"
        )
    return [_adopt(SYSTEMD_FIRST_FD + index) for index in range(int(count))]


def url(sock: socket.socket, scheme: str) -> str:
    """The URL that a listening socket answers on, from this machine."""
    if sock.family == socket.AF_UNIX:
        return f"{scheme}+unix://{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    host = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, host)  # noqa: S104 - a lookup
    return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"


def _listen(address: Address) -> socket.socket:
    try:
        if address.host in ("", "::"):
            return _every_interface(address.port)
        family, sockaddr = _resolve(address)
        return _bind(family, sockaddr)
    except OSError as error:
        raise ListenError(_explain(address, error)) from error
    except UnicodeError as error:  # from Python's encoding of names for DNS
        what = f"cannot listen on {address.host}: not a host's name; see --web.listen-address"
        raise ListenError(what) from error


def _every_interface(port: int) -> socket.socket:
    """One socket for IPv6 and IPv4, or for IPv4 where the machine has no IPv6."""
    try:
        return _bind(socket.AF_INET6, ("::", port))
    except OSError as error:
        if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            raise
    return _bind(socket.AF_INET, ("", port))


def _resolve(address: Address) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    """The first IPv4 address of a name, else the first: what Go's net.Listen does."""
    found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, *_, sockaddr = min(found, key=lambda info: info[0] != socket.AF_INET)
    return family, sockaddr


def _bind(family: socket.AddressFamily, sockaddr: tuple[object, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sockaddr[0] == "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(sockaddr)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _adopt(fd: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=fd)
    except OSError as error:
        raise ListenError(f"--web.systemd-socket: descriptor {fd} is no socket") from error
    if sock.type != socket.SOCK_STREAM:
        raise ListenError(f"--web.systemd-socket: descriptor {fd} is not a stream socket")
    return sock


def _explain(address: Address, error: OSError) -> str:
    where = f"cannot listen on {address.host or '*'} port {address.port}"
    if error.errno == errno.EADDRINUSE:
        advice = "another program has it; choose another with --web.listen-address=:PORT"
    elif error.errno in (errno.EACCES, errno.EPERM):
        advice = "ports below 1024 are for root; choose another with --web.listen-address=:PORT"
    elif isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        advice = "this machine has no such address; see --web.listen-address"
    else:
        advice = "see --web.listen-address"
    return f"{where}: {error.strerror or error}; {advice}"
