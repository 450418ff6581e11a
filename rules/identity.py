"""Two nodes under one name: recognised from the log, told as an alarm of the platform itself.

Theory of operation. A node's memory is one stream. A node that was re-imaged, or whose memory was formatted, goes on in
a new stream, and the old one is never heard again but for readings that were on their way. Two nodes with the
credentials of one device are heard by turns: each connects, the broker ends the other's session, and the first connects
again. So the device *returns* to a stream that another had followed: with a birth, or with readings measured after
the other stream began. RETURNS_MIN returns within WINDOW_MS are two nodes. Two nodes that also share a memory, because
one is a copy of the other, have one stream, and give the same seq to different readings: ingest notes each as
Conflicted, and CONFLICTS_MIN of these notes within WINDOW_MS are two nodes as well.

The alarm ends when WINDOW_MS went by without a further sign. Pure, like the engine: the same records, the same alarms.
"""

from typing import Any

import msgspec

from contract.decisions import Alarm, AlarmState, Severity, identify
from contract.ports import SnapshotFault
from contract.records import Conflicted, Entry, Status, Telemetry, Tick

RULE = "nabd.two_nodes"
WINDOW_MS = 86_400_000
RETURNS_MIN = 3
CONFLICTS_MIN = 3
STREAMS_MAX = 4  # remembered of one device; the oldest are forgotten first
TEXT = {
    "ar": "عقدتان تحملان هوية واحدة: {device}",
    "fr": "Deux nœuds sous une seule identité : {device}",
    "en": "Two nodes under one identity: {device}",
}


class Known(msgspec.Struct, array_like=True):
    """What is remembered of one device."""

    stream: str = ""  # the one it is in
    asset: str = ""
    kind: str = ""
    began: dict[str, int] = {}  # stream → city time from which it is known to have been running
    returns: list[int] = []  # city times of the last RETURNS_MIN
    conflicts: list[int] = []  # … and of the last CONFLICTS_MIN notes of conflicts
    alarm: Alarm | None = None  # the one that fires
    sign_ms: int = 0  # city time of the last sign of two nodes


_Image = dict[str, Known]


class IdentityWatch:
    """Follows which stream each device is in. One thread at a time."""

    def __init__(self) -> None:
        self._devices: _Image = {}
        self._firing: set[str] = set()

    def apply(self, entry: Entry) -> list[Alarm]:
        """The alarms that follow from one entry. Entries come once, in the order of the log."""
        record = entry.record
        kind: Any = type(record)
        if kind is Telemetry:
            assert isinstance(record, Telemetry)
            known = self._devices.get(record.device)
            if record.came_at_ms:
                return []  # a replay stores what was said long ago
            if known is not None and known.stream == record.stream and known.asset == record.asset:
                return []  # as nearly always
            return self._telemetry(record, entry.at_ms)
        if kind is Status:
            assert isinstance(record, Status)
            if not record.online or not record.stream:
                return []
            return self._heard(record.device, record.stream, entry.at_ms, entry.at_ms, entry.at_ms)
        if kind is Conflicted:
            assert isinstance(record, Conflicted)
            return self._conflicted(record, entry.at_ms)
        return self._quiet(entry.at_ms) if kind is Tick and self._firing else []

    def _telemetry(self, record: Telemetry, at_ms: int) -> list[Alarm]:
        known = self._devices.setdefault(record.device, Known())
        known.asset, known.kind = record.asset, record.kind
        if not record.readings:
            return []
        times = [reading.measured_at_ms for reading in record.readings]
        return self._heard(record.device, record.stream, min(times), max(times), at_ms)

    def _heard(self, device: str, stream: str, first_ms: int, last_ms: int, at_ms: int) -> list[Alarm]:
        """A device was heard in a stream; it was running there from `first_ms` to `last_ms`."""
        known = self._devices.setdefault(device, Known())
        if stream == known.stream:
            return []
        if known.stream and last_ms <= known.began[known.stream]:
            return []  # it was on its way while the node began anew
        returned = stream in known.began
        if not returned:
            known.began[stream] = first_ms
            while len(known.began) > STREAMS_MAX:
                del known.began[next(iter(known.began))]
        former, known.stream = known.stream, stream
        if not returned:
            return []
        known.returns = _within(known.returns, at_ms, RETURNS_MIN)
        because = f"{len(known.returns)} returns between streams {former} and {stream} within 24 h"
        return self._sign(device, known, known.returns, RETURNS_MIN, because, at_ms)

    def _conflicted(self, record: Conflicted, at_ms: int) -> list[Alarm]:
        known = self._devices.setdefault(record.device, Known())
        known.conflicts = _within(known.conflicts, at_ms, CONFLICTS_MIN)
        times = len(known.conflicts)
        because = f"stream {record.stream} gave seq {record.seq} to other readings; {times} times within 24 h"
        return self._sign(record.device, known, known.conflicts, CONFLICTS_MIN, because, at_ms)

    def _sign(self, device: str, known: Known, signs: list[int], least: int, because: str, at_ms: int) -> list[Alarm]:
        known.sign_ms = at_ms
        if known.alarm is not None or len(signs) < least or not known.asset:
            return []
        known.alarm = Alarm(
            alarm=identify(RULE, device, signs[0]),
            rule=RULE,
            device=device,
            asset=known.asset,
            kind=known.kind,
            severity=Severity.MAJOR,
            state=AlarmState.FIRING,
            since_ms=signs[0],
            fired_at_ms=at_ms,
            text={language: text.format(device=device) for language, text in TEXT.items()},
            because=because,
        )
        self._firing.add(device)
        return [known.alarm]

    def _quiet(self, at_ms: int) -> list[Alarm]:
        """Alarms of which there was no further sign for long."""
        ended = []
        for device in sorted(self._firing):
            known = self._devices[device]
            if known.alarm is not None and at_ms - known.sign_ms > WINDOW_MS:
                ended.append(msgspec.structs.replace(known.alarm, state=AlarmState.RESOLVED, resolved_at_ms=at_ms))
                known.alarm, known.returns, known.conflicts = None, [], []
                self._firing.discard(device)
        return ended

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode(self._devices)

    def restore(self, snapshot: bytes) -> None:
        """Take over a snapshot, in place of all that is there; an empty one is a beginning. Raises SnapshotFault."""
        try:
            self._devices = msgspec.msgpack.decode(snapshot, type=_Image) if snapshot else {}
        except msgspec.DecodeError as error:
            raise SnapshotFault(f"not a snapshot of the watch over identities: {error}") from None
        self._firing = {device for device, known in self._devices.items() if known.alarm is not None}


def _within(times: list[int], at_ms: int, most: int) -> list[int]:
    """Those of the last WINDOW_MS, and this one; `most` at most."""
    return [*(one for one in times if at_ms - one <= WINDOW_MS), at_ms][-most:]
