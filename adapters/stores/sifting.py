"""Readings that a store leaves out, told from those beside them: one wrong value must not keep back a city, and what
counts in aggregates, and is gone, must not count again."""

from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec.structs import replace

from contract.quarantine import STORE_REFUSED, Quarantined
from contract.records import Entry, Reading, Telemetry, Tick
from contract.wire import topics


def sift(
    entries: Iterable[Entry], check: Callable[[Entry], object], faults: type[Exception], where: str
) -> tuple[list[Entry], Sequence[Quarantined]]:
    """(the entries without the readings that `check` raises one of `faults` for, those readings).

    `check` is asked with entries of one telemetry record, whole and then, if it is refused, of one reading each.
    """
    good: list[Entry] = []
    refused: list[Quarantined] = []
    for entry in entries:
        record = entry.record
        if not isinstance(record, Telemetry) or not _why_not(entry, check, faults):
            good.append(entry)
            continue
        left = []
        for reading in record.readings:
            alone = replace(entry, record=replace(record, readings=(reading,)))
            if why := _why_not(alone, check, faults):
                refused.append(_quarantined(entry, record, reading, f"{where} can never hold this reading: {why}"))
            else:
                left.append(reading)
        if left:
            good.append(replace(entry, record=replace(record, readings=tuple(left))))
    return good, refused


def uncounted(entries: Sequence[Entry], upto: int, raw_from_ms: Callable[[str], int]) -> Sequence[Entry]:
    """Entries without the readings that aggregates count and that are gone: of positions up to `upto`, measured before
    the raw readings of their kind begin.

    An entry with nothing left stays as one that no store stores anything of: its position counts.
    """
    if not entries or entries[0].position > upto:
        return entries
    return [_uncounted(entry, raw_from_ms) if entry.position <= upto else entry for entry in entries]


def _uncounted(entry: Entry, raw_from_ms: Callable[[str], int]) -> Entry:
    record = entry.record
    if not isinstance(record, Telemetry):
        return entry
    from_ms = raw_from_ms(record.kind)
    left = tuple(one for one in record.readings if one.measured_at_ms >= from_ms)
    if len(left) == len(record.readings):
        return entry
    return replace(entry, record=replace(record, readings=left) if left else Tick(listening=False))


def is_never_held(row: Quarantined) -> bool:
    """Is it such a reading? No store takes it later either: a metric never changes its type."""
    return row.code == STORE_REFUSED and row.payload.startswith(b"{")  # a document; what a server refused is a line


def _why_not(entry: Entry, check: Callable[[Entry], object], faults: type[Exception]) -> str:
    try:
        check(entry)
    except faults as error:
        return str(error) or type(error).__name__
    return ""


def _quarantined(entry: Entry, record: Telemetry, reading: Reading, sentence: str) -> Quarantined:
    return Quarantined(
        topic=topics.topic(record.device, topics.TELEMETRY),
        payload=msgspec.json.encode(replace(record, readings=(reading,))),
        code=STORE_REFUSED,
        sentence=sentence,
        received_at_ms=entry.at_ms,
        device=record.device,
        stream=record.stream,
        seq=reading.seq,
    )
