"""What becomes of the small channels: `status`, `reported`, `result`, `log` and `time`. See `channels` for the reading.

Status and reported are ordered (`order`): only news becomes a record, the rest is counted as old.
"""

import logging
from collections.abc import Callable, Mapping

import msgspec

from contract.ports import Clock, Device, Message
from contract.records import DeviceLog, Result, Status
from contract.wire import messages, topics
from contract.wire.messages import OUT_OF_RANGE, SLEEP_MS_MAX, WireFault
from ingest.batch import Batch, Heard
from ingest.channels import read_device_log, read_reported, read_result, read_status, read_time_request
from ingest.clocks import ahead_at_birth_ms
from ingest.decode import JsonReader
from ingest.limits import Gate
from ingest.order import take_reported, take_status
from ingest.validate import Validator

logger = logging.getLogger("ingest")

OTHER_KINDS_MAX = 1_000  # devices of which it is remembered that this was logged

Known = Callable[[str], tuple[Device, Validator] | None]
"""Device id → the device and the rules of its kind; None when one of the two is not known."""


class SmallChannels:
    """Takes messages into a batch. Each method raises WireFault for what cannot be read."""

    def __init__(self, known: Known, reader: JsonReader, clock: Clock, gate: Gate) -> None:
        self._known, self._reader, self._clock, self._gate = known, reader, clock, gate
        self._other_kinds: dict[str, str] = {}  # device → the kind it was born as, when that is not the registered one
        self.takers: Mapping[str, Callable[[Batch, str, Message], None]] = {
            topics.STATUS: self._status,
            topics.REPORTED: self._reported,
            topics.RESULT: self._result,
            topics.LOG: self._device_log,
            topics.TIME: self._time,
        }

    def _status(self, batch: Batch, device_id: str, message: Message) -> None:
        if not message.payload:  # who revokes a device clears what the broker retains of it
            batch.count("cleared")
            return
        document, duplicates = self._reader.read(message.payload)
        status, unknown = read_status(device_id, document)
        batch.count("unknown_keys", unknown)
        batch.count("duplicate_keys", duplicates)
        known = self._known(device_id)
        if known is not None and status.online and not self._gate.takes_stream(batch, device_id, status.stream):
            return
        if status.online:
            batch.kept[device_id, status.stream] = known is None  # every birth is answered, news or not
            ahead_ms = batch.stream(device_id, status.stream).ahead_in_ms(status.boot) if known is not None else 0
            status = _by_our_clock(status, ahead_ms, batch.now_ms)
        if known is None and status.online:
            batch.heard.append((device_id, Heard(status.stream, birth=status)))
        elif known is None:
            batch.count("wills_of_unregistered")
        elif not take_status(batch.ordering(device_id, status), status):
            batch.count("old_news")
        else:
            batch.records.append(status)
            if status.online:
                batch.born(status)
                if status.kind != known[0].kind:
                    batch.count("kind_differs")
                    self._tell_other_kind(known[0], status.kind)

    def _tell_other_kind(self, device: Device, born: str) -> None:
        """Once, until it changes."""
        if self._other_kinds.get(device.device) != born:
            logger.warning("event=kind_differs device=%s registered=%s born=%s", device.device, device.kind, born)
            if len(self._other_kinds) >= OTHER_KINDS_MAX:
                self._other_kinds.clear()
            self._other_kinds[device.device] = born

    def _reported(self, batch: Batch, device_id: str, message: Message) -> None:
        if not message.payload:
            batch.count("cleared")
            return
        document, duplicates = self._reader.read(message.payload)
        known = self._known(device_id)
        reported, unknown = read_reported(device_id, document, known[1].kind if known is not None else None)
        batch.count("unknown_keys", unknown)
        batch.count("duplicate_keys", duplicates)
        if known is None:
            batch.count("reports_of_unregistered")
        elif take_reported(batch.current(device_id), reported):
            batch.records.append(reported)
        else:
            batch.count("old_news")

    def _result(self, batch: Batch, device_id: str, message: Message) -> None:
        document, duplicates = self._reader.read(message.payload)
        result, unknown = read_result(device_id, document)
        batch.count("unknown_keys", unknown)
        batch.count("duplicate_keys", duplicates)
        self._of_registered(batch, device_id, result)

    def _device_log(self, batch: Batch, device_id: str, message: Message) -> None:
        document, duplicates = self._reader.read(message.payload)
        remark, unknown = read_device_log(device_id, document)
        batch.count("unknown_keys", unknown)
        batch.count("duplicate_keys", duplicates)
        self._of_registered(batch, device_id, remark)

    def _of_registered(self, batch: Batch, device_id: str, record: Result | DeviceLog) -> None:
        """To the log, which no stranger can fill: what a device that is not registered says here is counted only."""
        if self._known(device_id) is None:
            batch.count("remarks_of_unregistered")
        else:
            batch.records.append(record)

    def _time(self, batch: Batch, device_id: str, message: Message) -> None:
        document, duplicates = self._reader.read(message.payload)
        nonce, unknown = read_time_request(document)
        batch.count("unknown_keys", unknown)
        batch.count("duplicate_keys", duplicates)
        batch.replies.append((topics.topic(device_id, topics.NOW), messages.now(nonce, self._clock.now_ms())))


def _by_our_clock(birth: Status, ahead_ms: int, now_ms: int) -> Status:
    """A birth with the end of its sleep by our clock; `ahead_ms`: see `ahead_at_birth_ms`. Raises WireFault."""
    if birth.asleep_until_ms is None:
        return birth
    until_ms = birth.asleep_until_ms - ahead_at_birth_ms(birth.measured_at_ms, ahead_ms, now_ms)
    if until_ms - now_ms > SLEEP_MS_MAX:
        said = f"asleep_until: {birth.asleep_until_ms} is {(until_ms - now_ms) // 1000} s ahead"
        raise WireFault(OUT_OF_RANGE, f"{said}, more than {SLEEP_MS_MAX // 1000}")
    return msgspec.structs.replace(birth, asleep_until_ms=until_ms)
