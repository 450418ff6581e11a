"""`nabd data rebuild`: the store is the log's again, and what the log no longer has is kept, once."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import duckdb
import msgspec
import pytest
from click.testing import CliRunner, Result

from adapters.log import log_file
from adapters.stores.duckdb_rebuild import PART_ROWS
from adapters.stores.duckdb_store import DuckStore
from adapters.stores.influx_store import InfluxStore
from contract.aggregates import Row
from contract.ports import PutAway, StoredReading, StoreFault
from contract.records import Entry, Telemetry
from ingest.pipeline import Pipeline
from nabd.backing_up import nobody_runs
from nabd.cli import cli
from stand.influxdb import InfluxServer
from tests.adapters_stores.aggregating import aggregates, drain, retire
from tests.ingest.house import HandClock
from tests.nabd import cities

ROOT = Path(__file__).parents[2]


def rebuild(data: Path, *more: str) -> Result:
    return CliRunner().invoke(cli, ["data", "rebuild", "--data", str(data), *more])


def names(data: Path, influx: cities.Place | None = None) -> list[tuple[str, int]]:
    with cities.open_store(data, influx) as store:
        return sorted((one.record.device, one.record.readings[0].seq) for one in store.history(0, 2**53))


def readings(data: Path) -> list[StoredReading]:
    with cities.open_store(data) as store:
        return list(store.history(0, 2**53))


def forget_log(data: Path, upto: int) -> None:
    """What cutting does to old entries."""
    with cities.open_log(data) as log, closing(log_file.connect(data / "log.db")) as writer:
        assert log.last() >= upto
        writer.execute("DELETE FROM chunks WHERE last <= ?", (upto,))


def spoil(data: Path, statement: str) -> None:
    with closing(duckdb.connect(str(data / "store.duckdb"))) as store:
        store.execute(statement)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Fifty messages of two lamps and a bin, all stored."""
    data = cities.found(tmp_path / "data")
    lamps = [cities.message(n, n + 9, device=f"lamp-{k}") for n in range(1, 200, 10) for k in (1, 2)]
    bins = [cities.message(n, n, device="bin-1", kind="waste_bin") for n in range(1, 11)]
    cities.append(data, [*lamps, *bins])
    cities.store_all(data)
    return data


def files(data: Path) -> list[str]:
    return sorted(path.name for path in data.glob("store.duckdb*"))


def test_what_was_lost_doubled_or_spoilt_in_the_store_is_as_the_log_has_it(data: Path) -> None:
    whole, values = names(data), [one.record.readings[0] for one in readings(data)]
    spoil(data, "DELETE FROM readings_street_light WHERE seq % 3 = 0")
    spoil(data, "INSERT INTO readings_street_light SELECT * FROM readings_street_light WHERE seq % 3 = 1")
    spoil(data, "UPDATE readings_waste_bin SET fill_level = 7")
    assert names(data) != whole
    done = rebuild(data)
    assert done.exit_code == 0, done.output
    assert "positions 1 to 50; from its beginning" in done.output
    assert "street_light: 400 readings from the log, 0 kept from the store" in done.output
    assert names(data) == whole
    assert [one.record.readings[0] for one in readings(data)] == values
    assert files(data) == ["store.duckdb"]
    with cities.open_store(data) as store:
        assert store.position() == 50


def test_a_reading_that_the_store_can_never_hold_is_put_away_once_and_the_rest_is_rebuilt(data: Path) -> None:
    whole = names(data)
    record = cities.message(300, 301)
    wrong = msgspec.structs.replace(record.readings[0], values={"power_w": "much"})
    cities.append(data, [msgspec.structs.replace(record, readings=(wrong, record.readings[1]))])
    for _ in range(2):
        done = rebuild(data)
        assert done.exit_code == 0, done.output
        assert names(data) == sorted([*whole, ("lamp-1", 301)])
        with cities.open_log(data) as log:
            assert [(row.device, row.seq, row.code, row.count) for row in log.quarantine(10)] == [
                ("lamp-1", 300, "store_refused", 1)
            ]


def test_a_reading_that_was_dropped_because_the_store_can_never_hold_it_is_gone_and_nothing_is_missing(
    data: Path,
) -> None:
    record = cities.message(300, 301)
    wrong = msgspec.structs.replace(record.readings[0], values={"power_w": "much"})
    cities.append(data, [msgspec.structs.replace(record, readings=(wrong, record.readings[1]))], ledger=False)
    assert rebuild(data).exit_code == 0
    with cities.open_log(data) as log:
        pipeline = Pipeline(cities.KINDS, lambda _: None, log, HandClock())
        [row] = log.quarantine(10)
        assert pipeline.drop([row.number], "amina", [row.number]) == 1
    with cities.open_log(data) as log:  # as after a crash
        pipeline = Pipeline(cities.KINDS, lambda _: None, log, HandClock())
        assert (300, 300) in next(one for one in pipeline.ledger("lamp-1") if one.stream == cities.STREAM).gone
    done = CliRunner().invoke(cli, ["data", "verify", "--data", str(data)])
    assert "the store holds every reading once" in done.output


def test_what_the_log_no_longer_holds_is_kept_once_and_told(data: Path) -> None:
    whole = names(data)
    forget_log(data, 20)
    spoil(data, "DELETE FROM readings_street_light WHERE seq > 150")
    spoil(data, "INSERT INTO readings_street_light SELECT * FROM readings_street_light WHERE seq <= 20")
    done = rebuild(data)
    assert done.exit_code == 0, done.output
    assert "positions 21 to 50; what was kept before 2026-11-23 00:00 UTC is no longer in it" in done.output
    assert "street_light: 200 readings from the log, 200 kept from the store" in done.output
    assert names(data) == whole


def test_a_large_store_is_compared_in_parts(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert PART_ROWS > 1000
    monkeypatch.setattr("adapters.stores.duckdb_rebuild.PART_ROWS", 50)
    whole = names(data)
    forget_log(data, 20)
    assert rebuild(data).exit_code == 0
    assert names(data) == whole


def test_history_that_was_copied_in_and_what_kinds_have_lost_come_along(data: Path) -> None:
    with closing(DuckStore(data / "store.duckdb", cities.KINDS)) as store:
        [reading] = [
            one for one in store.history(0, 2**53) if one.record.device == "bin-1" and one.record.readings[0].seq == 1
        ]
        moved = msgspec.structs.replace(reading, record=msgspec.structs.replace(reading.record, device="old-bin"))
        store.take([moved])
    spoil(data, "ALTER TABLE readings_waste_bin ADD COLUMN smell DOUBLE")
    spoil(data, "UPDATE readings_waste_bin SET smell = 3 WHERE device = 'old-bin'")
    spoil(data, "CREATE TABLE readings_siren AS SELECT * FROM readings_waste_bin LIMIT 4")
    assert rebuild(data).exit_code == 0
    assert ("old-bin", 1) in names(data)
    with closing(duckdb.connect(str(data / "store.duckdb"))) as store:
        assert store.execute("SELECT smell FROM readings_waste_bin WHERE device = 'old-bin'").fetchall() == [(3.0,)]
        assert store.execute("SELECT count(*) FROM readings_siren").fetchall() == [(4,)]
        assert store.execute("SELECT kind FROM copied").fetchall() == [("waste_bin",)]


def test_a_store_that_is_gone_is_made_from_the_log(data: Path) -> None:
    whole = names(data)
    (data / "store.duckdb").unlink()
    assert rebuild(data).exit_code == 0
    assert names(data) == whole


def test_a_damaged_store_is_refused_unless_what_only_it_has_may_go_and_is_then_put_aside(data: Path) -> None:
    whole = names(data)
    forget_log(data, 20)
    damaged = b"no database" * 1000
    (data / "store.duckdb").write_bytes(damaged)
    done = rebuild(data)
    assert done.exit_code == 2
    assert "cannot be kept: restore it, or leave that behind with --from-log-only" in done.output
    assert (data / "store.duckdb").read_bytes() == damaged
    (data / "store.duckdb.wal").write_bytes(b"x")
    done = rebuild(data, "--from-log-only")
    assert done.exit_code == 0, done.output
    assert "before-rebuild: the store as it was" in done.output
    assert set(names(data)) < set(whole)
    assert len(names(data)) == 210
    assert (data / "store.duckdb.before-rebuild").read_bytes() == damaged
    assert (data / "store.duckdb.before-rebuild.wal").read_bytes() == b"x"
    done = rebuild(data, "--from-log-only")
    assert done.exit_code == 2
    assert "is there from a rebuild before" in done.output


def test_a_table_it_does_not_know_ends_it_and_the_store_is_as_it_was(data: Path) -> None:
    spoil(data, "CREATE TABLE mystery AS SELECT 1 AS one")
    whole = names(data)
    done = rebuild(data)
    assert done.exit_code == 2
    assert "holds a table 'mystery' that this Nabd does not know" in done.output
    assert "the store is as it was" in done.output
    assert names(data) == whole
    assert files(data) == ["store.duckdb"]


def test_a_folder_in_use_is_refused_with_the_remedy(data: Path) -> None:
    with nobody_runs(data):
        done = rebuild(data)
    assert done.exit_code == 2
    assert "is in use" in done.output


KEEP_MS = cities.KINDS["street_light"].keep.raw_ms
NOW_MS = cities.START_MS + 2 * 3_600_000 + KEEP_MS
"""At this time the first two hours of 200 minutes are past their time."""


def age(data: Path, place: cities.Place | None = None) -> None:
    """What the running platform does until NOW_MS."""
    with cities.open_store(data, place) as store:
        drain(store, NOW_MS)
        assert retire(store, NOW_MS)


def made(data: Path, place: cities.Place | None = None) -> list[tuple[list[Row], list[Row]]]:
    """All aggregates, when everything that is marked is made."""
    with cities.open_store(data, place) as store:
        drain(store, NOW_MS + 10 * 3_600_000)
        return [aggregates(store, kind) for kind in cities.KINDS.values()]


def late(seq: int, minutes: float) -> Telemetry:
    one = cities.message(seq, seq)
    at_ms = cities.START_MS + round(minutes * 60_000)
    return msgspec.structs.replace(one, readings=(msgspec.structs.replace(one.readings[0], measured_at_ms=at_ms),))


@pytest.mark.parametrize("cut", [0, 20, 45])
def test_aggregates_of_readings_that_are_gone_are_kept_whatever_the_log_still_has_of_them(data: Path, cut: int) -> None:
    """Late ones too: one that is counted, one that is stored and only marked, one behind the store's position."""
    age(data)
    for record in (late(301, 1.5), late(302, 61.5), late(303, 31.5)):
        cities.append(data, [record])
    cities.store_all(data, upto=51)
    with cities.open_store(data) as store:
        drain(store, NOW_MS + 3_600_000)
    cities.store_all(data, upto=52)
    aside = cities.found(data.parent / "aside")
    for file in ("store.duckdb", "log.db"):
        shutil.copy(data / file, aside / file)
    cities.store_all(aside)
    kept, wanted = names(aside), made(aside)
    forget_log(data, cut)
    with closing(duckdb.connect(str(data / "store.duckdb"))) as store:
        [reached] = store.execute("SELECT raw_from_ms FROM retired WHERE kind = 'street_light'").fetchall()
    done = rebuild(data)
    assert done.exit_code == 0, done.output
    assert (names(data), made(data)) == (kept, wanted)
    assert files(data) == ["store.duckdb"]
    with closing(duckdb.connect(str(data / "store.duckdb"))) as store:
        assert store.execute("SELECT raw_from_ms FROM retired WHERE kind = 'street_light'").fetchall() == [reached]
        rows = "SELECT count(*), count(DISTINCT seq) FROM readings_street_light WHERE seq > 300"
        assert store.execute(rows).fetchall() == [(3, 3)]
    done = rebuild(data)
    assert done.exit_code == 0, done.output
    assert (names(data), made(data)) == (kept, wanted), "and once more"


def test_hours_that_the_log_makes_anew_or_that_counted_wrong_readings_are_made_anew(data: Path) -> None:
    age(data)
    wanted = made(data)
    forget_log(data, 36)
    spoil(data, "INSERT INTO readings_street_light SELECT * FROM readings_street_light WHERE seq = 125")
    spoil(data, "UPDATE readings_street_light SET measured_at_ms = measured_at_ms + 86400000 WHERE seq = 195")
    spoil(data, "UPDATE readings_street_light SET power_w = 7 WHERE seq = 199")
    spoil(data, "INSERT INTO marks SELECT 'street_light', measured_at_ms // 3600000 * 3600000, '' "
                "FROM readings_street_light WHERE seq IN (125, 195, 199)")  # fmt: skip
    assert made(data) != wanted
    done = rebuild(data)
    assert done.exit_code == 0, done.output
    assert made(data) == wanted


def test_aggregates_of_kinds_that_are_not_loaded_come_along(data: Path) -> None:
    age(data)
    for name in ("readings", "five_minutes", "hours", "known"):
        spoil(data, f"CREATE TABLE {name}_siren AS SELECT * FROM {name}_street_light")
    spoil(data, "INSERT INTO retired VALUES ('siren', 7200000, 3600000)")
    spoil(data, "INSERT INTO marks VALUES ('siren', 10800000, 'siren-1')")
    counts = " UNION ALL ".join(f"SELECT count(*) FROM {name}_siren" for name in ("readings", "five_minutes", "hours"))
    with closing(duckdb.connect(str(data / "store.duckdb"))) as store:
        before = store.execute(counts).fetchall()
    assert min(before) > (0,)
    assert rebuild(data).exit_code == 0
    with closing(duckdb.connect(str(data / "store.duckdb"))) as store:
        assert store.execute(counts).fetchall() == before
        assert store.execute("SELECT * FROM retired WHERE kind = 'siren'").fetchall() == [("siren", 7200000, 3600000)]
        assert ("siren", 10800000, "siren-1") in store.execute("SELECT * FROM marks").fetchall()


STUCK = (
    "import sys, time\n"
    "from nabd import rebuilding\n"
    "def stuck(*a):\n    print('stuck', flush=True)\n    time.sleep(600)\n"
    "rebuilding.{step} = stuck\n"
    "from nabd.cli import cli\n"
    "cli(sys.argv[1:])\n"
)


@pytest.mark.parametrize("step", ["_batches", "_adopt", "_swap"])
def test_killed_at_any_step_the_store_is_as_it_was_and_the_next_rebuild_is_whole(data: Path, step: str) -> None:
    whole = names(data)
    forget_log(data, 20)
    command = [sys.executable, "-c", STUCK.format(step=step), "data", "rebuild", "--data", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert "stuck\n" in iter(process.stdout.readline, "")
        process.send_signal(signal.SIGKILL)
    assert "store.duckdb.rebuild" in files(data)
    assert names(data) == whole
    assert rebuild(data).exit_code == 0
    assert names(data) == whole
    assert files(data) == ["store.duckdb"]


@pytest.mark.services
def test_influxdb_has_every_reading_of_the_log_again_and_keeps_the_rest(
    tmp_path: Path, influx: InfluxServer, influx_bucket: str
) -> None:
    data, place = cities.lamp_on_influxdb(tmp_path, influx, influx_bucket)
    cities.store_all(data, place, upto=5)
    forget_log(data, 2)
    with cities.open_store(data, place) as store:
        store.write([], 0)
    influx.write(f"street_light,device=lamp-1 seq=999 {cities.START_MS * 1_000_000}", influx_bucket)
    done = rebuild(data)
    assert done.exit_code == 0, done.output
    assert "180 readings written again; what the bucket has besides stays as it is" in done.output
    assert names(data, place) == [("lamp-1", seq) for seq in [*range(1, 201), 999]]
    with cities.open_store(data, place) as store:
        assert store.position() == 20
    done = rebuild(data, "--from-log-only")
    assert done.exit_code == 2
    assert "Nabd empties no bucket" in done.output


@pytest.mark.services
def test_in_influxdb_readings_that_are_gone_stay_gone_and_count_once_in_their_aggregates(
    tmp_path: Path, influx: InfluxServer, influx_bucket: str
) -> None:
    data, place = cities.lamp_on_influxdb(tmp_path, influx, influx_bucket)
    cities.store_all(data, place)
    age(data, place)
    cities.append(data, [late(301, 1.5)])
    cities.store_all(data, place)
    kept, wanted = names(data, place), made(data, place)
    assert rebuild(data).exit_code == 0
    assert (names(data, place), made(data, place)) == (kept, wanted)
    with cities.open_store(data, place) as store:
        assert (store.position(), store.count()) == (21, 82)
    cities.append(data, [late(302, 61.5)])
    assert rebuild(data).exit_code == 0
    five, hours = made(data, place)[list(cities.KINDS).index("street_light")]
    assert [sum(float(row.cells["readings"]) for row in rows) for rows in (five, hours)] == [202, 202]


@pytest.mark.services
def test_a_broken_off_rewrite_of_influxdb_leaves_a_position_from_which_everything_is_written_again(
    tmp_path: Path, influx: InfluxServer, influx_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, place = cities.lamp_on_influxdb(tmp_path, influx, influx_bucket)
    cities.store_all(data, place)
    whole = names(data, place)
    write = InfluxStore.write

    def failing(self: InfluxStore, entries: Sequence[Entry], stored_at_ms: int, put_away: PutAway | None = None) -> int:
        if entries[0].position > 10:
            raise StoreFault("the server is gone")
        return write(self, entries, stored_at_ms, put_away)

    monkeypatch.setattr("nabd.rebuilding.BATCH", 5)
    monkeypatch.setattr(InfluxStore, "write", failing)
    done = rebuild(data)
    assert done.exit_code == 2
    assert "the server is gone\n100 readings were written again; run it once more" in done.output
    with cities.open_store(data, place) as store:
        assert store.position() == 10, "from here on the platform writes"
    monkeypatch.setattr(InfluxStore, "write", write)
    assert rebuild(data).exit_code == 0
    assert names(data, place) == whole


@pytest.mark.services
def test_a_rewrite_that_was_broken_off_counts_nothing_twice_however_it_goes_on(
    tmp_path: Path, influx: InfluxServer, influx_bucket: str
) -> None:
    data, place = cities.lamp_on_influxdb(tmp_path, influx, influx_bucket)
    cities.store_all(data, place)
    age(data, place)
    wanted = made(data, place)
    for go_on in (lambda: rebuild(data), lambda: cities.store_all(data, place)):
        assert rebuild(data).exit_code == 0
        with cities.open_store(data, place) as store:
            assert isinstance(store, InfluxStore)
            store.remember("nabd_position", {"position": 5.0})  # what a write that is broken off leaves
        go_on()
        assert made(data, place) == wanted
