"""How does the log look?  A record a line on stderr, in logfmt or JSON, as Go's exporters do."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Literal, TextIO

Format = Literal["logfmt", "json"]
LEVELS = ("debug", "info", "warn", "error")
FORMATS = ("logfmt", "json")

_NAMES = {"WARNING": "warn", "CRITICAL": "error"}


class Formatter(logging.Formatter):
    """A record as its time, level, message, and the traceback where there is one."""

    def __init__(self, form: Format) -> None:
        super().__init__()
        self._line = _json if form == "json" else _logfmt

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "ts": _timestamp(record.created),
            "level": _NAMES.get(record.levelname, record.levelname.lower()),
            "msg": record.getMessage(),
        }
        if record.exc_info:
            fields["trace"] = self.formatException(record.exc_info)
        return self._line(fields)


def set_up(level: str, form: Format, stream: TextIO | None = None) -> None:
    """Send every record of this level and above to the stream, stderr by default."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Formatter(form))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel({"warn": "WARNING"}.get(level, level.upper()))


def _timestamp(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"


def _json(fields: dict[str, str]) -> str:
    return json.dumps(fields)


def _logfmt(fields: dict[str, str]) -> str:
    return " ".join(f"{name}={_quoted(value)}" for name, value in fields.items())


def _quoted(value: str) -> str:
    """Bare where that is clear, else a string that logfmt's readers undo like Go's or JSON's."""
    bare = value and value.isascii() and value.isprintable() and not set(value) & set(' ="\\')
    return value if bare else json.dumps(value, ensure_ascii=False)
