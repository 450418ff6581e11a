"""From the log into a store that comes and goes: nothing is lost, nothing is passed over, and everybody is told."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import cast

import pytest

from adapters.log.sqlite_log import SqliteLog
from adapters.stores.influx_store import InfluxStore
from contract.kind_file import load_kinds
from contract.losses import Loss
from contract.ports import LogFull, PutAway, Store, StoreFault
from contract.quarantine import Quarantined
from contract.records import Entry, Reading, Telemetry, Tick
from nabd import consumers
from nabd.consumers import StoreWriter
from nabd.losing import sentence
from stand.between import between
from stand.influxdb import InfluxServer
from tests.adapters_stores.conftest import ask
from tests.waiting import eventually

AT_MS = 1_795_457_855_000


class Clock:
    speed = 1.0

    def now_ms(self) -> int:
        return AT_MS

    def monotonic_s(self) -> float:
        return 0.0


class MemoryStore:
    """A store whose writing may be repeated: it keeps what it has by name."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.refuses = -1
        self.dies_after_refusing = 0  # so many times
        self.held: dict[int, Entry] = {}
        self.order: list[int] = []
        self.place = 0
        self.loss: Loss | None = None

    def lost(self) -> Loss | None:
        return self.loss

    def keep_loss(self, loss: Loss | None) -> None:
        if self.fault is not None:
            raise self.fault
        self.loss = loss

    def position(self) -> int:
        if self.fault is not None:
            raise self.fault
        return self.place

    def write(self, entries: Sequence[Entry], stored_at_ms: int, put_away: PutAway | None = None) -> int:
        if self.fault is not None:
            raise self.fault
        if put_away is not None and any(entry.position == self.refuses for entry in entries):
            put_away([Quarantined(topic="t", payload=b"line", code="store_refused", sentence="no", received_at_ms=1)])
            if self.dies_after_refusing:
                self.dies_after_refusing -= 1
                raise StoreFault("it died before its position moved")
        self.held |= {entry.position: entry for entry in entries}
        self.order += [entry.position for entry in entries]
        self.place = entries[-1].position
        return len(entries)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "BACKOFF_S_MIN", 0.01)
    monkeypatch.setattr(consumers, "BACKOFF_S_MAX", 0.05)
    monkeypatch.setattr(consumers, "GATHER_S", 0.001)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    with closing(SqliteLog(tmp_path / "log.db", bytes_max=50_000_000, days_max=30)) as log:
        yield log


def reading(seq: int) -> Telemetry:
    return Telemetry(
        device="lamp-1",
        asset="pole-1",
        kind="street_light",
        stream="9f3c01aa",
        boot=1,
        readings=(Reading(seq, AT_MS + seq * 1000, {"power_w": float(seq)}),),
    )


def start(log: SqliteLog, store: object) -> StoreWriter:
    writer = StoreWriter(log, cast(Store, store), Clock())
    log.on_append.append(writer.notify)
    writer.start()
    return writer


def test_a_store_that_is_away_at_the_start_is_waited_for_and_told_of(log: SqliteLog) -> None:
    store = MemoryStore()
    store.fault = StoreFault("it is away")
    log.append([reading(n) for n in range(1, 6)], AT_MS)
    writer = start(log, store)
    eventually(lambda: writer.fault == "it is away", "the fault is told")
    log.append([reading(n) for n in range(6, 11)], AT_MS)
    assert (writer.position, log.consumers()["store"]) == (0, 0)
    store.fault = None
    eventually(lambda: writer.position == 10 and not writer.fault, "it catches up by itself")
    writer.stop()
    assert store.order == list(range(1, 11)), "oldest first"
    assert log.consumers()["store"] == 10


def test_a_store_put_back_from_a_backup_while_all_runs_is_filled_from_its_own_position(log: SqliteLog) -> None:
    store = MemoryStore()
    writer = start(log, store)
    log.append([reading(n) for n in range(1, 11)], AT_MS)
    eventually(lambda: writer.position == 10, "all is written")
    store.fault = StoreFault("it is being put back")
    log.append([reading(11)], AT_MS)
    eventually(lambda: writer.fault, "the fault is told")
    store.held, store.place = {n: entry for n, entry in store.held.items() if n <= 4}, 4
    store.fault = None
    eventually(lambda: writer.position == 11 and not writer.fault, "it is filled")
    writer.stop()
    assert sorted(store.held) == list(range(1, 12))


def test_a_store_that_knows_more_of_this_log_than_the_log_does_misses_nothing_of_it(log: SqliteLog) -> None:
    """The log was put back: its new entries have positions that the store has heard of before."""
    log.append([reading(n) for n in range(1, 4)], AT_MS)
    log.consumed("store", 3)
    store = MemoryStore()
    store.place = 10
    log.append([reading(n) for n in range(4, 8)], AT_MS)
    writer = start(log, store)
    eventually(lambda: writer.position == 7, "all of it is written")
    writer.stop()
    assert store.order == [4, 5, 6, 7]


def test_nothing_is_cut_that_a_store_put_back_still_needs(log: SqliteLog) -> None:
    store = MemoryStore()
    for n in range(1, 11):
        log.append([reading(n)], AT_MS)
    log.consumed("store", 10)
    store.place = 2
    writer = StoreWriter(log, cast(Store, store), Clock())
    writer._place()
    assert log.cut(AT_MS + 100 * 86_400_000) == 2
    writer.start()
    eventually(lambda: writer.position == 10, "it is written")
    writer.stop()


def test_what_the_store_refuses_stands_in_the_quarantine_and_is_counted_before_the_position_moves(
    log: SqliteLog,
) -> None:
    store = MemoryStore()
    store.refuses = 2
    log.append([reading(1), reading(2), Tick(listening=True)], AT_MS)
    writer = start(log, store)
    eventually(lambda: writer.position == 3, "the rest is written")
    writer.stop()
    [row] = log.quarantine(10)
    assert (row.code, row.payload, row.sentence) == ("store_refused", b"line", "no")
    assert log.counts()["store_refused"] == 1


def test_what_is_refused_again_after_a_fault_is_counted_once(log: SqliteLog) -> None:
    store = MemoryStore()
    store.refuses, store.dies_after_refusing = 1, 3
    log.append([reading(1)], AT_MS)
    writer = start(log, store)
    eventually(lambda: writer.position == 1, "it goes on")
    writer.stop()
    assert store.dies_after_refusing == 0
    [row] = log.quarantine(10)
    assert (row.count, log.counts()["store_refused"]) == (1, 1)


def test_a_full_quarantine_holds_the_position_and_is_told(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    store.refuses = 1
    log.append([reading(1)], AT_MS)

    def full(*_: object, **__: object) -> int:
        raise LogFull("the quarantine is full")

    append = log.append
    monkeypatch.setattr(log, "append", full)
    writer = start(log, store)
    eventually(lambda: writer.fault == "the quarantine is full", "the fault is told")
    assert (writer.position, store.order) == (0, [])
    monkeypatch.setattr(log, "append", append)
    eventually(lambda: writer.position == 1, "it goes on")
    writer.stop()


def test_a_store_is_not_tried_before_the_time_it_asks_for(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    store.fault = StoreFault("too much to do", retry_after_s=7.0)
    writer = StoreWriter(log, cast(Store, store), Clock())
    waits: list[float] = []

    def wait(timeout: float | None = None) -> bool:
        waits.append(timeout or 0.0)
        store.fault = None
        return writer._stop.is_set()

    monkeypatch.setattr(writer._stop, "wait", wait)
    writer.start()
    eventually(lambda: waits, "it waits")
    eventually(lambda: not writer.fault, "it tries again")
    writer.stop()
    assert waits[0] == 7.0


@pytest.mark.services
def test_a_real_server_that_is_frozen_killed_slow_and_shut_gets_everything_oldest_first(
    log: SqliteLog, tmp_path: Path
) -> None:
    server = InfluxServer(tmp_path / "influxdb")
    try:
        with between(server.url) as proxy:
            number, token = server.add_token(server.bucket_id, "read", "write")
            authorization = f"/api/v2/authorizations/{number}"
            store = InfluxStore(proxy.url, server.org, server.bucket, token, load_kinds(), 2.0)
            writer = start(log, store)
            seqs = count(1)

            def more() -> None:
                log.append([reading(next(seqs)) for _ in range(20)], AT_MS)

            def caught_up() -> bool:
                return writer.position == log.last() and not writer.fault

            more()
            eventually(caught_up, "the first readings")
            troubles: list[tuple[str, Callable[[], object], Callable[[], object]]] = [
                ("gave no answer within 2 s", server.freeze, server.thaw),
                ("gave no answer within 2 s", proxy.pass_on.clear, proxy.pass_on.set),
                ("", server.kill, server.start),
                (
                    "token is inactive",
                    lambda: server.api("PATCH", authorization, status="inactive"),
                    lambda: server.api("PATCH", authorization, status="active"),
                ),
            ]
            for said, away, back in troubles:
                away()
                more()
                eventually(lambda: writer.fault, "it is told of")
                assert said in writer.fault
                more()
                back()
                eventually(caught_up, f"it catches up after {said or 'the kill'}", 60.0)
            writer.stop()
            stored = ask(store, kind="street_light", metric="power_w", start_ms=0, end_ms=2**53, limit=1_000)
            assert [value for _, value in stored] == [float(n) for n in range(1, next(seqs))]
            assert store.count() == len(stored)
            store.close()
    finally:
        server.end()


def cut_log(folder: Path, entries: int, keep: int) -> SqliteLog:
    """A log of so many entries, cut before all but the last `keep` of them; it is the caller's to close."""
    day_ms = 86_400_000
    file = folder / "cut.db"
    with closing(SqliteLog(file, bytes_max=50_000_000, days_max=1)) as log:
        log.append([reading(n) for n in range(1, entries - keep + 1)], AT_MS)
        log.append([reading(n) for n in range(entries - keep + 1, entries + 1)], AT_MS + 10 * day_ms)
        log.consumed("store", entries)
        log.cut(AT_MS + 10 * day_ms)
    return SqliteLog(file, bytes_max=50_000_000, days_max=1)  # as a start finds it


@pytest.mark.parametrize("has", [0, 3])
def test_a_store_behind_the_beginning_of_the_log_says_what_it_lacks_until_that_is_accepted(
    tmp_path: Path, has: int
) -> None:
    store = MemoryStore()
    store.place = has
    with closing(cut_log(tmp_path, 12, 4)) as log:
        writer = start(log, store)
        eventually(lambda: writer.position == 12, "it takes what there is")
        writer.stop()
        assert store.order == [9, 10, 11, 12]
        assert writer.lost == Loss(first=has + 1, last=8)
        assert f"from position {has + 1} to 8" in sentence(writer.lost)
        again = start(log, store)
        eventually(lambda: again.lost == Loss(first=has + 1, last=8), "a new start tells it, too")
        assert again.accept_loss() == Loss(first=has + 1, last=8)
        again.stop()
        assert (again.lost, store.loss, again.accept_loss()) == (None, None, None)
        later = start(log, store)
        log.append([reading(13)], AT_MS)
        eventually(lambda: later.position == 13, "it goes on")
        later.stop()
        assert later.lost is None


def test_a_store_that_a_backup_brought_back_whole_lacks_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    with closing(cut_log(tmp_path, 12, 4)) as log:
        writer = start(log, store)
        eventually(lambda: writer.lost is not None, "it lacks the beginning")
        store.fault = StoreFault("it is being put back")
        log.append([reading(13)], AT_MS)
        eventually(lambda: writer.fault, "the fault is told")
        store.loss, store.place = None, 10  # what a backup holds that was taken before
        store.fault = None
        eventually(lambda: not writer.fault and writer.position == 13, "it is filled on")
        writer.stop()
    assert writer.lost is None


def test_nothing_moves_before_the_store_has_noted_what_it_lacks(tmp_path: Path) -> None:
    store = MemoryStore()
    keep_loss, refusals = store.keep_loss, [StoreFault("no room"), StoreFault("no room")]

    def hardly(loss: Loss | None) -> None:
        if refusals:
            raise refusals.pop()
        keep_loss(loss)

    store.keep_loss = hardly  # type: ignore[method-assign]
    with closing(cut_log(tmp_path, 12, 4)) as log:
        writer = start(log, store)
        eventually(lambda: writer.position == 12 and not writer.fault, "it is noted in the end")
        writer.stop()
    assert store.loss == Loss(first=1, last=8)


def test_two_losses_are_told_as_one_that_spans_both() -> None:
    assert Loss(first=9, last=12).and_also(Loss(first=1, last=3)) == Loss(first=1, last=12)
    assert Loss(first=9, last=12).and_also(None) == Loss(first=9, last=12)
    assert sentence(None) == ""
