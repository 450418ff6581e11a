"""What a store has refused is offered to it again, and its row goes only when it is stored."""

import asyncio
import threading
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from adapters.log.sqlite_log import SqliteLog
from contract.ports import Store, StoreFault
from contract.quarantine import STORE_REFUSED, Quarantined, Replayed
from contract.records import QuarantineAct
from ingest.service import IngestService
from nabd.quarantining import Quarantining
from tests.ingest.house import NOW_MS, HandClock, IngestHouse, telemetry


class Ingest:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[int], str]] = []
        self.lacking: set[int] = set()

    async def replay(self, numbers: Sequence[int], by: str) -> Sequence[Replayed]:
        self.asked.append(("replay", list(numbers), by))
        return [Replayed(number=number, device="", readings=1, stays=False, sentence="stored") for number in numbers]

    async def drop(self, numbers: Sequence[int], by: str, lacking: Collection[int] = ()) -> int:
        self.lacking = set(lacking)
        self.asked.append(("drop", list(numbers), by))
        return len(numbers)


class Retaking:
    """Takes what does not begin with `no`."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.away = False

    def again(self, lines: Sequence[bytes], stored_at_ms: int) -> Sequence[str]:
        if self.away:
            raise StoreFault("it is away")
        self.lines += [line for line in lines if not line.startswith(b"no")]
        return ["still not" if line.startswith(b"no") else "" for line in lines]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(tmp_path / "log.db", bytes_max=10**8, days_max=30)
    yield log
    log.close()


def put_away(log: SqliteLog, **payloads: str) -> list[int]:
    """Payload → code; the numbers of the rows."""
    rows = [
        Quarantined(topic="t", payload=payload.encode(), code=code, sentence="once", received_at_ms=1, device="lamp-1")
        for payload, code in payloads.items()
    ]
    log.append([], NOW_MS, quarantine=rows)
    return [row.number for row in log.quarantine_rows.behind(0, 100)]


def desk(log: SqliteLog, store: object) -> tuple[Quarantining, Ingest]:
    ingest = Ingest()
    made = Quarantining(cast(IngestService, ingest), log, cast(Store, store), HandClock())
    return made, ingest


def test_each_row_goes_to_the_room_that_can_and_what_the_store_takes_now_is_gone(log: SqliteLog) -> None:
    numbers = put_away(log, line=STORE_REFUSED, bad="not_json", nope=STORE_REFUSED)
    store = Retaking()
    quarantining, ingest = desk(log, store)
    told = asyncio.run(quarantining.replay(numbers, "amina"))
    assert [(one.number, one.readings, one.stays) for one in told] == [(1, 1, False), (2, 1, False), (3, 0, True)]
    assert ingest.asked == [("replay", [2], "amina")]
    assert store.lines == [b"line"]
    left = {row.number: row.sentence for row in log.quarantine(10)}
    assert left == {2: "once", 3: "still not"}
    assert log.counts()["store_refused_stored"] == 1
    acts = [entry.record for entry in log.read(0, 10)]
    assert acts == [QuarantineAct(act="replay", rows=2, readings=1, by="amina", what="lamp-1: store_refused")]


def test_a_crash_between_store_and_row_offers_the_same_line_again(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    [number] = put_away(log, line=STORE_REFUSED)
    store = Retaking()
    quarantining, _ = desk(log, store)

    def dies(*_: Any, **__: Any) -> int:
        raise OSError("the disk")

    monkeypatch.setattr(log, "append", dies)
    with pytest.raises(OSError, match="the disk"):
        asyncio.run(quarantining.replay([number], "amina"))
    monkeypatch.undo()
    assert len(log.quarantine(10)) == 1
    asyncio.run(quarantining.replay([number], "amina"))
    assert store.lines == [b"line", b"line"], "writing it again changes nothing in a store"
    assert log.quarantine(10) == []


def test_a_store_that_is_away_keeps_its_rows_and_hides_nothing_of_what_ingest_has_stored(log: SqliteLog) -> None:
    numbers = put_away(log, line=STORE_REFUSED, bad="not_json")
    store = Retaking()
    store.away = True
    quarantining, _ = desk(log, store)
    told = asyncio.run(quarantining.replay(numbers, "amina"))
    assert [(one.readings, one.stays) for one in told] == [(0, True), (1, False)]
    assert told[0].sentence == "the store cannot be used: it is away"
    assert [row.sentence for row in log.quarantine(10)] == ["once", "once"]
    assert log.last() == 0


def test_a_store_that_never_refused_anything_leaves_the_row_and_says_so(log: SqliteLog) -> None:
    [number] = put_away(log, line=STORE_REFUSED)
    quarantining, _ = desk(log, object())
    [told] = asyncio.run(quarantining.replay([number], "amina"))
    assert told.stays
    assert "another store" in told.sentence
    assert len(log.quarantine(10)) == 1


def test_a_reading_that_no_store_can_ever_hold_is_offered_to_none_and_stays_until_it_is_dropped(log: SqliteLog) -> None:
    [number] = put_away(log, **{'{"device":"lamp-1"}': STORE_REFUSED})
    store = Retaking()
    for made in (store, object()):
        quarantining, _ = desk(log, made)
        [told] = asyncio.run(quarantining.replay([number], "amina"))
        assert (told.stays, told.sentence) == (True, "once; drop it: a metric never changes its type")
    assert store.lines == []
    assert [row.sentence for row in log.quarantine(10)] == ["once"]


def test_a_row_that_is_on_its_way_to_the_store_is_not_named_as_gone_by_who_drops_it_meanwhile(tmp_path: Path) -> None:
    house = IngestHouse(tmp_path)
    house.hear(telemetry(1, 2))
    row = Quarantined(
        topic="t", payload=b"line", code=STORE_REFUSED, sentence="once", received_at_ms=1, device="lamp-1",
        stream="9f3c01aa", seq=2, seqs=(2,),
    )  # fmt: skip
    house.log.append([], NOW_MS, quarantine=[row])
    store, offered, taken = Retaking(), threading.Event(), threading.Event()
    take = store.again

    def again(lines: Sequence[bytes], stored_at_ms: int) -> Sequence[str]:
        offered.set()
        assert taken.wait(10)
        return take(lines, stored_at_ms)

    class Dropping(Ingest):
        async def drop(self, numbers: Sequence[int], by: str, lacking: Collection[int] = ()) -> int:
            return await asyncio.to_thread(house.pipeline.drop, numbers, by, lacking)

    async def both() -> tuple[Sequence[Replayed], int]:
        store.again = again  # type: ignore[method-assign]
        quarantining = Quarantining(cast(IngestService, Dropping()), house.log, cast(Store, store), house.clock)
        replaying = asyncio.create_task(quarantining.replay([1], "amina"))
        await asyncio.to_thread(offered.wait, 10)
        dropping = asyncio.create_task(quarantining.drop([1], "youssef"))
        await asyncio.wait([dropping], timeout=0.2)
        taken.set()
        return await replaying, await dropping

    [told], dropped = asyncio.run(both())
    assert (told.readings, told.stays, dropped) == (1, False, 0)
    assert house.stream().gone == ()


def test_a_drop_is_for_ingest_which_keeps_the_ledger(log: SqliteLog) -> None:
    quarantining, ingest = desk(log, object())
    assert asyncio.run(quarantining.drop([1, 2], "amina")) == 2
    assert ingest.asked == [("drop", [1, 2], "amina")]


def test_what_the_store_of_now_will_never_have_is_gone_when_it_is_dropped(log: SqliteLog) -> None:
    numbers = put_away(log, **{"line": STORE_REFUSED, "bad": "not_json", '{"device":"lamp-1"}': STORE_REFUSED})
    for store, lacking in ((Retaking(), {1, 3}), (object(), {3})):
        quarantining, ingest = desk(log, store)
        asyncio.run(quarantining.drop(numbers, "amina"))
        assert ingest.lacking == lacking
