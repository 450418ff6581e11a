"""What became of one message: the counters before and after tell, and an eye of our own says what must have."""

import json
from collections import Counter
from collections.abc import Mapping

from contract.ports import Message
from contract.quarantine import INTERNAL_ERROR as INTERNAL
from contract.wire.messages import NOT_JSON, TOO_LARGE
from tests.ingest.house import IngestHouse

BYTES_MAX = 8_192  # docs/wire.md
SMALL_ENDINGS = (
    "old_news", "wills_of_unregistered", "reports_of_unregistered", "remarks_of_unregistered", "cleared",
)  # fmt: skip
PARTS = ("accepted", "duplicate", "quarantined", "deferred")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def is_unreadable(payload: bytes) -> bool:
    """Is it no JSON of this wire, whatever it says? By the standard library, told to be strict."""
    if len(payload) > BYTES_MAX:
        return True
    try:
        json.loads(payload.decode("utf-8"), parse_constant=_refuse, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return True
    return False


class Endings:
    """Feeds a house one message at a time. `total` counts endings, over all messages."""

    def __init__(self, house: IngestHouse) -> None:
        self.house = house
        self.total: Counter[str] = Counter()
        self._known: set[tuple[str, bytes]] = set()  # (topic, payload) that are in the quarantine

    def take(self, message: Message) -> None:
        """Raises AssertionError when the message has no ending, or more than it says."""
        house = self.house
        before, records_before = dict(house.log.counts()), house.log.last()
        outcome = house.pipeline.process([message])
        grown = {name: count - before.get(name, 0) for name, count in house.log.counts().items()}
        records = house.log.last() - records_before
        assert outcome.acknowledge == [message.token]
        assert grown.get("received", 0) == sum(grown.get(part, 0) for part in PARTS), message
        assert not grown.get(f"quarantined.{INTERNAL}"), message
        ending = self._ending(message, grown, records, answered=bool(outcome.replies or outcome.kept))
        assert ending, f"nothing became of {message}"
        if is_unreadable(message.payload) and not grown.get("quarantined.bad_topic") and ending != "cleared":
            codes = grown.get(f"quarantined.{NOT_JSON}", 0) + grown.get(f"quarantined.{TOO_LARGE}", 0)
            assert (codes, records, grown["received"]) == (1, 0, 1), (message, grown)
        if grown.get("quarantined"):
            self._is_in_quarantine(message)
        self.total[ending] += 1

    def _ending(self, message: Message, grown: Mapping[str, int], records: int, *, answered: bool) -> str:
        for part in PARTS:  # of one message some readings may be stored and others not: the first is named
            if grown.get(part):
                return part
        for small in SMALL_ENDINGS:
            if grown.get(small):
                return small
        if records:
            return "a record"
        return "answered" if answered else ""

    def _is_in_quarantine(self, message: Message) -> None:
        """The raw bytes, whole."""
        key = (message.topic, message.payload)
        if key not in self._known:
            newest = self.house.log.quarantine(8)
            assert any(row.payload == message.payload for row in newest), message
            self._known.add(key)

    def settle(self) -> None:
        """After the last message, and a restart: what is counted is there."""
        self.house.restart()
        assert self.house.books_balance()
        readings = self.house.readings()
        assert len(readings) == len(set(readings)) == self.house.count("accepted")
