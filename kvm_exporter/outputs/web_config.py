"""Who may connect, and how?  The file of ``--web.config.file``.

1. Keys and meanings are those of Prometheus's exporter-toolkit; an unknown key is an error.  Not
   here: cipher suites and curves (OpenSSL's own defaults hold), HTTP/2, and the two ways of asking
   for a client certificate without verifying it, which Python's ssl does not have.
2. The file, and certificates that it names, are looked at again with every request and connection,
   so certificates rotate and users change without a restart.
3. When what is there now is broken, the last good one holds and the log says why, as with a failed
   reload of the configuration.  (The toolkit answers 500: there, a typo costs the monitoring.)
4. Whether there is TLS at all is decided at the start.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Annotated, Generic, Literal, TypeVar

from kvm_exporter.config import ConfigError
from kvm_exporter.typed_yaml import document
from kvm_exporter.typed_yaml.decode import Decoder
from kvm_exporter.typed_yaml.document import Problem
from kvm_exporter.typed_yaml.option import Check, Count, OptionError, Seconds, Secret, unprintable

Version = Literal["TLS10", "TLS11", "TLS12", "TLS13"]
ClientAuth = Literal[
    "NoClientCert",
    "VerifyClientCertIfGiven",
    "RequireAndVerifyClientCert",
    "RequestClientCert",
    "RequireAnyClientCert",
]
UNVERIFIED = ("RequestClientCert", "RequireAnyClientCert")

HEADERS = (
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
)
"""The headers that the toolkit lets one set."""

BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")

log = logging.getLogger(__name__)
T = TypeVar("T")


def _unverified(auth: str) -> Iterable[str]:
    if auth in UNVERIFIED:
        yield (
            f"{auth} would not verify the certificate, which Python's ssl cannot do;"
            " use VerifyClientCertIfGiven or RequireAndVerifyClientCert"
        )


@dataclass(frozen=True, slots=True)
class TlsServerConfig:
    """The certificate, and which clients' certificates are asked for."""

    cert_file: str | None = None
    key_file: str | None = None
    cert: str | None = None
    key: Annotated[str | None, Secret()] = None
    client_auth_type: Annotated[ClientAuth, Check(_unverified)] = "NoClientCert"
    client_ca_file: str | None = None
    client_ca: str | None = None
    client_allowed_sans: tuple[str, ...] = ()
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"

    def __post_init__(self) -> None:
        _exactly_one("cert", self.cert, self.cert_file)
        _exactly_one("key", self.key, self.key_file)
        verifies = self.client_auth_type != "NoClientCert"
        if verifies or self.client_ca or self.client_ca_file:
            _exactly_one("client_ca", self.client_ca, self.client_ca_file)
        if not verifies and (self.client_ca or self.client_ca_file or self.client_allowed_sans):
            raise OptionError(
                "client_auth_type", "NoClientCert asks for no certificate that could be verified"
            )
        if self.min_version > self.max_version:
            raise OptionError("min_version", "higher than max_version")


def _no_http2(wanted: bool) -> Iterable[str]:
    return ("HTTP/2 is not offered; leave the key out or say false",) if wanted else ()


def _other_headers(headers: Mapping[str, str]) -> Iterable[str]:
    known = ", ".join(HEADERS)
    return (f"{name} cannot be set; known: {known}" for name in headers if name not in HEADERS)


def _no_hashes(users: Mapping[str, str]) -> Iterable[str]:
    for user, password in users.items():
        if not BCRYPT.fullmatch(password):
            yield f"{user}'s password is no bcrypt hash; make one with: htpasswd -nBC 10 {user}"


@dataclass(frozen=True, slots=True)
class HttpServerConfig:
    """Headers of every response; ``http2`` may be there but not be true."""

    http2: Annotated[bool, Check(_no_http2)] = False
    headers: Annotated[Mapping[str, str], Check(_other_headers), Check(unprintable)] = field(
        default_factory=dict
    )


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many requests at once, and one more for each interval."""

    interval_seconds: Seconds
    burst: Count = 1


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The whole file; without one, no TLS, no users and no limit."""

    tls_server_config: TlsServerConfig | None = None
    basic_auth_users: Annotated[Mapping[str, str], Secret(), Check(_no_hashes)] = field(
        default_factory=dict
    )
    http_server_config: HttpServerConfig = HttpServerConfig()
    rate_limit: RateLimit | None = None


class Watched(Generic[T]):
    """A value made of files, made again when one of them changes (rule 2 and 3 above).

    ``make`` gives the value and the files it came from.  Errors: its ConfigError, from the first
    time only.
    """

    def __init__(self, make: Callable[[], tuple[T, Iterable[Path]]]) -> None:
        self._make = make
        self._lock = Lock()
        self._value, files = make()
        self._files = tuple(files)
        self._seen = _signature(self._files)

    def current(self) -> T:
        """The value of now, or the last good one."""
        with self._lock:
            seen = _signature(self._files)
            if seen != self._seen:
                self._seen = seen
                self._remake()
            return self._value

    def _remake(self) -> None:
        try:
            self._value, files = self._make()
        except ConfigError as error:
            log.error("keeping what was there before, because now: %s", error)  # noqa: TRY400
            return
        self._files = tuple(files)
        self._seen = _signature(self._files)
        log.info("took %s anew", ", ".join(map(str, self._files)))


def watch(path: Path | None) -> Callable[[], WebConfig]:
    """The configuration of now, at every call; None is the empty one.  Errors: ConfigError."""
    if path is None:
        empty = WebConfig()
        return lambda: empty
    first = load(path)

    def again() -> tuple[WebConfig, Iterable[Path]]:
        config = load(path)
        if (config.tls_server_config is None) != (first.tls_server_config is None):
            what = "TLS can only be switched on or off by a restart"
            raise ConfigError([Problem(str(path), None, "tls_server_config", what)])
        return config, (path,)

    return Watched(again).current


def load(path: Path) -> WebConfig:
    """Read the file.  Errors: ConfigError with everything that is wrong."""
    source = document.read(path)
    decoder = Decoder(source)
    config = decoder.instance(source.root, WebConfig, "")
    decoder.finish()
    if not isinstance(config, WebConfig):  # finish() has raised then
        raise ConfigError([])
    if config.basic_auth_users:
        _need_bcrypt(path)
    return config


def _need_bcrypt(path: Path) -> None:
    try:
        import bcrypt  # noqa: F401, PLC0415 - an optional dependency
    except ImportError as error:
        what = "this needs bcrypt: pip install 'kvm_exporter[auth]', or your system's py-bcrypt"
        raise ConfigError([Problem(str(path), None, "basic_auth_users", what)]) from error


def _exactly_one(name: str, inline: str | None, file: str | None) -> None:
    if inline and file:
        raise OptionError(name, f"{name} and {name}_file exclude each other")
    if not inline and not file:
        raise OptionError(name, f"{name}_file (or {name}, inline) is missing")


def _signature(files: Iterable[Path]) -> tuple[tuple[int, int, int] | None, ...]:
    return tuple(map(_stat, files))


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
