"""What answers at which address?  The exporter as a WSGI application."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs

from kvm_exporter.config import ConfigError
from kvm_exporter.outputs import negotiation, pages
from kvm_exporter.outputs.exposition import OPENMETRICS_CONTENT_TYPE, TEXT_CONTENT_TYPE
from kvm_exporter.outputs.publication import Publication

if TYPE_CHECKING:  # half a MiB that nothing needs at run time
    from wsgiref.types import StartResponse, WSGIEnvironment

FIRST_SNAPSHOT_SECONDS = 2.0
"""How long a scrape waits for the first snapshot: well within Prometheus's scrape_timeout."""
FILE_WRAPPER_BYTES = 64 * 1024
"""From this size on a body is sent from where it lies, without the server's copy."""

TEXT = "text/plain; charset=utf-8"
GETTING = ("GET", "HEAD")
RESERVED = ("/config", "/-/healthy", "/-/ready", "/-/reload")
"""The addresses that the metrics cannot have; at ``/`` they replace the landing page."""
SECURITY_HEADERS = (("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store"))

Headers = tuple[tuple[str, str], ...]


class Response(NamedTuple):
    """A response, before it is sent."""

    body: bytes
    content_type: str = TEXT
    status: HTTPStatus = HTTPStatus.OK
    headers: Headers = ()


class BadQuery(Exception):
    """A query that makes no sense; the message says why."""


@dataclass(frozen=True, slots=True)
class Backend:
    """What the addresses show, and what ``/-/reload`` does.

    ``reload`` raises ConfigError; ``allowed`` counts a request, and says whether it is one too
    many; ``granted`` looks at the value of an Authorization header.
    """

    publication: Publication
    config_text: Callable[[], str]
    overview: Callable[[], pages.Overview]
    reload: Callable[[], None]
    allowed: Callable[[], bool]
    granted: Callable[[str], bool]


class Application:
    """The exporter's addresses."""

    def __init__(self, backend: Backend, telemetry_path: str = "/metrics") -> None:
        self._backend = backend
        self._telemetry_path = telemetry_path
        self._routes: dict[str, tuple[tuple[str, ...], Callable[[WSGIEnvironment], Response]]] = {
            "/": (GETTING, self._landing),
            "/config": (GETTING, self._config),
            "/-/healthy": (GETTING, self._healthy),
            "/-/ready": (GETTING, self._ready),
            "/-/reload": (("POST", "PUT"), self._reload),
            telemetry_path: (GETTING, self._metrics),
        }

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        response = self._answer(environ)
        status = f"{response.status.value} {response.status.phrase}"
        sizes = (
            ("Content-Type", response.content_type),
            ("Content-Length", str(len(response.body))),
        )
        start(status, [*response.headers, *sizes])
        if environ["REQUEST_METHOD"] == "HEAD":
            return []
        wrap = environ.get("wsgi.file_wrapper")
        if wrap is not None and len(response.body) >= FILE_WRAPPER_BYTES:
            # BytesIO shares the bytes it is made of, and the server sends out of it
            wrapped: Iterable[bytes] = wrap(BytesIO(response.body))
            return wrapped
        return [response.body]

    def _answer(self, environ: WSGIEnvironment) -> Response:
        if not self._backend.allowed():
            return _too_many()
        if not self._backend.granted(environ.get("HTTP_AUTHORIZATION", "")):
            return _unauthorized()
        path = environ["PATH_INFO"]
        methods, handler = self._routes.get(path, (GETTING, self._not_found))
        if environ["REQUEST_METHOD"] not in methods:
            return Response(
                f"{path} answers {' and '.join(methods)} only\n".encode(),
                status=HTTPStatus.METHOD_NOT_ALLOWED,
                headers=(("Allow", ", ".join(methods)),),
            )
        return handler(environ)

    def _metrics(self, environ: WSGIEnvironment) -> Response:
        publication = self._backend.publication
        snapshot = publication.wait(FIRST_SNAPSHOT_SECONDS)
        if snapshot is None:
            return _unavailable("The first snapshot is not there yet.\n")
        try:
            names = selected(
                environ.get("QUERY_STRING", ""), [part.collector for part in snapshot.parts]
            )
        except BadQuery as error:
            return Response(f"{error}\n".encode(), status=HTTPStatus.BAD_REQUEST)
        form = negotiation.form(
            environ.get("HTTP_ACCEPT", ""), environ.get("HTTP_ACCEPT_ENCODING", "")
        )
        return Response(
            publication.body(form, names),
            OPENMETRICS_CONTENT_TYPE if form.openmetrics else TEXT_CONTENT_TYPE,
            headers=(
                ("Vary", "Accept, Accept-Encoding"),
                *((("Content-Encoding", "gzip"),) if form.gzip else ()),
            ),
        )

    def _landing(self, _environ: WSGIEnvironment) -> Response:
        return _html(pages.landing(self._backend.overview(), self._telemetry_path))

    def _not_found(self, environ: WSGIEnvironment) -> Response:
        return _html(pages.not_found(environ["PATH_INFO"]), HTTPStatus.NOT_FOUND)

    def _config(self, _environ: WSGIEnvironment) -> Response:
        return Response(self._backend.config_text().encode())

    def _healthy(self, _environ: WSGIEnvironment) -> Response:
        return Response(b"kvm_exporter is healthy.\n")

    def _ready(self, _environ: WSGIEnvironment) -> Response:
        if self._backend.publication.ready:
            return Response(b"kvm_exporter is ready.\n")
        return _unavailable("kvm_exporter is not ready: its first snapshot is not there yet.\n")

    def _reload(self, _environ: WSGIEnvironment) -> Response:
        try:
            self._backend.reload()
        except ConfigError as error:
            return Response(
                f"The configuration stays as it was:\n{error}\n".encode(),
                status=HTTPStatus.INTERNAL_SERVER_ERROR,
            )
        return Response(b"The configuration was loaded again.\n")


def selected(query: str, known: list[str]) -> frozenset[str] | None:
    """The parts that ``collect[]`` or ``exclude[]`` choose; None for all.  Errors: BadQuery."""
    try:
        fields: Mapping[str, list[str]] = parse_qs(query, keep_blank_values=True)
    except ValueError as error:
        raise BadQuery(f"The query cannot be read: {error}") from error
    wanted, unwanted = fields.get("collect[]"), fields.get("exclude[]")
    if wanted and unwanted:
        raise BadQuery("collect[] and exclude[] cannot be combined; use one of them.")
    named = wanted or unwanted
    if named is None:
        return None
    for name in named:
        if name not in known:
            raise BadQuery(f"There is no collector {name!r}; there are: {', '.join(known)}.")
    return frozenset(named) if wanted else frozenset(known) - frozenset(named)


def _html(body: bytes, status: HTTPStatus = HTTPStatus.OK) -> Response:
    policy = ("Content-Security-Policy", pages.SECURITY_POLICY)
    return Response(body, pages.CONTENT_TYPE, status, (policy,))


def _unavailable(text: str) -> Response:
    return Response(
        text.encode(), status=HTTPStatus.SERVICE_UNAVAILABLE, headers=(("Retry-After", "1"),)
    )


def _too_many() -> Response:
    status = HTTPStatus.TOO_MANY_REQUESTS
    return Response(b"Too Many Requests\n", status=status, headers=(("Retry-After", "1"),))


def _unauthorized() -> Response:
    challenge = ("WWW-Authenticate", 'Basic realm="kvm_exporter", charset="UTF-8"')
    return Response(b"Unauthorized\n", status=HTTPStatus.UNAUTHORIZED, headers=(challenge,))
