"""What is one connection to waitress?  A request at a time, with our headers and our words."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from waitress.channel import HTTPChannel
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import Error

Headers = Iterable[tuple[str, str]]


class TooManyRequests(Error):
    """The answer over the limit, as promhttp's MaxRequestsInFlight gives it."""

    code = 503
    reason = "Service Unavailable"

    def to_response(self, ident: str | None = None) -> tuple[str, Headers, bytes]:  # noqa: ARG002
        """Status, headers and body; waitress's own has a signature that says nothing here."""
        body = f"Limit of concurrent requests reached ({self.body}), try again later.\n"
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Retry-After", "1")]
        return f"{self.code} {self.reason}", headers, body.encode()


class _HookedTask:
    """Adds the hooks' headers to a response, and counts it: errors of waitress's own as well."""

    channel: Any
    response_headers: list[tuple[str, str]]
    status: str

    def build_response_header(self) -> bytes:
        hooks = self.channel.server.hooks
        given = {name.lower() for name, _ in self.response_headers}
        self.response_headers += [
            (name, value) for name, value in hooks.headers() if name.lower() not in given
        ]
        hooks.count_response(self.status[:3])
        header: bytes = super().build_response_header()  # type: ignore[misc] # Task's
        return header


class _WSGITask(_HookedTask, WSGITask):
    pass


class _ErrorTask(_HookedTask, ErrorTask):
    pass


class Channel(HTTPChannel):
    """One connection."""

    task_class = _WSGITask
    error_task_class = _ErrorTask
    began = 0.0
    """Unix time of the first byte of the request that is being read or answered."""

    def received(self, data: bytes) -> bool:
        if self.request is None:
            self.began = time.time()
        accepted: bool = super().received(data)
        return accepted

    @property
    def busy(self) -> bool:
        """Whether a complete request is being answered, down to the last byte sent."""
        return bool(self.requests or self.total_outbufs_len)

    @property
    def unfinished(self) -> bool:
        """Whether it is in the middle of something that must come to an end."""
        return self.busy or self.request is not None
