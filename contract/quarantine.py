"""What could not be read, and what people do with it: the rows of the quarantine and the door to them.

A row has one cause of three: ingest could not read it, a store refuses it for good (`store_refused`), or Nabd itself
failed on it (`internal_error`). It stays until somebody has it replayed with success, or drops it.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec

STORE_REFUSED = "store_refused"
INTERNAL_ERROR = "internal_error"

ROW_BYTES = 512
"""What a row counts beside its payload and its topic: sentence, names, indexes."""

TOPIC_SHOWN = 64  # characters of a topic that are told in place of a device


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """What could not be read, whole, with why. `number` is 0 until the log has given it one."""

    topic: str
    payload: bytes
    code: str  # stable: not_json, too_large, bad_topic, missing_key, wrong_type, out_of_range, …
    sentence: str
    received_at_ms: int
    device: str = ""  # empty: none that was registered when it came; only the topic may name it
    stream: str = ""
    seq: int | None = None
    count: int = 1  # byte-identical messages are one row
    number: int = 0
    seqs: tuple[int, ...] = ()  # in the ledger they count as had, and they stand nowhere but here

    @property
    def sender(self) -> str:
        """The device, or what the topic begins with, where every topic that is one has room."""
        return self.device or self.topic[:TOPIC_SHOWN]

    @property
    def size_bytes(self) -> int:
        """What it takes of the quarantine's room. A topic that is none may be as long as a packet."""
        return len(self.topic.encode()) + len(self.payload) + ROW_BYTES


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows are meant; what is left empty does not matter."""

    code: str = ""
    device: str = ""  # also what came under this name while nobody had registered it
    since_ms: int = 0  # that came then or later


ALL = Wanted()


class Settled(msgspec.Struct, frozen=True):
    """What becomes of a row: another one under its number, or nothing: then it goes."""

    number: int
    row: Quarantined | None = None


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one row when it was replayed."""

    number: int
    device: str
    readings: int = 0  # stored now
    stays: bool  # is something of it still in the quarantine?
    code: str = ""  # of what stays
    sentence: str


class QuarantineChanged(Exception):
    """A row that was to be settled is not there any more: somebody else has settled it."""


class QuarantineUse(msgspec.Struct, frozen=True, kw_only=True):
    """How much of its room the quarantine has taken."""

    rows: int
    bytes: int
    bytes_max: int
    device_bytes_max: int
    full: tuple[tuple[str, int], ...]
    """(device, bytes) of those that have used up their share, the largest first; all that are not registered are ""."""


@runtime_checkable
class Retaker(Protocol):
    """A store that can be given again what it has refused."""

    def again(self, lines: Sequence[bytes], stored_at_ms: int) -> Sequence[str]:
        """Offer these payloads of `store_refused` rows once more. For each why it is refused still; empty: stored.

        Writing one twice changes nothing. Raises contract.ports.StoreFault.
        """


class QuarantineRows(Protocol):
    """Reading the quarantine; any thread. Everything that asks the disk raises OSError. Changes go with an append."""

    def page(self, limit: int, *, before: int | None = None, wanted: Wanted = ALL) -> Sequence[Quarantined]:
        """Newest first; `before` is the number of the last row of the page before."""

    def behind(self, after: int, limit: int, wanted: Wanted = ALL) -> Sequence[Quarantined]:
        """Oldest first, those with a greater number than `after`."""

    def rows(self, numbers: Sequence[int]) -> Sequence[Quarantined]:
        """Those of these that are there, oldest first."""

    def count(self, wanted: Wanted = ALL) -> int: ...

    def has_room(self, row: Quarantined, beside_bytes: int = 0) -> bool:
        """May it be put away within its share, that of its device or of all that are not registered?

        `beside_bytes` of the same share go there before it. What is there already, byte by byte, takes no room.
        """

    def use(self) -> QuarantineUse: ...
