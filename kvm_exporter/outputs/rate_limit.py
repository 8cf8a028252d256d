"""Is this a request too many?  A token bucket for all clients together."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from kvm_exporter.outputs.web_config import RateLimit, WebConfig


class Limiter:
    """Allows ``burst`` requests at once, and one more for each ``interval`` that passes.

    A changed limit begins with a full bucket.  ``clock`` is monotonic, in seconds.
    """

    def __init__(
        self, config: Callable[[], WebConfig], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._config = config
        self._clock = clock
        self._lock = Lock()
        self._limit: RateLimit | None = None
        self._tokens = 0.0
        self._filled_at = 0.0

    def allows(self) -> bool:
        """Whether one more request may be answered now."""
        limit = self._config().rate_limit
        if limit is None:
            return True
        with self._lock:
            self._fill(limit)
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True

    def _fill(self, limit: RateLimit) -> None:
        now = self._clock()
        if limit == self._limit:
            gained = (now - self._filled_at) / limit.interval_seconds
            self._tokens = min(limit.burst, self._tokens + gained)
        else:
            self._limit, self._tokens = limit, limit.burst
        self._filled_at = now
