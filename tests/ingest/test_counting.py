"""The books: received = accepted + duplicate + quarantined + deferred, and all of it is what the log holds."""

import random
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.ports import Message
from contract.records import Telemetry
from tests.ingest.house import NOW_MS, IngestHouse, device, message, telemetry, without_clock
from tests.ingest.test_fuzz import SEED, make

STREAMS = st.sampled_from(["00000001", "00000002"])
DEVICES = st.sampled_from(["lamp-1", "lamp-2", "stranger"])
SEQS = st.lists(st.integers(1, 12), max_size=4)
VALUES: st.SearchStrategy[Mapping[str, Any]] = st.sampled_from(
    [{"level": 0.5}, {"level": 0.6}, {"level": 7}, {"level": "much"}, {"power_w": None}, {"colour": 1}]
)
RAW = st.sampled_from([b"", b"{", b"[]", b"\xff", b'{"stream":"00000001"}', b"x" * 8193])


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """Telemetry with few names, so that names meet again: as duplicates, conflicts, gone or quarantined ones."""
    name, stream = draw(DEVICES), draw(STREAMS)
    sort = draw(st.sampled_from(["sound", "sound", "sound", "no clock", "raw", "headless"]))
    if sort == "raw":
        return message(draw(RAW), name)
    if sort == "no clock":
        return message(without_clock([(seq, seq * 1000) for seq in draw(SEQS)], stream=stream), name)
    at = draw(st.sampled_from([NOW_MS, NOW_MS - 5000, NOW_MS + 700_000, 5]))
    oldest = draw(st.integers(1, 12))
    document = telemetry(*draw(SEQS), at=at, stream=stream, oldest=oldest, values=draw(VALUES))
    if sort == "headless":
        del document["boot"]
    return message(document, name)


@contextmanager
def new_house() -> Iterator[IngestHouse]:
    with tempfile.TemporaryDirectory() as folder:
        house = IngestHouse(Path(folder))
        try:
            yield house
        finally:
            house.log.close()


def answers(house: IngestHouse) -> dict[tuple[str, str], Mapping[str, Any]]:
    return {
        (name, row.stream): house.kept(name, row.stream)
        for name in house.devices
        for row in house.pipeline.ledger(name)
    }


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(messages(), min_size=1, max_size=5), max_size=8), st.integers(0, 8))
def test_the_books_balance_after_any_messages_and_a_crash_changes_no_answer(
    batches: list[list[Message]], registered_after: int
) -> None:
    with new_house() as house:
        for number, batch in enumerate(batches):
            if number == registered_after:
                house.devices["stranger"] = device("stranger")
                house.pipeline.registered("stranger")
            house.pipeline.process(batch)
            assert house.books_balance()
        names = house.readings()
        assert house.count("accepted") == len(names) == len(set(names))
        by_code = sum(count for name, count in house.log.counts().items() if name.startswith("quarantined."))
        assert by_code == house.count("quarantined")
        assert house.count("quarantined_messages") <= sum(row.count for row in house.log.quarantine(1000))
        for name, stream, seq in names:
            [row] = [row for row in house.pipeline.ledger(name) if row.stream == stream]
            assert any(first <= seq <= last for first, last in row.have)
        before = answers(house), house.pipeline.missing_total(), house.pipeline.gone_total()
        house.restart()
        assert (answers(house), house.pipeline.missing_total(), house.pipeline.gone_total()) == before


@settings(max_examples=15, deadline=None)
@given(st.lists(messages(), max_size=10), st.integers(1, 10))
def test_how_messages_fall_into_batches_makes_no_difference(arrived: list[Message], size: int) -> None:
    told = []
    for step in (size, len(arrived) or 1):
        with new_house() as house:
            for start in range(0, len(arrived), step):
                # One clock message beside another dates a boot, on purpose; without clocks batches are alike.
                house.pipeline.process([one for one in arrived[start : start + step] if b'"up"' not in one.payload])
            rows = sorted((row.topic, row.payload, row.code, row.count) for row in house.log.quarantine(1000))
            told.append((house.log.counts(), house.readings(), answers(house), rows))
    assert told[0] == told[1]


def test_each_message_of_any_sort_has_one_outcome(house: IngestHouse) -> None:
    """Each alone, so that its outcome can be told: a record, a row of the quarantine, a counter or an answer."""
    print("seed", SEED)
    chance = random.Random(SEED + 1)
    ends = ("cleared", "old_news", "remarks_of_unregistered", "reports_of_unregistered", "wills_of_unregistered")
    for _ in range(1_200):
        one = make(chance)
        before, records = dict(house.log.counts()), house.log.last()
        outcome = house.pipeline.process([one])
        assert outcome.acknowledge == [one.token]
        grew = {name: count - before.get(name, 0) for name, count in house.log.counts().items()}
        parts = [grew.get(name, 0) for name in ("accepted", "duplicate", "quarantined", "deferred")]
        assert grew.get("received", 0) == sum(parts) == outcome.readings
        new = [entry.record for entry in house.log.read(records, 100)]
        readings = sum(len(record.readings) for record in new if isinstance(record, Telemetry))
        assert readings == grew.get("accepted", 0)
        if one.topic.endswith("/telemetry") and not grew.get("quarantined.bad_topic"):
            assert sum(parts) >= 1 or len(outcome.kept) == 1  # a message without readings is answered at least
        else:
            deferred_births = sum(deferred for _, _, deferred in outcome.kept)
            assert (
                len(new)
                + grew.get("quarantined", 0)
                + sum(grew.get(name, 0) for name in ends)
                + len(outcome.replies)
                + deferred_births
            ) == 1
