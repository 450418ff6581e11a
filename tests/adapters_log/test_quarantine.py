"""The quarantine's table: what an earlier layout left, and the sums that hold its bounds."""

import sqlite3
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.log.sqlite_log import SqliteLog
from contract.quarantine import ROW_BYTES, STORE_REFUSED, QuarantineChanged, Quarantined, Settled, Wanted
from contract.wire import topics


def row(
    payload: bytes, *, device: str = "lamp-1", code: str = "out_of_range", seqs: tuple[int, ...] = ()
) -> Quarantined:
    return Quarantined(topic=f"nabd/1/{device}/telemetry", payload=payload, code=code, sentence="seq 1: no",
        received_at_ms=1, device=device, stream="9f3c01aa", seq=seqs[0] if seqs else None, seqs=seqs)  # fmt: skip


def open_log(path: Path) -> SqliteLog:
    return SqliteLog(path / "log.db", bytes_max=10**8, days_max=30, quarantine_device_bytes_max=5_000)


def test_a_file_of_the_second_layout_says_which_seqs_stand_in_a_row_as_its_sentence_did(tmp_path: Path) -> None:
    sentences = {
        "seq 3: power_w: 900 W is not within 0 and 100; seq 7: at: 9 is 3 days ahead, more than 600; set its clock": [
            3,
            7,
        ],
        "seq 4: would open one more gap than the 1024 of a stream; not kept": [],
        "seq 5: no; seq 6: no; " + "x" * 400: [],
    }
    log = open_log(tmp_path)
    rows = [
        Quarantined(topic="t", payload=b"%d" % n, code="out_of_range", sentence=sentence, received_at_ms=1,
                    device="lamp-1", stream="9f3c01aa")
        for n, sentence in enumerate(sentences)
    ]  # fmt: skip
    conflict = Quarantined(topic="t", payload=b"c", code="conflict", sentence="seq 9: kept with other content",
        received_at_ms=1, device="lamp-1", stream="9f3c01aa")  # fmt: skip
    log.append([], 1, quarantine=[*rows, conflict])
    log.close()
    with sqlite3.connect(tmp_path / "log.db") as file:
        file.execute("DROP INDEX quarantine_by")
        file.execute("ALTER TABLE quarantine DROP COLUMN seqs")
        file.execute("PRAGMA user_version = 2")
    file.close()
    for _ in range(2):
        log = open_log(tmp_path)
        assert [list(one.seqs) for one in log.quarantine_rows.behind(0, 10)] == [*sentences.values(), []]
        log.close()


def test_the_same_bytes_again_stand_for_the_seqs_of_both(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.append([], 1, quarantine=[row(b"x", seqs=(1,))])
    again = Quarantined(topic="nabd/1/lamp-1/telemetry", payload=b"x", code="out_of_range", sentence="s",
        received_at_ms=2, device="lamp-1", seq=1, seqs=(1, 2))  # fmt: skip
    log.append([], 2, quarantine=[again])
    [one] = log.quarantine(10)
    assert (one.count, one.seqs, one.received_at_ms) == (2, (1, 2), 1)
    log.close()


def test_every_filter_finds_its_rows_and_one_of_a_device_reads_no_others(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    table = log.quarantine_rows
    rows = [
        Quarantined(topic=topics.topic(name, "telemetry"), payload=b"%d" % n, code=code, sentence="no",
                    received_at_ms=n, device="" if name == "stranger" else name)
        for n, (name, code) in enumerate(product(("lamp-1", "lamp-2", "stranger"), ("not_json", "too_old")), 1)
    ]  # fmt: skip
    log.append([], 1, quarantine=rows)
    asked: list[tuple[str, tuple[object, ...]]] = []
    fetch = table._fetch
    table._fetch = lambda query, arguments: asked.append((query, arguments)) or fetch(query, arguments)  # type: ignore[func-returns-value]
    for device, code, since_ms in product(("", "lamp-1", "stranger", "nobody"), ("", "too_old", "wrong_type"), (0, 3)):
        wanted = Wanted(device=device, code=code, since_ms=since_ms)
        found = [
            n
            for n, row in enumerate(rows, 1)
            if device in ("", row.device or "stranger") and code in ("", row.code) and n >= since_ms
        ]
        asked.clear()
        assert [one.number for one in table.behind(0, 9, wanted)] == found
        assert [one.number for one in table.page(9, wanted=wanted)] == found[::-1]
        assert table.count(wanted) == len(found)
        plans = [fetch(f"EXPLAIN QUERY PLAN {query}", arguments) for query, arguments in asked]
        assert not device or all("quarantine_by (device=?" in str([*map(tuple, plan)]) for plan in plans), plans
    log.close()


def test_a_row_settled_twice_changes_nothing_the_second_time(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.append([], 1, quarantine=[row(b"x")])
    number = log.quarantine(1)[0].number
    log.append([], 1, settled=[Settled(number)], counts={"replayed": 1})
    with pytest.raises(QuarantineChanged):
        log.append([], 1, settled=[Settled(number)], counts={"replayed": 1})
    assert log.counts() == {"replayed": 1}
    log.close()


def test_a_row_that_becomes_what_another_is_already_joins_it(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.append([], 1, quarantine=[row(b"x", seqs=(1,)), row(b"x", code="not_json")])
    first, second = log.quarantine_rows.behind(0, 10)
    log.append([], 1, settled=[Settled(second.number, row(b"x", seqs=(1,)))])
    [one] = log.quarantine(10)
    assert (one.number, one.count) == (first.number, 2)
    assert log.quarantine_rows.use().rows == 1
    log.close()


def test_what_a_store_refuses_takes_nothing_of_the_share_of_its_device(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.append([], 1, quarantine=[row(b"line" * 2_000, code=STORE_REFUSED)])
    assert log.quarantine_rows.has_room(row(b"y"))
    log.append([], 1, quarantine=[row(b"junk" * 2_000)])
    assert not log.quarantine_rows.has_room(row(b"y"))
    assert log.quarantine_rows.has_room(row(b"junk" * 2_000)), "it is there already"
    assert log.quarantine_rows.has_room(row(b"y", device="lamp-2"))
    log.close()


ACTS = st.lists(
    st.tuples(st.sampled_from(["put", "go", "change"]), st.integers(0, 9), st.sampled_from(["lamp-1", "lamp-2"])),
    max_size=30,
)


@settings(max_examples=40, deadline=None)
@given(ACTS)
def test_the_sums_are_those_of_the_rows_whatever_happened(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, int, str]]
) -> None:
    folder = tmp_path_factory.mktemp("sums")
    log = open_log(folder)
    for act, n, device in acts:
        there = log.quarantine_rows.behind(0, 100)
        if act == "put":
            log.append([], 1, quarantine=[row(b"z" * n * 100, device=device)])
        elif there and act == "go":
            log.append([], 1, settled=[Settled(there[n % len(there)].number)])
        elif there:
            log.append([], 1, settled=[Settled(there[n % len(there)].number, row(b"w" * n, device=device))])
    expected = [len(one.topic) + len(one.payload) + ROW_BYTES for one in log.quarantine(1_000)]
    use = log.quarantine_rows.use()
    assert (use.rows, use.bytes) == (len(expected), sum(expected))
    log.close()
    log = open_log(folder)
    assert log.quarantine_rows.use() == use
    log.close()
