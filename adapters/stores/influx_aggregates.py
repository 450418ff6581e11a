"""InfluxDB's aggregates: points of `street_light_5m` and `street_light_1h`, made by Nabd itself.

Theory of operation. An aggregate is a point with a reading's tags, at the beginning of its bucket; made again, it is
the same point, so a step that was broken off is simply made again. A mark is a point of `nabd_marks` in its hour, 1
while the hour must be aggregated and 0 when that is done. It is written after its readings and before the position
moves. Whoever takes hours has them out of memory first, while nobody writes; they are written down as done only when
no new mark came meanwhile.

`nabd_retired` says of each kind from when on raw readings and five minutes are there, 0 until there was one to delete,
and up to when raw readings are just being deleted. A deletion that was broken off is finished before anything is
written: what comes late for that time would be deleted with it. A late reading stays raw beside `street_light_known`,
what the five minutes were without it, for as long as the five minutes do. Where five minutes are gone, too, nothing
could make the hour anew: late readings are added to it, and its field `merged` names them in the same point, so that
each is added once.
"""

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from adapters.stores.aggregates import Befores, Measured, five_minutes, lasts, roll_up
from adapters.stores.influx_aggregate_rows import RETIRED, Deliver, InfluxRows, Series, counters_of, measurement
from adapters.stores.influx_lines import Batch, point_line, tag_text, tag_value
from adapters.stores.influx_link import InfluxLink
from adapters.stores.influxql import bounds_ns, name, text
from adapters.stores.marks import EVERYONE, Marks, Stretch
from adapters.stores.spans import Reach
from contract.aggregates import FIVE_MINUTES_MS, FOREVER_MS, HOUR_MS, Behind, Gone, Place, Row, Step, hour_of
from contract.annals import NS_PER_MS, Point
from contract.kind import DAY_MS, Kind, Kinds

MARKS = "nabd_marks"
COUNTED = "nabd_counted"
RETIRED_AT_NS = 7_258_118_400_000_000_000  # the year 2200, as the position
ROWS = 2_000  # gathered before they are written
DEVICES = 100  # named in one question
RETIRE_MS = DAY_MS  # of one kind, in one step
MERGED = "merged"  # of an hour: which late readings, that are still there, count in it
LAST_MS = 9_000_000_000_000


class InfluxAggregates:
    """Implements contract.aggregates.Aggregating and AggregateArchive for InfluxStore."""

    def __init__(
        self, link: InfluxLink, kinds: Kinds, log: str, lock: threading.Lock, deliver: Deliver, deliver_all: Deliver
    ) -> None:
        """`log` names the log whose readings are written. `lock`: whoever has it is the only one to write readings.
        `deliver` writes lines, but for those that the bucket deletes as too old; `deliver_all` raises StoreFault for
        these."""
        self._link, self._kinds, self._log, self._lock, self._deliver = link, kinds, log, lock, deliver
        self._of, self._of_all = InfluxRows(link, deliver), InfluxRows(link, deliver_all)
        self.marks = Marks()
        self._gone: dict[str, Gone] = {}
        self.counted_upto = 0  # of the log; 0 before `open`
        self._is_open = False

    def open(self) -> None:
        """Learn what is marked and what is gone; finish a deletion. Whoever writes calls it first, with the lock."""
        if self._is_open:
            return
        gone: dict[str, Gone] = {}
        for kind, raw_ms, five_ms, deleting_ms in self._of.rows(
            f'SELECT "kind", "raw_ms", "five_minutes_ms", "deleting_ms" FROM {name(RETIRED)}', skip=1
        ):
            gone[kind] = Gone(int(raw_ms), int(five_ms))
            if deleting_ms > raw_ms and kind in self._kinds:
                self._delete_raw(kind, int(raw_ms), int(deleting_ms))
                gone[kind] = Gone(int(deleting_ms), int(five_ms))
        marked = f'SELECT "kind", "device", "marked" FROM {name(MARKS)} WHERE "marked" > 0'
        for at_ns, kind, device in self._of.rows(marked, last=-1):
            if kind in self._kinds:
                self.marks.add(kind, [(at_ns // NS_PER_MS, tag_value(device or EVERYONE))])
        for kind in self._kinds.keys() - gone.keys():
            self.mark(kind, [(hour_ms, EVERYONE) for hour_ms in self._hours_of(kind)])
            gone[kind] = Gone(0, 0)
        counted = f'SELECT "position" FROM {name(COUNTED)} WHERE "log" = {text(tag_text(self._log))}'
        self.counted_upto = max((int(position) for _, position in self._of.rows(counted)), default=0)
        self._gone = gone
        for kind in self._kinds:
            self._write_gone(kind)
        self._is_open = True

    def _hours_of(self, kind: str) -> list[int]:
        """All hours with raw readings."""
        first_ms = self._first(kind, "seq", 0, LAST_MS)
        if first_ms is None:
            return []
        start_ns, end_ns = bounds_ns(hour_of(first_ms), LAST_MS)
        last = self._of.rows(f'SELECT last("seq") FROM {name(kind)} WHERE time >= {start_ns} AND time < {end_ns}')
        end_ns = max(at_ns for at_ns, _ in last) + 1
        where = f"WHERE time >= {start_ns} AND time < {end_ns} GROUP BY time(1h) fill(none)"
        return [at_ns // NS_PER_MS for at_ns, _ in self._of.rows(f'SELECT count("seq") FROM {name(kind)} {where}')]

    def note(self, batches: Iterable[Batch], now_ms: int) -> None:
        """Mark the hours of readings that are written."""
        for batch in batches:
            times = [one.measured_at_ms for one in batch.readings]
            if times and not self.marks.knows(batch.kind, min(times), max(times)):
                self.mark(batch.kind, self.marks.note(batch.kind, batch.measured(), now_ms))

    def note_lines(self, lines: Iterable[str]) -> None:
        """Mark the hours of readings that are written as lines of protocol."""
        hours: dict[str, set[int]] = {}
        for line in lines:
            kind, at_ns = line.partition(",")[0], int(line.rpartition(" ")[2])
            hours.setdefault(kind, set()).add(hour_of(at_ns // NS_PER_MS))
        for kind in hours.keys() & self._kinds.keys():
            self.mark(kind, [(hour_ms, EVERYONE) for hour_ms in sorted(hours[kind])])

    def mark(self, kind: str, marks: Sequence[tuple[int, str]], marked: float = 1.0) -> None:
        lines = []
        for hour_ms, device in marks:
            tags = {"kind": kind, "device": device}
            lines.append(
                point_line(Point(measurement=MARKS, tags=tags, fields={"marked": marked}, at_ns=hour_ms * NS_PER_MS))
            )
        if lines:
            self._deliver(lines)
        if marked:
            self.marks.add(kind, marks)

    def reach(self, kind: str) -> Reach:
        with self._lock:
            self.open()
        first_ms = self.marks.first_ms(kind, self._gone[kind].raw_ms)
        return Reach(*self._gone[kind], FOREVER_MS if first_ms is None else first_ms)

    # -- Aggregating

    def downsample(self, now_ms: int) -> Step | None:
        with self._lock:
            self.open()
            taken = self.marks.take(now_ms, self.raw_from_ms)
        if taken is None:
            return None
        try:
            written = self._aggregate(self._kinds[taken.kind], taken)
            with self._lock:
                again = {hour_ms for hour_ms in taken.hours() if self.marks.is_marked(taken.kind, hour_ms)}
                devices = taken.devices or (EVERYONE,)
                done = [(hour_ms, one) for hour_ms in taken.hours() if hour_ms not in again for one in devices]
                self.mark(taken.kind, done, marked=0.0)
        except BaseException:
            self.marks.put_back(taken)
            raise
        self.marks.done()
        return Step(kind=taken.kind, start_ms=taken.start_ms, end_ms=taken.end_ms, rows=written)

    def retire(self, now_ms: int) -> int:
        """How many hours of readings or aggregates went: InfluxDB does not tell how many points."""
        with self._lock:
            self.open()
            return sum(self._retire(kind, now_ms) for kind in self._kinds.values())

    def behind(self, now_ms: int) -> Behind:
        return self.marks.behind(now_ms)

    # -- AggregateArchive

    def gone(self, kind: str) -> Gone:
        reach = self.reach(kind)
        return Gone(reach.raw_ms, reach.five_minutes_ms)

    def aggregates(self, kind: str, every_ms: int, before_ms: int) -> Iterator[Row]:
        start_ns, end_ns = bounds_ns(0, before_ms)
        where = f"WHERE time >= {start_ns} AND time < {end_ns}"
        return self._of.fetch(self._kinds[kind], measurement(kind, every_ms), where)

    def counts(self, kind: str, before_ms: int) -> int:
        start_ns, end_ns = bounds_ns(0, before_ms)
        source = name(measurement(kind, HOUR_MS))
        query = f'SELECT sum("readings") FROM {source} WHERE time >= {start_ns} AND time < {end_ns}'
        return int(sum(readings for _, readings in self._of.rows(query)))

    def take_aggregates(self, kind: str, every_ms: int, rows: Sequence[Row]) -> None:
        self._of_all.write(self._kinds[kind], measurement(kind, every_ms), rows)

    def take_gone(self, kind: str, gone: Gone) -> None:
        with self._lock:
            self.open()
            self._gone[kind] = gone
            self._write_gone(kind)

    def take_counted(self, upto: int) -> None:
        with self._lock:
            self.open()
            self.counted_upto = max(self.counted_upto, upto)
            fields = {"position": float(self.counted_upto)}
            point = Point(measurement=COUNTED, tags={"log": self._log}, fields=fields, at_ns=RETIRED_AT_NS)
            self._deliver([point_line(point)])

    def raw_from_ms(self, kind: str) -> int:
        """From when on raw readings are there; 0 before `open`."""
        return self._gone[kind].raw_ms if kind in self._gone else 0

    # -- one stretch of hours

    def _aggregate(self, kind: Kind, taken: Stretch) -> int:
        if taken.devices is None:
            return self._aggregate_of(kind, taken, "")
        written = 0
        devices = iter(sorted(taken.devices))
        while chosen := list(islice(devices, DEVICES)):
            some = " OR ".join(f'"device" = {text(tag_text(device))}' for device in chosen)
            written += self._aggregate_of(kind, taken, f" AND ({some})")
        return written

    def _aggregate_of(self, kind: Kind, taken: Stretch, only: str) -> int:
        """How many rows were written. Before any of them, the hours are marked whose increase follows from it: a step
        that is made again could not tell any more that it has changed something."""
        start_ns, end_ns = bounds_ns(taken.start_ms, taken.end_ms)
        within = f"WHERE time >= {start_ns} AND time < {end_ns}{only}"
        raw_ms, five_ms = self._gone[kind.name]
        is_gone, width_ms = taken.start_ms < raw_ms, FIVE_MINUTES_MS
        if is_gone and taken.start_ms < five_ms:
            width_ms = HOUR_MS
        source = measurement(kind.name, width_ms)
        was = self._of.lasts(kind, source, within)
        near_ns, _ = bounds_ns(taken.start_ms - DAY_MS, 0)
        before = self._of.lasts(kind, source, f"WHERE time >= {near_ns} AND time < {start_ns}{only}")
        written, rows, changed = 0, list[Row](), set[Series]()

        def put() -> int:
            if changed:
                following = self._followers(kind, end_ns, only, changed)
                with self._lock:
                    self.mark(kind.name, following)
            return self._put(kind, rows, width_ms)

        for device, series in self._late(kind, source, within) if is_gone else self._of.raw(kind, within):
            for asset, measured in series.items():
                key = device, asset
                found = self._before(kind, key, before.get(key, {}), taken.start_ms)
                if width_ms == HOUR_MS:
                    made = self._added(kind, taken.start_ms, key, measured, found)
                else:
                    known = self._known(kind, taken.start_ms, key) if is_gone else []
                    made = five_minutes(kind, measured, found, known)
                rows += made
                if lasts(kind, made) != was.get(key, {}):
                    changed.add(key)
            if len(rows) >= ROWS:
                written += put()
                rows.clear()
                changed.clear()
        return written + put()

    def _put(self, kind: Kind, rows: Sequence[Row], width_ms: int) -> int:
        """Hours as they are; five minutes with the hours that follow from them."""
        self._of.write(kind, measurement(kind.name, width_ms), rows)
        if width_ms == HOUR_MS:
            return len(rows)
        hours = roll_up(kind, rows)
        self._of.write(kind, measurement(kind.name, HOUR_MS), hours)
        return len(rows) + len(hours)

    def _added(self, kind: Kind, hour_ms: int, key: Series, measured: Sequence[Measured], before: Befores) -> list[Row]:
        """An hour whose five minutes are gone, with those of its late readings that it does not have yet."""
        was = list(self._of.fetch(kind, measurement(kind.name, HOUR_MS), self._of_hour(hour_ms, key)))
        merged = {name for row in was for name in str(row.cells.pop(MERGED, "")).split()}
        news = [one for one in measured if _named(one) not in merged]
        rows = five_minutes(kind, news, before, was, HOUR_MS)
        for row in rows:
            if names := [_named(one) for one in measured if one.place == row.place]:
                row.cells[MERGED] = " ".join(names)
        return rows

    def _late(self, kind: Kind, source: str, within: str) -> Iterator[tuple[str, dict[str, list[Measured]]]]:
        """The same where raw readings are gone: also of those who have aggregates only."""
        found: dict[str, dict[str, list[Measured]]] = defaultdict(dict)
        for row in self._of.fetch(kind, source, within):
            found[row.place.device][row.place.asset] = []
        for device, series in self._of.raw(kind, within):
            found[device].update(series)
        yield from sorted(found.items())

    def _known(self, kind: Kind, hour_ms: int, key: Series) -> list[Row]:
        """What five minutes of an hour were when raw readings went; written down before anything is added to them."""
        where = self._of_hour(hour_ms, key)
        known = list(self._of.fetch(kind, f"{kind.name}_known", where))
        if not known:
            known = list(self._of.fetch(kind, measurement(kind.name, FIVE_MINUTES_MS), where))
            none = Row(place=Place(*key), at_ms=hour_ms, cells={"readings": 0.0})
            self._of.write(kind, f"{kind.name}_known", known or [none])
        return [row for row in known if row.cells.get("readings")]

    @staticmethod
    def _of_hour(hour_ms: int, key: Series) -> str:
        start_ns, end_ns = bounds_ns(hour_ms, hour_ms + HOUR_MS)
        device, asset = (text(tag_text(word)) for word in key)
        return f'WHERE time >= {start_ns} AND time < {end_ns} AND "device" = {device} AND "asset" = {asset}'

    # -- what lies before and after

    def _before(self, kind: Kind, key: Series, near: dict[str, tuple[int, float]], start_ms: int) -> Befores:
        """What the counters of a device on an asset showed last; silent for a day, it is looked for in all hours."""
        lacking = [metric for metric in counters_of(kind) if metric not in near]
        if lacking:
            _, end_ns = bounds_ns(0, start_ms)
            device, asset = (text(tag_text(word)) for word in key)
            where = f'WHERE time < {end_ns} AND "device" = {device} AND "asset" = {asset}'
            far = self._of.lasts(kind, measurement(kind.name, HOUR_MS), where).get(key, {})
            near = {**far, **near}
        return {metric: value for metric, (_, value) in near.items()}

    def _followers(self, kind: Kind, end_ns: int, only: str, changed: set[Series]) -> list[tuple[int, str]]:
        marks = set()
        source = name(measurement(kind.name, HOUR_MS))
        for metric in counters_of(kind):
            count = name(f"{metric}.count")
            where = f"WHERE time >= {end_ns}{only} GROUP BY *"
            firsts: dict[Series, int] = {}
            for series in self._link.ask(f"SELECT first({count}) FROM {source} {where}"):
                key = tag_value(series.tags.get("device", "")), tag_value(series.tags.get("asset", ""))
                at_ms = series.values[0][0] // NS_PER_MS
                firsts[key] = min(at_ms, firsts.get(key, at_ms))
            marks |= {(at_ms, key[0]) for key, at_ms in firsts.items() if key in changed}
        return sorted(marks)

    # -- what is past its time

    def _retire(self, kind: Kind, now_ms: int) -> int:
        raw_ms, five_ms = self._gone[kind.name]
        gone, end_ms = 0, min(hour_of(now_ms - kind.keep.raw_ms), self.marks.first_ms(kind.name, raw_ms) or FOREVER_MS)
        if raw_ms < end_ms:
            first_ms = self._first(kind.name, "seq", raw_ms, end_ms)
            if first_ms is not None:
                end_ms = min(end_ms, hour_of(first_ms) + RETIRE_MS)
                self._is_open = False  # should this be broken off, `open` finishes it
                self._write_gone(kind.name, end_ms)
                self._delete_raw(kind.name, raw_ms, end_ms)
                gone += (end_ms - hour_of(first_ms)) // HOUR_MS
                self._gone[kind.name] = Gone(end_ms, five_ms)
                self._write_gone(kind.name)
                self._is_open = True
        five_ms = hour_of(now_ms - kind.keep.five_minutes_ms)  # they go with the late readings that count in them
        five_ms = min(five_ms, self._gone[kind.name].raw_ms, self.marks.first_ms(kind.name) or five_ms)
        for source, field, end_ms in (
            (measurement(kind.name, FIVE_MINUTES_MS), "readings", five_ms),
            (f"{kind.name}_known", "readings", five_ms),
            (kind.name, "seq", five_ms),  # late ones whose hour had gone
            (measurement(kind.name, HOUR_MS), "readings", hour_of(now_ms - kind.keep.hours_ms)),
        ):
            first_ms = self._first(source, field, 0, end_ms)
            if first_ms is not None:
                end_ms = min(end_ms, hour_of(first_ms) + RETIRE_MS)
                if source == measurement(kind.name, FIVE_MINUTES_MS):  # first: no hour is made from what is half gone
                    was = self._gone[kind.name]
                    self._gone[kind.name] = Gone(was.raw_ms, max(was.five_minutes_ms, end_ms))
                    self._write_gone(kind.name)
                self._link.delete(source, *bounds_ns(0, end_ms))
                gone += (end_ms - hour_of(first_ms)) // HOUR_MS
        return gone

    def _delete_raw(self, kind: str, start_ms: int, end_ms: int) -> None:
        self._link.delete(kind, *bounds_ns(start_ms, end_ms))

    def _first(self, source: str, field: str, start_ms: int, end_ms: int) -> int | None:
        start_ns, end_ns = bounds_ns(start_ms, end_ms)
        if start_ns >= end_ns:
            return None
        where = f"WHERE time >= {start_ns} AND time < {end_ns}"
        for at_ns, _ in self._of.rows(f"SELECT first({name(field)}) FROM {name(source)} {where}"):
            return int(at_ns // NS_PER_MS)
        return None

    def _write_gone(self, kind: str, deleting_ms: int = 0) -> None:
        raw_ms, five_ms = self._gone[kind]
        fields = {"raw_ms": float(raw_ms), "five_minutes_ms": float(five_ms), "deleting_ms": float(deleting_ms)}
        self._deliver([point_line(Point(measurement=RETIRED, tags={"kind": kind}, fields=fields, at_ns=RETIRED_AT_NS))])


def _named(one: Measured) -> str:
    return f"{one.stream}.{one.seq}"
