"""When to say `kept`: at once, but at most once a second per stream, in real time."""

from collections import OrderedDict
from collections.abc import Callable

INTERVAL_S = 1.0


class Keeper:
    """Streams to answer, coalesced. Everything on the event loop's thread; `now_s` is real monotonic time."""

    def __init__(self, interval_s: float = INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._due: dict[tuple[str, str], bool] = {}  # (device, stream) → deferred
        self._later: dict[tuple[str, str], bool] = {}  # likewise, answered less than an interval ago
        self._sent_s: OrderedDict[tuple[str, str], float] = OrderedDict()  # in order of sending
        self.sent = 0

    def add(self, device: str, stream: str, *, deferred: bool) -> None:
        key = device, stream
        (self._later if key in self._sent_s else self._due)[key] = deferred

    @property
    def waiting(self) -> int:
        return len(self._due) + len(self._later)

    def flush(self, now_s: float, send: Callable[[str, str, bool], None], *, all_due: bool = False) -> None:
        """Answer every stream whose last answer is old enough; with `all_due` every one (at the end)."""
        sent = self._sent_s
        while sent:
            key, sent_s = next(iter(sent.items()))
            if now_s - sent_s < self._interval_s and not all_due:
                break
            del sent[key]
            if key in self._later:
                self._due[key] = self._later.pop(key)
        due, self._due = self._due, {}
        for key, deferred in due.items():
            send(*key, deferred)
            sent[key] = now_s
        self.sent += len(due)
