"""Line protocol, InfluxDB's format for points, made fast: on the way of every reading.

Theory of operation. All that is the same for the messages of one device (measurement, tags, the stream) is made once
and kept in a bounded cache, until it changes. The values of a whole batch come from one call of a JSON encoder, whose
floats are the shortest that read back as the same number and cost a quarter of Python's:
``{"power_w":61.2,"by":"lease"}`` becomes ``power_w=61.2,by="lease"`` by two replacements. Where the JSON has no
backslash, no text in it has a quote or a control character, and they are right; otherwise the slow way is taken.

InfluxDB has no way to write a tag value that ends in a backslash or holds a line's end: in tags these, and the percent
sign that names them, are written as in a URL (``%5C``); `tag_value` reads them back.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote
from zlib import crc32

import msgspec

from contract.annals import NS_PER_MS, Point, point_ns
from contract.kind import Kinds, MetricType, Value
from contract.records import Entry, Reading, Telemetry

HEADS_MAX = 50_000  # devices whose beginning of a line is kept; past it, all are made anew

FIELDS = ("stream", "boot", "received_at_ms", "stored_at_ms", "quality", "seq", "device_at_ms")
"""What a reading is, beside its tags and time; every other field is a metric."""

_ODD_IN_TAG = re.compile(r"[%\\\x00-\x1f\x7f]")
_SPECIAL_IN_TAG = re.compile(r"([,= ])")
_SPECIAL_IN_TEXT = re.compile(r'(["\\])')
_encode = msgspec.json.Encoder().encode


Facts = tuple[str, str, str, str, str, str]
"""(stream, asset, kind, commune, zone, group) of a device's last message."""
Head = tuple[Facts, str, int]
"""(for which facts it holds, the beginning of a line, what the time's digits count from)."""


class WrongType(Exception):
    """A metric's value is a word where its kind wants a number, or the other way round."""


def tag_text(value: str) -> str:
    """The tag value that stands for this text; queries compare with it."""
    return _ODD_IN_TAG.sub(lambda found: f"%{ord(found[0]):02X}", value)


def tag_value(text: str) -> str:
    """The text that a tag value stands for."""
    return unquote(text) if "%" in text else text


def at_ns(measured_at_ms: int, stream: str, seq: int) -> int:
    """The time of a reading's point: a device's readings of one millisecond must differ, for one time is one point."""
    return point_ns(measured_at_ms, crc32(stream.encode()) + seq)


class Batch:
    """Readings of one kind, gathered to be made into lines at one go."""

    __slots__ = ("digits", "entries", "firsts", "kind", "readings", "starts")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        # A reading each:
        self.readings: list[Reading] = []
        self.starts: list[str] = []  # of its line, up to its quality
        self.digits: list[int] = []  # what the digits of its time count from
        # An entry each; lists side by side, for new objects would wake the garbage collector:
        self.firsts: list[int] = []  # the number of its first line
        self.entries: list[Entry] = []  # of telemetry

    def measured(self) -> Iterator[tuple[str, int]]:
        """(device, measured_at_ms) of each reading."""
        for entry in self.entries:
            record = entry.record
            assert isinstance(record, Telemetry), "nothing else is gathered"
            for reading in record.readings:
                yield record.device, reading.measured_at_ms


class LineMaker:
    """Readings as lines; one thread at a time."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._texts = {
            kind.name: {name: metric.type is MetricType.ENUM for name, metric in kind.metrics.items()}
            for kind in kinds.values()
        }
        self._heads: dict[str, Head] = {}
        self._batches: dict[str, Batch] = {}

    def add(self, entries: Iterable[Entry], stored_at_ms: int) -> int:
        """Gather the readings of these entries, and count them; those of a kind that is not loaded are counted only.

        One loop with everything in local names: it runs for every message of a city.
        """
        offered, heads, batch = 0, self._heads, Batch("")
        for entry in entries:
            record = entry.record
            if not isinstance(record, Telemetry):
                continue
            readings, kind = record.readings, record.kind
            offered += len(readings)
            if kind != batch.kind:
                if kind not in self._texts:
                    continue
                batch = self._batches.get(kind) or self._batches.setdefault(kind, Batch(kind))
                starts, digits, gathered = batch.starts, batch.digits, batch.readings
            head = heads.get(record.device)
            facts = (record.stream, record.asset, kind, record.commune, record.zone, record.group)
            if head is None or head[0] != facts:
                head = self._make_head(record.device, facts)
            _, text, counted_from = head
            received_at_ms = record.came_at_ms or entry.at_ms
            start = f"{text}boot={record.boot},received_at_ms={received_at_ms},stored_at_ms={stored_at_ms},quality="
            batch.firsts.append(len(gathered))
            batch.entries.append(entry)
            gathered.extend(readings)
            if len(readings) == 1:
                starts.append(start)
                digits.append(counted_from)
            else:
                starts.extend([start] * len(readings))
                digits.extend([counted_from] * len(readings))
        return offered

    def take(self) -> list[tuple[Batch, list[str]]]:
        """Everything gathered, as lines, and begin anew. Raises WrongType, and forgets what was gathered, too."""
        batches, self._batches = self._batches, {}
        return [(batch, self._lines(batch)) for batch in batches.values()]

    def _lines(self, batch: Batch) -> list[str]:
        if not batch.readings:
            return []
        texts = self._texts[batch.kind]
        encoded = _encode([reading.values for reading in batch.readings])
        words = sum(encoded.count(b'"%b":' % name.encode()) for name, is_text in texts.items() if is_text)
        if (
            encoded.count(b'"') != 2 * (encoded.count(b'":') + words)  # something is not of its type, or unknown
            or b"\\" in encoded
            or b"{}" in encoded
        ):
            fields, comma = [self._fields(batch, number) for number in range(len(batch.readings))], ""
        else:
            fields, comma = encoded[3:-2].decode().replace('":', "=").replace(',"', ",").split('},{"'), ","
        return [  # the time is that of `at_ns`, without a call for every reading
            f"{start}{one.quality},seq={one.seq}{_said(one)}{comma}{field} "
            f"{one.measured_at_ms * NS_PER_MS + (digits + one.seq) % NS_PER_MS}"
            for start, one, field, digits in zip(batch.starts, batch.readings, fields, batch.digits, strict=True)
        ]

    def _fields(self, batch: Batch, number: int) -> str:
        """The slow way: each value is looked at. With a comma before each field."""
        texts, fields = self._texts[batch.kind], [""]
        for name, value in batch.readings[number].values.items():
            if name in texts and texts[name] != isinstance(value, str):
                record, reading, _ = find(batch, number)
                raise WrongType(
                    f"{name} of {record.device} is {value!r} at seq {reading.seq} of stream {record.stream}, "
                    f"and {record.kind} wants {'a word' if texts[name] else 'a number'}"
                )
            fields.append(f"{_escaped(name)}={_value(value)}")
        return ",".join(fields)

    def _make_head(self, device: str, facts: Facts) -> Head:
        stream, asset, kind, commune, zone, group = facts
        tags = {"device": device, "asset": asset, "commune": commune, "zone": zone}
        if group:
            tags[self._kinds[kind].group or "group"] = group
        head = facts, f"{_series(kind, tags)} stream={_value(stream)},", crc32(stream.encode())
        if len(self._heads) >= HEADS_MAX:
            self._heads.clear()
        self._heads[device] = head
        return head


def _said(reading: Reading) -> str:
    """The field of what the device itself said, where that is not the point's time."""
    return "" if reading.device_at_ms is None else f",device_at_ms={reading.device_at_ms}"


def find(batch: Batch, number: int) -> tuple[Telemetry, Reading, int]:
    """Whose line this is, and when it was received."""
    place = bisect_right(batch.firsts, number) - 1
    entry = batch.entries[place]
    assert isinstance(entry.record, Telemetry), "nothing else is gathered"
    record = entry.record
    return record, record.readings[number - batch.firsts[place]], record.came_at_ms or entry.at_ms


def point_line(point: Point) -> str:
    """One line. Raises ValueError for a point without fields."""
    if not point.fields:
        raise ValueError(f"a point of {point.measurement} has no field")
    fields = ",".join(f"{_escaped(name)}={_value(value)}" for name, value in point.fields.items())
    return f"{_series(point.measurement, point.tags)} {fields} {point.at_ns}"


def _series(measurement: str, tags: Mapping[str, str]) -> str:
    """Measurement and tags, these in order: the server would have to sort them."""
    known = sorted((name, value) for name, value in tags.items() if value)
    text = "".join(f",{_escaped(name)}={_escaped(tag_text(value))}" for name, value in known)
    return re.sub(r"([, ])", r"\\\1", measurement) + text


def _escaped(text: str) -> str:
    return _SPECIAL_IN_TAG.sub(r"\\\1", text)


def _value(value: Value) -> str:
    """A field's value: a text in quotes, a number as a float (without a suffix every number is one)."""
    if isinstance(value, str):
        return '"' + _SPECIAL_IN_TEXT.sub(r"\\\1", value) + '"'
    return _encode(float(value)).decode()
