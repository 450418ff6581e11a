"""What the node says beside its readings: birth and will, reports, results of calls, remarks.

Theory of operation. What is to be said waits in three short queues until a connection has room for it; what does not
fit is dropped, oldest first, and counted. Reports carry the state at the moment they leave, so two that say the same
are one. At a connect the queue of reports is emptied: the one that follows the birth tells the whole state.

`n` of status and reported grows with each message. A connection's will has the n of its birth and comes after it; the
birth of the next connection is above both, so a late will is old news and a due one is news.
"""

from contract.wire import messages, topics
from firmware.core.constants import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

QUEUE_MAX = const(8)  # reports, results and remarks that wait, each
REMARKS_MAX = const(32)  # different ones a connection


class Speech:
    """Queues of what is to be said, and the numbers of what was. `prefix`: ``nabd/1/<device>/``."""

    def __init__(self, prefix: str, boot: int) -> None:
        self._prefix = prefix
        self._boot = boot
        self._n = 0
        self._birth_n = 0  # of this connection, or the next while there is none
        self._promised = False  # a will with it was given out
        self.birth_due = False
        self._reports = []  # type: list[tuple[int, str, str | None]]
        self._results = []  # type: list[tuple[str, str, str | None]]
        self._remarks = []  # type: list[tuple[str, str]]
        self._remarked = []  # type: list[str]
        self.dropped = 0

    @property
    def due(self) -> bool:
        """Does anything wait to be said?"""
        return bool(self.birth_due or self._reports or self._results or self._remarks)

    def will(self) -> "tuple[str, bytes, int, bool]":
        """The will of the next connection: it takes the n that the birth will have."""
        self._birth_n = self._next_n()
        self._promised = True
        return self._prefix + topics.STATUS, messages.will(self._boot, self._birth_n), 1, True

    def connected(self) -> None:
        if not self._promised:
            self._birth_n = self._next_n()
        self._promised = False
        self.birth_due = True
        self._reports = []
        self._remarked = []

    # ---- what is to be said

    def report(self, report: "tuple[int, str, str | None]") -> None:
        """(version, result, code) of a lease."""
        if not self._reports or self._reports[-1] != report:
            self._queue(self._reports, report)

    def answer(self, answer: "tuple[str, str, str | None]") -> None:
        """(id, status, code) of a call."""
        self._queue(self._results, answer)

    def remark(self, level: str, event: str) -> bool:
        """The same event at most once a connection. Is it to be said?"""
        if event in self._remarked or len(self._remarked) >= REMARKS_MAX:
            return False
        self._remarked.append(event)
        self._queue(self._remarks, (level, event))
        return True

    # ---- saying it

    def birth(
        self, at: "int | None", stream: str, kind: str, config: "dict[str, Any]", period_s: int
    ) -> "tuple[str, bytes, int, bool]":
        self.birth_due = False
        payload = messages.birth(
            n=self._birth_n,
            boot=self._boot,
            stream=stream,
            at=at,
            kind=kind,
            model=config["model"],
            firmware=config["firmware"],
            reset=config["reset"],
            period_s=period_s,
        )
        return self._prefix + topics.STATUS, payload, 1, True

    def say(self, at: "int | None", targets: "dict[str, Any]", room: int, out: "list[Any]") -> None:
        """Move what waits into `out`, until `out` holds `room` messages."""
        while self._reports and len(out) < room:
            version, result, code = self._reports.pop(0)
            state = {name: target.on_wire for name, target in targets.items()}
            by = {name: target.by for name, target in targets.items()}
            payload = messages.reported(self._next_n(), self._boot, at, version, state, by, result, code)
            out.append((self._prefix + topics.REPORTED, payload, 1, True))
        while self._results and len(out) < room:
            call_id, status, code = self._results.pop(0)
            out.append((self._prefix + topics.RESULT, messages.result(call_id, status, at, code), 1, False))
        while self._remarks and len(out) < room:
            level, event = self._remarks.pop(0)
            out.append((self._prefix + topics.LOG, messages.device_log(self._boot, at, level, event), 1, False))

    # ---- details

    def _next_n(self) -> int:
        self._n += 1
        return self._n

    def _queue(self, queue: "list[Any]", item: "Any") -> None:
        if len(queue) >= QUEUE_MAX:
            queue.pop(0)
            self.dropped += 1
        queue.append(item)
