"""How do the snapshots get to an OpenTelemetry collector?  OTLP over HTTP, in a thread of its own.

1. The newest snapshot is pushed as soon as there is one, then every interval.  Nothing is queued:
   counters are cumulative, so the next push makes up for one that failed.
2. Publishing and stopping never wait for the network.  The thread is a daemon: a push that hangs
   at the end dies with the process, and there is no last flush.
3. The SDK's exporter does encoding, gzip, retries and TLS (OTEL_EXPORTER_OTLP_CERTIFICATE and its
   kin hold), and logs every failure of every push.  Those records are taken out of its logger:
   a push that failed is counted, and each distinct cause logged once.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from threading import Event, Thread, get_ident
from urllib.parse import urlsplit

from kvm_exporter.config import Otlp
from kvm_exporter.metric import Family, Metric
from kvm_exporter.snapshot import Snapshot

PUSHES = Metric(
    "kvm_exporter_otlp_pushes_total",
    "counter",
    "Snapshots that the kvm(3) exporter tried to push by OTLP.",
)
FAILURES = Metric(
    "kvm_exporter_otlp_failures_total",
    "counter",
    "Snapshots that the kvm(3) exporter tried to push by OTLP in vain.",
)

_SDK_LOGGER = "opentelemetry.exporter.otlp.proto.http.metric_exporter"
_VOLATILE = re.compile(r"0x[0-9a-f]+|\d+\.\d+s\b")
"""What differs between two reports of one cause: addresses of objects, times to wait."""
_SECRET = re.compile(r"(?<=//)[^/\s]*(?=@)|(?<=\?)\S+")
"""Where a URL in a report can have credentials: before the @, and in the query."""
_REMEMBERED = 50
"""Distinct causes that are logged; more would be a flood, whatever they say."""

log = logging.getLogger(__name__)


class OtlpMissingError(Exception):
    """The packages that OTLP needs are not installed; the message says which would help."""


class OtlpPush:
    """Pushes what is published, from ``start`` to ``stop``; OtlpMissingError without the SDK."""

    def __init__(self, settings: Otlp, version: str) -> None:
        # Only a configured push pays for opentelemetry's memory and start-up time.
        try:
            from opentelemetry.exporter.otlp.proto.http import Compression  # noqa: PLC0415
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
                OTLPMetricExporter,
            )

            from kvm_exporter.outputs.otlp_data import Translator  # noqa: PLC0415
        except ImportError as error:
            raise OtlpMissingError(
                f"otlp: {error}; install what it needs with: pip install 'kvm_exporter[otlp]'"
            ) from error
        self._exporter = OTLPMetricExporter(
            endpoint=settings.endpoint,
            headers=dict(settings.headers),
            timeout=settings.timeout_seconds,
            compression=Compression.Gzip,
        )
        resource = {**_resource(version), **settings.resource}
        self._translator = Translator(settings.semconv, resource, version, time.time())
        self._receiver = urlsplit(settings.endpoint).netloc.rpartition("@")[2]
        self._interval = settings.interval_seconds
        self._newest: Snapshot | None = None
        self._pushed: Snapshot | None = None
        self._published = Event()
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="otlp push", daemon=True)
        self._pushes = self._failures = 0
        self._records: list[str] = []
        self._logged: set[str] = set()

    def start(self) -> None:
        """Begin to push; the first push waits for the first snapshot."""
        logging.getLogger(_SDK_LOGGER).addFilter(self._take)
        self._thread.start()

    def publish(self, snapshot: Snapshot) -> None:
        """Make this the newest snapshot; returns at once."""
        self._newest = snapshot
        self._published.set()

    def stop(self, timeout: float) -> None:
        """End, and wait at most ``timeout`` seconds for a push under way."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._published.set()
            self._exporter.shutdown()
        if self._thread.is_alive():
            self._thread.join(timeout)
        if not self._thread.is_alive():
            logging.getLogger(_SDK_LOGGER).removeFilter(self._take)

    def families(self) -> tuple[Family, ...]:
        """How many pushes were tried, and how many failed, as counters."""
        return (PUSHES.single(self._pushes), FAILURES.single(self._failures))

    def _run(self) -> None:
        self._published.wait()
        while not self._stopping.is_set():
            begun = time.monotonic()
            snapshot = self._newest
            if snapshot is not None and snapshot is not self._pushed:
                self._push(snapshot)
            self._stopping.wait(max(0.0, begun + self._interval - time.monotonic()))

    def _push(self, snapshot: Snapshot) -> None:
        """Try once (the SDK retries within its timeout); only what succeeded is not sent again."""
        self._records.clear()
        try:
            result = self._exporter.export(self._translator.metrics_data(snapshot))
            succeeded = result.name == "SUCCESS"
        except (OSError, ValueError) as error:  # older SDKs let requests' errors out
            self._records.append(str(error))
            succeeded = False
        if not succeeded and self._stopping.is_set():
            return  # given up because of stop: no failure of the receiver
        self._pushes += 1
        if succeeded:
            self._pushed = snapshot
        else:
            self._failures += 1
            self._report()

    def _report(self) -> None:
        """Log what the SDK said first, which names the cause, if it is news."""
        said = self._records[0] if self._records else "the SDK gave no reason"
        cause = _VOLATILE.sub("…", _SECRET.sub("…", said))
        if cause in self._logged or len(self._logged) >= _REMEMBERED:
            return
        self._logged.add(cause)
        log.warning(
            "otlp: push to %s failed: %s (logged once; %s counts on)",
            self._receiver,
            cause,
            FAILURES.name,
        )

    def _take(self, record: logging.LogRecord) -> bool:
        """Keep the SDK's record of our own push to ourselves; let all others pass."""
        if get_ident() != self._thread.ident:
            return True
        self._records.append(record.getMessage())
        return False


def _resource(version: str) -> dict[str, str]:
    """Who speaks; the configuration's attributes come on top."""
    return {
        "service.name": "kvm_exporter",
        "service.version": version,
        "host.name": os.uname().nodename,
        "os.type": sys.platform.rstrip("0123456789"),
    }
