"""`nabd data verify`: what the ledger has and the store has not, has twice or has besides, is named."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from click.testing import CliRunner, Result

from adapters.stores.duckdb_store import DuckStore
from contract.quarantine import Quarantined
from nabd.cli import cli
from stand.influxdb import InfluxServer
from tests.adapters_stores.aggregating import drain, retire
from tests.nabd import cities

STORES = ["duckdb", pytest.param("influxdb", marks=pytest.mark.services)]
HOUR_MS = 3_600_000


def verify(data: Path, *more: str) -> Result:
    return CliRunner().invoke(cli, ["data", "verify", "--data", str(data), *more])


def report(data: Path) -> dict[str, Any]:
    done = verify(data, "--json")
    found: dict[str, Any] = msgspec.json.decode(done.stdout)
    assert done.exit_code == (0 if found["good"] else 1)
    return found


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest) -> cities.Place | None:
    if request.param == "duckdb":
        return None
    return request.getfixturevalue("influx"), request.getfixturevalue("influx_bucket")


@pytest.fixture
def data(place: cities.Place | None, tmp_path: Path) -> Path:
    """Two lamps with 200 readings each, 380 of them stored; one lamp's first two stand in the quarantine."""
    data = cities.found(tmp_path / "data")
    if place is not None:
        cities.use_influxdb(data, *place)
    cities.append(data, [cities.message(n, n + 9, device=f"lamp-{k}") for n in range(1, 200, 10) for k in (1, 2)])
    cities.store_all(data, place, upto=38)
    return data


def test_a_store_that_has_all_but_what_waits_in_the_log_is_good(data: Path) -> None:
    found = report(data)
    assert found["good"]
    assert (found["store_position"], found["log_first"], found["log_last"]) == (38, 1, 40)
    counts = found["counts"]
    assert (counts["ledger"], counts["held"], counts["waiting"], counts["streams"]) == (400, 380, 20, 2)
    done = verify(data)
    assert done.exit_code == 0
    assert "20 are in the log and not yet written" in done.output
    assert "the store holds every reading once" in done.output


def test_what_the_ledgers_rows_do_not_tell_yet_is_taken_from_the_log(data: Path, place: cities.Place | None) -> None:
    cities.append(data, [cities.message(201, 220)], ledger=False)
    assert report(data)["counts"]["ledger"] == 420
    cities.store_all(data, place)
    found = report(data)
    assert found["good"], found
    assert (found["counts"]["held"], found["counts"]["waiting"]) == (420, 0)


def test_what_stands_in_the_quarantine_is_not_missing(data: Path) -> None:
    with cities.open_log(data) as log:
        rows = {row.device: row for row in log.ledger()}
        longer = msgspec.structs.replace(rows["lamp-1"], have=((1, 205),))
        turned_away = [
            Quarantined(topic="t", payload=b"%d" % seq, code="store_refused", sentence="s", received_at_ms=0,
                        device="lamp-1", stream=cities.STREAM, seq=seq)
            for seq in (7, 201, 202, 203, 204, 205)
        ]  # fmt: skip
        log.append([], 0, ledger=[longer], quarantine=turned_away)
    found = report(data)
    assert found["good"], found
    assert found["counts"]["quarantined"] == 5


def test_a_row_excuses_every_seq_that_counts_as_had_by_it_and_a_conflict_none(data: Path) -> None:
    """Three bad readings of one message are one row; other content of a kept name excuses no reading of that name."""
    with cities.open_log(data) as log:
        rows = {row.device: row for row in log.ledger()}
        longer = msgspec.structs.replace(rows["lamp-1"], have=((1, 204),))
        row = Quarantined(topic="t", payload=b"", code="out_of_range", sentence="s", received_at_ms=0,
                          device="lamp-1", stream=cities.STREAM, seq=201, seqs=(201, 202, 203))  # fmt: skip
        conflict = msgspec.structs.replace(row, code="conflict", seq=204, seqs=())
        log.append([], 0, ledger=[longer], quarantine=[row, conflict])
    found = report(data)
    assert found["counts"]["quarantined"] == 3
    assert [(fault["what"], fault["ranges"]) for fault in found["faults"]] == [("missing", [[204, 204]])]


def test_what_is_past_its_time_and_aggregated_is_not_missing_and_what_is_not_is(
    data: Path, place: cities.Place | None
) -> None:
    """Two hours of 200 minutes are past; of that time one reading more came late, and is there."""
    now_ms = cities.START_MS + 2 * HOUR_MS + cities.KINDS["street_light"].keep.raw_ms
    with cities.open_store(data, place) as store:
        drain(store, now_ms)
        retire(store, now_ms)
    cities.store_all(data, place)
    found = report(data)
    assert found["good"], found
    assert (found["counts"]["retired"], found["counts"]["held"]) == (2 * 119, 2 * 81)
    late = cities.message(301, 301)
    late = msgspec.structs.replace(
        late, readings=(msgspec.structs.replace(late.readings[0], measured_at_ms=cities.START_MS + 60_001),)
    )
    cities.append(data, [late, cities.message(302, 304, device="lamp-3")])
    cities.store_all(data, place)
    with cities.open_store(data, place) as store:
        drain(store, now_ms + 2 * HOUR_MS)
    found = report(data)
    assert found["good"], found
    assert found["counts"]["held"] == 2 * 81 + 4
    cities.append(data, [cities.message(150, 155, device="lamp-4"), cities.message(160, 164, device="lamp-4")])
    with cities.open_log(data) as log, cities.open_store(data, place) as store:
        store.write(log.read(log.last() - 1, 1), now_ms)
    done = verify(data)
    assert done.exit_code == 1
    assert f"missing: lamp-4 stream {cities.STREAM}: 6 readings, seq 150-155\n" in done.output
    assert "WRONG: 6 missing, 0 doubled, 0 unexpected" in done.output


def test_where_nothing_was_past_its_time_what_is_lost_is_missing(data: Path, place: cities.Place | None) -> None:
    """Also when somebody looked for what is past its time, as the platform does each minute."""
    with cities.open_store(data, place) as store:
        assert retire(store, cities.START_MS + 6 * 24 * HOUR_MS) == 0
        if isinstance(store, DuckStore):
            store._ask("DELETE FROM readings_street_light WHERE seq <= 100")
        else:
            end_ms = cities.START_MS + 101 * cities.STEP_MS
            store.link.delete("street_light", 0, end_ms * 1_000_000)
    with cities.open_log(data), closing(sqlite3.connect(data / "log.db")) as log, log:
        log.execute("DELETE FROM chunks WHERE last <= 20")  # as `[log] days_max` does
    counts = report(data)["counts"]
    assert (counts["missing"], counts["retired"]) == (200, 0)


def spoil_duckdb(data: Path, statement: str) -> None:
    with closing(duckdb.connect(str(data / "store.duckdb"))) as store:
        store.execute(statement)


def test_missing_doubled_and_unexpected_readings_are_named_with_their_seqs(tmp_path: Path) -> None:
    data = cities.found(tmp_path / "data")
    cities.append(data, [cities.message(n, n + 9, device=f"lamp-{k}") for n in range(1, 200, 10) for k in (1, 2)])
    cities.store_all(data)
    spoil_duckdb(data, "DELETE FROM readings_street_light WHERE device = 'lamp-1' AND seq IN (5, 6, 7, 99)")
    spoil_duckdb(
        data, "INSERT INTO readings_street_light SELECT * FROM readings_street_light WHERE seq BETWEEN 20 AND 21"
    )
    spoil_duckdb(data, "UPDATE readings_street_light SET seq = 777 WHERE device = 'lamp-2' AND seq = 1")
    done = verify(data)
    assert done.exit_code == 1
    assert f"missing: lamp-1 stream {cities.STREAM}: 4 readings, seq 5-7, 99\n" in done.output
    assert f"missing: lamp-2 stream {cities.STREAM}: 1 readings, seq 1\n" in done.output
    assert f"doubled: lamp-1 stream {cities.STREAM}: 2 readings, seq 20-21\n" in done.output
    assert f"unexpected: lamp-2 stream {cities.STREAM}: 1 readings, seq 777\n" in done.output
    assert "WRONG: 5 missing, 4 doubled, 1 unexpected" in done.output
    assert "and 4 streams more" in verify(data, "--most", "1").output
    done = CliRunner().invoke(cli, ["data", "rebuild", "--data", str(data)])
    assert done.exit_code == 0, done.output
    done = verify(data)
    assert done.exit_code == 1
    assert "WRONG: 0 missing, 0 doubled, 1 unexpected" in done.output, "rebuilding throws nothing away"


@pytest.mark.services
def test_on_influxdb_what_is_missing_doubled_and_besides_is_named(
    influx: InfluxServer, influx_bucket: str, tmp_path: Path
) -> None:
    data, place = cities.lamp_on_influxdb(tmp_path, influx, influx_bucket)
    cities.store_all(data, place, upto=10)
    with cities.open_log(data) as log, cities.open_store(data, place) as store:
        store.write(log.read(11, 100), 0)
    points = f'street_light,device=lamp-1,asset=x seq=8,stream="{cities.STREAM}" {cities.START_MS * 1_000_000}\n'
    points += f'waste_bin,device=bin-1 seq=3,stream="aa" {cities.START_MS * 1_000_000}'
    influx.write(points, influx_bucket)
    done = verify(data)
    assert done.exit_code == 1
    assert f"missing: lamp-1 stream {cities.STREAM}: 10 readings, seq 101-110\n" in done.output
    assert f"doubled: lamp-1 stream {cities.STREAM}: 1 readings, seq 8\n" in done.output
    assert "unexpected: bin-1 stream aa: 1 readings, seq 3\n" in done.output
    assert "nabd data rebuild makes what is missing right" in done.output, "it deletes nothing from a bucket"


@pytest.mark.services
def test_what_a_bucket_deleted_as_too_old_is_not_missing(influx: InfluxServer, tmp_path: Path) -> None:
    """The bucket keeps a day: of readings of two days the older ones are gone, and the log no longer has them."""
    bucket = "keeps-a-day"
    influx.add_bucket(bucket, keep_s=86_400)
    data = cities.found(tmp_path / "data")
    cities.use_influxdb(data, influx, bucket)
    now_ms = influx.now_ms()
    young = cities.message(101, 140)
    young = msgspec.structs.replace(
        young,
        readings=tuple(msgspec.structs.replace(one, measured_at_ms=now_ms - 1000 * one.seq) for one in young.readings),
    )
    cities.append(data, [cities.message(1, 100), young])
    with cities.open_log(data) as log, cities.open_store(data, (influx, bucket)) as store:
        store.write(log.read(1, 1), 0)
        log.consumed("store", 2)
    found = report(data)
    assert found["good"], found
    assert (found["counts"]["retired"], found["counts"]["held"]) == (100, 40)


def test_what_cannot_be_known_is_told_with_the_remedy(tmp_path: Path) -> None:
    done = verify(tmp_path / "nowhere")
    assert done.exit_code == 2
    assert "holds no city" in done.output
    data = cities.found(tmp_path / "data")
    done = verify(data)
    assert done.exit_code == 2
    assert "nabd data rebuild makes it from the log" in done.output
    cities.append(data, [cities.message(1, 5)])
    cities.store_all(data)
    (data / "log.db").write_bytes(b"no database" * 500)
    done = verify(data)
    assert done.exit_code == 2
    assert "log.db: cannot be read" in done.output
