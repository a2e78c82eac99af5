"""How often somebody may do something: a bucket of so many, filled again at a steady rate."""

from __future__ import annotations

import threading
from collections import OrderedDict

from api import limits


class Rate:
    """`per_second` on average, `burst` at once; by name, of which the newest are remembered."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_ms = per_second / 1000
        self._burst = burst
        self._used: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: str, now_ms: int) -> float:
        """Takes one, and gives 0.0; or takes none, and gives the seconds until there is one."""
        with self._lock:
            used, at_ms = self._used.pop(name, (0.0, now_ms))
            used = max(0.0, used - (now_ms - at_ms) * self._per_ms)
            wait = max(0.0, used + 1 - self._burst) / self._per_ms / 1000
            self._used[name] = (used if wait else used + 1, now_ms)
            if len(self._used) > limits.CALLERS_KEPT:
                self._used.popitem(last=False)
            return wait

    def give_back(self, name: str) -> None:
        """What was taken last does not count."""
        with self._lock:
            used, at_ms = self._used.get(name, (0.0, 0))
            if used:
                self._used[name] = (max(0.0, used - 1), at_ms)
