"""InfluxDB 2 as the store: one measurement a kind, in one bucket, asked in InfluxQL.

Theory of operation. A reading is one point. Its tags say of which device, asset, commune, zone and group it is; its
time is the measured time in ns, whose digits below the millisecond are made from stream and seq, so that a reading
written again is the same point and two of one millisecond are two (see `influx_lines`). Nothing in InfluxDB is a
transaction: `write` first hands over the readings, then what the server will never take goes to quarantine, and only
then does the position move, as a point of its own. Whatever happens in between, the writer begins again from the
position, and writing again changes nothing. The position is one point a log, overwritten, at a time far ahead, where
no retention period takes it away; InfluxDB put back from a backup tells an older one, and the log fills the rest.
"""

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from adapters.stores.influx_aggregates import InfluxAggregates
from adapters.stores.influx_lines import Batch, LineMaker, WrongType, find, point_line
from adapters.stores.influx_link import InfluxLink
from adapters.stores.influx_reading import InfluxReader
from adapters.stores.influx_refused import Refused, deliver
from adapters.stores.sifting import sift, uncounted
from contract.aggregates import FOREVER_MS
from contract.annals import Point, RefusedPoint
from contract.kind import Kinds, Value
from contract.losses import Loss
from contract.ports import PutAway, StoredReading, StoreFault
from contract.quarantine import STORE_REFUSED, Quarantined
from contract.questions import Question
from contract.records import Entry, Telemetry
from contract.wire import topics

LINES_MAX = 5_000  # in a request
POSITION = "nabd_position"
LOST = "nabd_lost"
POSITION_AT_NS = 7_258_118_400_000_000_000  # the year 2200
RETENTION = "retention policy"  # in the server's sentence about a point that is older than its bucket keeps
_STORED_AT = re.compile(r",stored_at_ms=\d+,")


class InfluxStore:
    """Implements contract.ports.Store and Archive, and contract.annals.Annals. Making one asks nothing of the server.

    `log` names the log whose positions are kept. `token` may be a function that reads it anew. `ca_file`: the only
    authority that counts for https; empty: the public ones.
    """

    def __init__(
        self,
        url: str,
        org: str,
        bucket: str,
        token: str | Callable[[], str],
        kinds: Kinds,
        timeout_s: float = 10.0,
        *,
        log: str = "log",
        ca_file: str = "",
    ) -> None:
        self.link = InfluxLink(url, org, bucket, token, timeout_s, ca_file)
        self.where = self.link.where
        self._kinds, self._log = kinds, log
        self._reader = InfluxReader(self.link, kinds)
        self._maker = LineMaker(kinds)
        self._write_lock = threading.Lock()
        self.aggregates = InfluxAggregates(self.link, kinds, log, self._write_lock, self._deliver_kept, self._deliver)
        self.passed_over = 0  # readings of kinds that are not loaded any more

    # -- writing

    def position(self) -> int:
        return self._reader.position(POSITION, self._log, POSITION_AT_NS)

    def lost(self) -> Loss | None:
        known = self.remembered(LOST)
        first = int(float(known.get("first", 0)))
        return Loss(first=first, last=int(float(known["last"]))) if first else None

    def keep_loss(self, loss: Loss | None) -> None:
        first, last = (loss.first, loss.last) if loss is not None else (0, 0)
        self.remember(LOST, {"first": float(first), "last": float(last)})

    def write(self, entries: Sequence[Entry], stored_at_ms: int, put_away: PutAway | None = None) -> int:
        if not entries:
            return 0
        with self._write_lock:
            self.aggregates.open()
            entries = uncounted(entries, self.aggregates.counted_upto, self.aggregates.raw_from_ms)
            offered = self._maker.add(entries, stored_at_ms)
            try:
                batches, refused = self._send()
            except WrongType as error:
                offered = self._maker.add(self._sift(entries, put_away, error), stored_at_ms)
                batches, refused = self._send()
            if refused:
                self._put_away(refused, put_away)
            self.aggregates.note(batches, stored_at_ms)
            self._move(entries[-1].position)
            lines = sum(len(batch.readings) for batch in batches)
            self.passed_over += offered - lines
        return lines - len(refused)

    def again(self, lines: Sequence[bytes], stored_at_ms: int) -> Sequence[str]:
        texts = [
            _STORED_AT.sub(f",stored_at_ms={stored_at_ms},", line.decode("utf-8", "replace"), count=1) for line in lines
        ]
        told = [""] * len(texts)
        with self._write_lock:
            self.aggregates.open()
            for at in range(0, len(texts), LINES_MAX):
                for one in deliver(self.link.post, texts[at : at + LINES_MAX]):
                    told[at + one.number] = f"{self.where} refuses this line for good: {one.sentence}"
            self.aggregates.note_lines(line for line, fault in zip(texts, told, strict=True) if not fault)
        return told

    def record(self, points: Sequence[Point]) -> Sequence[RefusedPoint]:
        lines = [point_line(point) for point in points]
        refused = []
        for at in range(0, len(lines), LINES_MAX):
            for one in deliver(self.link.post, lines[at : at + LINES_MAX]):
                sentence = f"{self.where}: refuses {one.line[:200]!r}: {one.sentence}"
                refused.append(RefusedPoint(point=points[at + one.number], sentence=sentence))
        return refused

    def remember(self, name: str, fields: Mapping[str, Value]) -> None:
        point = Point(measurement=name, tags={"log": self._log}, fields=fields, at_ns=POSITION_AT_NS)
        for refused in self.record([point]):
            raise StoreFault(refused.sentence)

    def remembered(self, name: str) -> Mapping[str, Value]:
        return self._reader.fields(name, self._log, POSITION_AT_NS)

    def _send(self) -> tuple[list[Batch], list[tuple[Batch, Refused]]]:
        """(what the maker gathered, a line a reading; the lines that were refused). Raises WrongType."""
        made = self._maker.take()
        refused = []
        for batch, lines in made:
            for at in range(0, len(lines), LINES_MAX):
                found = deliver(self.link.post, lines[at : at + LINES_MAX])
                refused += [(batch, one._replace(number=at + one.number)) for one in found]
        return [batch for batch, _ in made], refused

    def _sift(self, entries: Sequence[Entry], put_away: PutAway | None, error: WrongType) -> Sequence[Entry]:
        """Those without the readings that are not of their kind's types, which are put away."""
        if put_away is None:
            raise self._wrong_type(error) from None
        maker = LineMaker(self._kinds)

        def check(entry: Entry) -> None:
            maker.add([entry], 0)
            maker.take()

        good, bad = sift(entries, check, WrongType, self.where)
        put_away(bad)
        return good

    def _wrong_type(self, error: WrongType) -> StoreFault:
        return StoreFault(f"{self.where}: the log holds a value of another type than its kind says ({error})")

    def _put_away(self, refused: Sequence[tuple[Batch, Refused]], put_away: PutAway | None) -> None:
        if put_away is None:
            first = refused[0][1]
            raise StoreFault(
                f"{self.where}: refuses {len(refused)} readings, the first {first.line[:200]!r}: {first.sentence}"
            )
        put_away([self._quarantined(batch, one) for batch, one in refused])

    def _quarantined(self, batch: Batch, one: Refused) -> Quarantined:
        record, reading, received_at_ms = find(batch, one.number)
        line = _STORED_AT.sub(",stored_at_ms=0,", one.line, count=1)  # it never was; and the same each time
        return Quarantined(
            topic=topics.topic(record.device, topics.TELEMETRY),
            payload=line.encode(),
            code=STORE_REFUSED,
            sentence=f"{self.where} refuses this line for good: {one.sentence}",
            received_at_ms=received_at_ms,
            device=record.device,
            stream=record.stream,
            seq=reading.seq,
        )

    def _move(self, position: int) -> None:
        self.remember(POSITION, {"position": float(position)})

    def check_access(self) -> int:
        """May the bucket be read and written with this token? How long it keeps points, in s; 0 for ever.

        Raises StoreFault with what is wrong and the remedy.
        """
        self.position()
        deliver(self.link.post, [""])
        return self.link.keeps_s()

    # -- reading

    def readings(self, question: Question) -> Sequence[tuple[int, Value]]:
        self._kinds[question.kind].metrics[question.metric]
        return self._reader.readings(question, self.aggregates.reach(question.kind))

    def marks(
        self, *, kind: str, device: str, start_ms: int, end_ms: int, limit: int = 10_000
    ) -> Sequence[tuple[int, int]]:
        return self._reader.marks(kind, device, self._from_ms(kind, start_ms), end_ms, limit)

    def latest(self) -> Iterable[tuple[str, str, int, Mapping[str, Value]]]:
        return self._reader.latest()

    def count(self) -> int:
        return self._reader.count()

    # -- history

    def span(self) -> tuple[int, int] | None:
        return self._reader.span()

    def held(self, start_ms: int, end_ms: int) -> Mapping[str, int]:
        return {kind: self._reader.held(kind, self._from_ms(kind, start_ms), end_ms) for kind in self._kinds}

    def history(self, start_ms: int, end_ms: int) -> Iterator[StoredReading]:
        for kind in self._kinds:
            yield from self._reader.history(kind, self._from_ms(kind, start_ms), end_ms)

    def _from_ms(self, kind: str, start_ms: int) -> int:
        """Late readings of a time that is gone are no history: they stand in its aggregates."""
        return max(start_ms, self.aggregates.reach(kind).raw_ms)

    def take(self, readings: Sequence[StoredReading]) -> int:
        """Of a time whose raw readings are gone, none is taken: it may count in the aggregates already."""
        with self._write_lock:
            self.aggregates.open()
            readings = [one for one in readings if not self._is_gone(one.record)]
            for one in readings:
                self._maker.add([Entry(0, one.received_at_ms, one.record)], one.stored_at_ms)
            try:
                batches, refused = self._send()
            except WrongType as error:
                raise self._wrong_type(error) from None
            if refused:
                self._put_away(refused, None)
            self.aggregates.note(batches, FOREVER_MS)  # it is over, whenever that was
        return sum(len(batch.readings) for batch in batches)

    def _is_gone(self, record: Telemetry) -> bool:
        return record.readings[0].measured_at_ms < self.aggregates.raw_from_ms(record.kind)

    def _deliver(self, lines: Sequence[str]) -> None:
        for refused in deliver(self.link.post, list(lines)):
            raise StoreFault(f"{self.where}: refuses {refused.line[:200]!r}: {refused.sentence}")

    def _deliver_kept(self, lines: Sequence[str]) -> None:
        """The same for what goes by itself with its time: beyond the bucket's retention period it is gone already."""
        for refused in deliver(self.link.post, list(lines)):
            if RETENTION not in refused.sentence.lower():
                raise StoreFault(f"{self.where}: refuses {refused.line[:200]!r}: {refused.sentence}")

    def close(self) -> None:
        self.link.close()
