"""When to say `kept`: at once, but at most once a second per stream, in real time."""

from collections import OrderedDict
from collections.abc import Callable

INTERVAL_S = 1.0


class Keeper:
    """Streams to answer, coalesced. Everything on the event loop's thread; `now_s` is real monotonic time."""

    def __init__(self, interval_s: float = INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._due: dict[tuple[str, str], bool] = {}  # (device, stream) → deferred
        self._sent_s: OrderedDict[tuple[str, str], float] = OrderedDict()  # in order of sending
        self.sent = 0

    def add(self, device: str, stream: str, *, deferred: bool) -> None:
        self._due[device, stream] = deferred

    @property
    def waiting(self) -> int:
        return len(self._due)

    def flush(self, now_s: float, send: Callable[[str, str, bool], None], *, all_due: bool = False) -> None:
        """Answer every stream whose last answer is old enough; with `all_due` every one (at the end)."""
        while self._sent_s:
            key, sent_s = next(iter(self._sent_s.items()))
            if now_s - sent_s < self._interval_s:
                break
            del self._sent_s[key]
        ready = list(self._due) if all_due else [key for key in self._due if key not in self._sent_s]
        for key in ready:
            send(*key, self._due.pop(key))
            self._sent_s.pop(key, None)
            self._sent_s[key] = now_s
            self.sent += 1
