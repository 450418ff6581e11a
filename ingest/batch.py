"""One batch on its way: everything that will be appended together, and what is to be said when it is."""

from collections import Counter
from typing import Any

from contract.kind import Value
from contract.ports import Quarantined
from contract.records import Record, Status
from ingest.ledger import Ledger, Stream

NO_STREAM = ""  # where the order of a device's messages stands while no birth of it was heard
STREAMS_MAX = 256  # of one device: each is a formatted journal or, without one, a boot


class Batch:
    """Collects; changes nothing outside itself. Streams are copies, so that a batch that fails leaves no trace."""

    def __init__(self, ledger: Ledger, now_ms: int) -> None:
        self.now_ms = now_ms
        self.records: list[Record] = []
        self.quarantine: list[Quarantined] = []
        self.counts: Counter[str] = Counter()
        self.streams: dict[tuple[str, str], Stream] = {}
        self.values: dict[tuple[str, str, int], dict[str, Value]] = {}  # accepted here, to tell duplicate from conflict
        self.kept: dict[tuple[str, str], bool] = {}  # (device, stream) to answer → deferred
        self.replies: list[tuple[str, bytes]] = []
        self.births: list[Status] = []
        self.waiting: list[dict[str, Any]] = []  # what to note of devices that are not registered
        self._ledger = ledger

    @property
    def is_empty(self) -> bool:
        return not (self.records or self.quarantine or self.counts or self.streams)

    def stream(self, device: str, stream: str) -> Stream | None:
        """The batch's own copy of a stream, new when nobody knew it; None when the device has too many."""
        key = (device, stream)
        mine = self.streams.get(key)
        if mine is None:
            known = self._ledger.get(device, stream)
            if known is None and stream != NO_STREAM and len(self._ledger.of(device)) >= STREAMS_MAX:
                return None
            mine = known.copy() if known is not None else Stream(device, stream)
            mine.seen_at_ms = self.now_ms
            self.streams[key] = mine
        return mine

    def current(self, device: str) -> Stream:
        """The stream that orders the device's status and reported: of its last birth, in this batch or before."""
        for status in reversed(self.births):
            if status.device == device:
                mine = self.stream(device, status.stream)
                assert mine is not None, "a birth that was taken has a stream"
                return mine
        known = self._ledger.current(device)
        mine = self.stream(device, known.stream if known is not None else NO_STREAM)
        assert mine is not None, "known streams and the nameless one always have room"
        return mine

    def turn_away(
        self,
        topic: str,
        payload: bytes,
        code: str,
        sentence: str,
        *,
        device: str = "",
        stream: str = "",
        seq: int | None = None,
    ) -> None:
        """To the quarantine, with the raw bytes; counts as one reading."""
        self.quarantine.append(
            Quarantined(
                topic=topic,
                payload=payload,
                code=code,
                sentence=sentence,
                received_at_ms=self.now_ms,
                device=device,
                stream=stream,
                seq=seq,
            )
        )
        self.count("received")
        self.count("quarantined")
        self.count(f"quarantined.{code}")

    def count(self, name: str, by: int = 1) -> None:
        if by:
            self.counts[name] += by
