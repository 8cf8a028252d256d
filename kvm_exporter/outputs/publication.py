"""Which bytes does a scrape get?  Ready ones: made when a snapshot is published, not when asked.

1. A form (text or OpenMetrics, plain or gzip) is rendered when it is first asked for, and from then
   on ahead of time with every snapshot, until nobody has asked for it for ``KEPT_SECONDS``.
2. A part that did not change is not rendered again.
3. A generation never changes once it is published, but for forms that are added to it; who reads it
   needs no lock, and a slow client keeps the bytes of its own generation.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Collection, Iterable
from threading import Event, Lock
from typing import NamedTuple

from kvm_exporter.outputs.exposition import OPENMETRICS_END, render
from kvm_exporter.snapshot import Part, Snapshot

KEPT_SECONDS = 900.0
"""Longer than any usual scrape interval."""
GZIP_LEVEL = 1
"""The fastest: on exposition text it leaves an eighth, level 6 a tenth at four times the cost."""
GZIP_WINDOW = 31
"""zlib's deflateInit2: 15 bits of window, and 16 for a gzip header and trailer."""

Rendered = dict[bool, dict[str, tuple[Part, bytes]]]
"""By OpenMetrics or not, then by collector: a part and its text."""


class Form(NamedTuple):
    """How the bytes shall be."""

    openmetrics: bool = False
    gzip: bool = False


class Generation:
    """One snapshot, and the bytes made of it so far."""

    def __init__(self, snapshot: Snapshot, earlier: Generation | None = None) -> None:
        self.snapshot = snapshot
        self.rendered: Rendered = {False: {}, True: {}}
        self._earlier = earlier.rendered if earlier else self.rendered
        self._bodies: dict[Form, bytes] = {}
        self._lock = Lock()

    def body(self, form: Form) -> bytes:
        """Everything, in this form."""
        ready = self._bodies.get(form)
        if ready is None:
            with self._lock:
                ready = self._bodies.get(form) or self._join(form, self.snapshot.parts)
                self._bodies[form] = ready
        return ready

    def selection(self, form: Form, names: Collection[str]) -> bytes:
        """The parts of these names, put together anew."""
        with self._lock:
            parts = (part for part in self.snapshot.parts if part.collector in names)
            return self._join(form, parts)

    def forget_earlier(self) -> None:
        """Let go of the generation before this one."""
        self._earlier = self.rendered

    def _join(self, form: Form, parts: Iterable[Part]) -> bytes:
        pieces = [self._part(form.openmetrics, part) for part in parts]
        if form.openmetrics:
            pieces.append(OPENMETRICS_END)
        return gzipped(pieces) if form.gzip else b"".join(pieces)

    def _part(self, openmetrics: bool, part: Part) -> bytes:
        for rendered in (self.rendered[openmetrics], self._earlier[openmetrics]):
            known, ready = rendered.get(part.collector, (None, b""))
            if known is part:
                break
        else:
            ready = render(part.families, openmetrics=openmetrics)
        self.rendered[openmetrics][part.collector] = (part, ready)
        return ready


def gzipped(pieces: Iterable[bytes]) -> bytes:
    """The pieces as one gzip member, without joining them first."""
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_WINDOW)
    return b"".join([*map(packer.compress, pieces), packer.flush()])


class Publication:
    """The last snapshot in every form that is in use."""

    def __init__(self) -> None:
        self._generation: Generation | None = None
        self._asked: dict[Form, float] = {}
        self._first = Event()

    def publish(self, snapshot: Snapshot) -> None:
        """Make the snapshot's bytes in the forms in use, then hand them out instead of the last."""
        generation = Generation(snapshot, self._generation)
        since = time.monotonic() - KEPT_SECONDS
        for form, asked in list(self._asked.items()):
            if asked > since:
                generation.body(form)
            else:
                del self._asked[form]
        generation.forget_earlier()
        self._generation = generation
        self._first.set()

    def wait(self, seconds: float) -> Snapshot | None:
        """The last snapshot; where there is none yet, wait so long for the first."""
        self._first.wait(seconds)
        return self._generation.snapshot if self._generation else None

    @property
    def ready(self) -> bool:
        """Whether there was a first snapshot."""
        return self._first.is_set()

    def body(self, form: Form, names: Collection[str] | None = None) -> bytes:
        """The last snapshot, or its parts of these names; needs a ``wait`` that gave one."""
        generation = self._generation
        if generation is None:
            raise LookupError("nothing was published yet")
        if names is not None:
            return generation.selection(form, names)
        self._asked[form] = time.monotonic()
        return generation.body(form)
