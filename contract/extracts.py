"""Readings taken out of a store in bulk, as tables of columns: for exports and notebooks.

A table is one of Apache Arrow's (`pyarrow`), which the contract only names: whoever is behind the port makes it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import msgspec

from contract.ranges import Ranges
from contract.records import Quality

GOOD = "good"
ROWS_MAX = 65_536
"""Readings in one table: what a take-out costs in memory is bounded by it."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which readings of a kind. Times are measured times, Unix ms; the start is in it and the end not.

    An empty filter lets all pass; of several names in one, any will do. With `metrics`, only readings that have at
    least one of them, and no other metric of theirs.
    """

    start_ms: int
    end_ms: int
    assets: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    allowed: int | None = None  # Quality bits that a reading may have; None: any


class Extracts(Protocol):
    """Everything here raises StoreFault, and KeyError for a kind or a metric there is none of."""

    def schema(self, kind: str, metrics: tuple[str, ...] = ()) -> Any:
        """The columns, the same for every table of these metrics (all: of the kind, and what the store still has of
        metrics that the kind has lost): what a reading is, then a column a metric. Times are timestamps in ms, UTC; a
        number is a float64, a counter an int64, a boolean a bool, a word a string; what is unknown is null. A column
        tells its unit and meaning in its metadata."""

    def count(self, kind: str, wanted: Wanted) -> int:
        """How many there are; a store that cannot judge `allowed` by itself counts those too that it will not give."""

    def tables(self, kind: str, wanted: Wanted) -> Iterator[Any]:
        """In order of measured time, then device, stream and seq, ROWS_MAX at most in a table.

        Each table is a question of its own to the store, answered whole before it is handed out: whoever takes long
        over one keeps nothing open. So it is not the past of one moment: a reading that comes meanwhile may be in it.
        """


class Held(msgspec.Struct, frozen=True):
    """Which seqs of one (device, stream) a store holds, and of which it holds more than one reading."""

    device: str
    stream: str
    ranges: Ranges
    doubled: Ranges
    kept_seq: int | None = 0
    """The first of a time of which the store keeps everything: what lies before may be deleted as too old. 0 where
    nothing is; None where all that it holds came late, when what was measured then was deleted already."""


class Names(Protocol):
    """Recounts a store: every reading by its name, of kinds that are not loaded too, where it has them."""

    def held(self, told: Callable[[int], None]) -> Iterator[Held]:
        """Each (device, stream) once; `told` hears how many readings were counted since the last time.

        In parts, so that memory stays in bounds. Raises StoreFault.
        """

    def keeps_from_ms(self, now_ms: int, real_ms: int) -> Mapping[str, int]:
        """Kind → what was measured before may have been deleted as too old; without kinds of which nothing ever was.

        Seen from now, in city time and in the machine's. Raises StoreFault.
        """


def allowed_quality(words: Iterable[str]) -> int | None:
    """The bits of words such as ``late``; `GOOD` is none of them; no word at all is None. Raises ValueError."""
    bits: int | None = None
    for word in words:
        try:
            bit = 0 if word == GOOD else Quality[word.upper()].value
        except KeyError:
            raise ValueError(f"{word[:40]!r} is none of {', '.join(quality_words())}") from None
        bits = (bits or 0) | bit
    return bits


def quality_words() -> list[str]:
    return [GOOD, *(bit.name.lower() for bit in Quality if bit.name)]
