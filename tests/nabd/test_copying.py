"""`nabd data copy`: history moves both ways, whole, once, and goes on where it stopped."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from adapters.stores.duckdb_store import DuckStore
from adapters.stores.influx_store import InfluxStore
from contract.aggregates import Gone
from contract.kind_file import load_kinds
from contract.ports import StoredReading, StoreFault
from contract.records import Entry, Reading, Telemetry
from nabd import copying
from nabd.cli import cli
from stand.influxdb import InfluxServer
from tests.adapters_stores.aggregating import aggregates, drain, retire
from tests.adapters_stores.conftest import ask
from tests.nabd import cities

KINDS = load_kinds()
DAY_MS = 86_400_000
START_MS = 1_795_392_000_000 - 5000  # shortly before a midnight
ROOT = Path(__file__).parents[2]

AnyStore = DuckStore | InfluxStore


def entries(first: int, last: int) -> list[Entry]:
    """One reading an entry, of two kinds and three devices, eight hours apart."""
    found = []
    for n in range(first, last + 1):
        is_bin = n % 3 == 0
        record = Telemetry(
            device="bin-1" if is_bin else f"lamp-{n % 3}",
            asset=f"thing-{n % 3}",
            kind="waste_bin" if is_bin else "street_light",
            stream="9f3c01aa",
            boot=2,
            commune="berkane",
            zone="centre ville",
            group="" if is_bin else "c=1,2",
            readings=(
                Reading(
                    n,
                    START_MS + n * DAY_MS // 3,
                    {"fill_level": n / 100} if is_bin else {"power_w": n / 7, "level_by": "lease"},
                    n % 5,
                ),
            ),
        )
        found.append(Entry(n, START_MS + n, record))
    return found


def all_of(store: AnyStore) -> list[StoredReading]:
    return sorted(store.history(0, 2**53), key=lambda one: (one.record.kind, one.record.readings[0].seq))


def copy(data: Path, source: str, target: str, *more: str) -> Result:
    return CliRunner().invoke(cli, ["data", "copy", "--from", source, "--to", target, "--data", str(data), *more])


def duckdb(path: Path, found: Sequence[Entry] = ()) -> str:
    with closing(DuckStore(path, KINDS)) as store:
        store.write(found, START_MS)
    return f"duckdb:{path}"


def test_a_copy_is_whole_and_a_second_one_doubles_nothing(tmp_path: Path) -> None:
    source = duckdb(tmp_path / "a.duckdb", entries(1, 40))
    target = f"duckdb:{tmp_path / 'b.duckdb'}"
    for _ in range(2):
        done = copy(tmp_path, source, target)
        assert done.exit_code == 0, done.output
        assert "40 readings copied" in done.output
        assert f"street_light: 27 in {source}, 27 in {target}" in done.output
        assert f"waste_bin: 13 in {source}, 13 in {target}" in done.output
    with closing(DuckStore(tmp_path / "a.duckdb", KINDS)) as a, closing(DuckStore(tmp_path / "b.duckdb", KINDS)) as b:
        assert all_of(a) == all_of(b)
        assert b.position() == 0


def test_what_the_target_has_besides_is_kept_and_told(tmp_path: Path) -> None:
    source = duckdb(tmp_path / "a.duckdb", entries(1, 6))
    target = duckdb(tmp_path / "b.duckdb", entries(5, 9))
    done = copy(tmp_path, source, target)
    assert done.exit_code == 0, done.output
    assert f"street_light: 4 in {source}, 6 in {target}  2 were there besides" in done.output


def test_only_what_was_measured_since_a_day_is_copied_when_that_is_asked_for(tmp_path: Path) -> None:
    source = duckdb(tmp_path / "a.duckdb", entries(1, 40))
    with closing(DuckStore(tmp_path / "a.duckdb", KINDS)) as store:
        span = store.span()
        assert span is not None
        day = copying._text(span[1] - 2 * DAY_MS)
        since_ms = copying._since_ms(day)
        wanted = sum(store.held(since_ms, 2**53).values())
    assert 0 < wanted < 40
    target = f"duckdb:{tmp_path / 'b.duckdb'}"
    assert f"{wanted} readings copied" in copy(tmp_path, source, target, "--since", day).output
    assert "40 readings copied" in copy(tmp_path, source, target).output
    with closing(DuckStore(tmp_path / "b.duckdb", KINDS)) as store:
        assert store.count() == 40


def test_an_interrupted_copy_says_from_which_day_it_goes_on_and_then_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = duckdb(tmp_path / "a.duckdb", entries(1, 40))
    target = f"duckdb:{tmp_path / 'b.duckdb'}"
    take, takes = DuckStore.take, 0

    def failing(self: DuckStore, readings: Sequence[StoredReading]) -> int:
        nonlocal takes
        takes += 1
        if takes == 6:
            raise StoreFault("the disk is full")
        return take(self, readings)

    monkeypatch.setattr(DuckStore, "take", failing)
    done = copy(tmp_path, source, target)
    assert done.exit_code == 2
    assert "the disk is full" in done.output
    assert "nothing is lost or doubled; go on with --since " in done.output
    day = done.output.rpartition("--since ")[2].strip()
    monkeypatch.setattr(DuckStore, "take", take)
    done = copy(tmp_path, source, target, "--since", day)
    assert done.exit_code == 0, done.output
    with closing(DuckStore(tmp_path / "a.duckdb", KINDS)) as a, closing(DuckStore(tmp_path / "b.duckdb", KINDS)) as b:
        assert all_of(a) == all_of(b)


def test_a_target_that_has_fewer_in_the_end_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = duckdb(tmp_path / "a.duckdb", entries(1, 6))
    monkeypatch.setattr(DuckStore, "take", lambda self, readings: 0)
    done = copy(tmp_path, source, f"duckdb:{tmp_path / 'b.duckdb'}")
    assert done.exit_code == 1
    assert "4 are missing there: run it again" in done.output


@pytest.mark.parametrize(
    ("source", "target", "parts"),
    [
        ("duckdb:absent.duckdb", "duckdb:b.duckdb", ("there is no file absent.duckdb",)),
        ("mysql:x", "duckdb:b.duckdb", ("'mysql:x' is no store", "write influxdb, or duckdb:")),
        ("duckdb:", "duckdb:b.duckdb", ("'duckdb:' is no store",)),
        ("duckdb:a", "duckdb:a", ("both are duckdb:a",)),
        ("influxdb", "duckdb:b.duckdb", ("influxdb_token", "cannot be read")),
    ],
)
def test_what_is_no_store_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, target: str, parts: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    done = copy(tmp_path, source, target)
    assert done.exit_code == 2
    assert all(part in done.output for part in parts), done.output
    assert list(tmp_path.iterdir()) == []


def test_a_day_that_is_none_is_named(tmp_path: Path) -> None:
    done = copy(tmp_path, "duckdb:a", "duckdb:b", "--since", "yesterday")
    assert done.exit_code == 2
    assert "--since 'yesterday': not a day" in done.output


def test_a_file_that_the_platform_has_open_is_refused_with_the_remedy(tmp_path: Path) -> None:
    source = duckdb(tmp_path / "a.duckdb", entries(1, 6))
    holder = "import sys, duckdb; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path / "a.duckdb")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        done = copy(tmp_path, source, f"duckdb:{tmp_path / 'b.duckdb'}")
        process.kill()
    assert done.exit_code == 2
    assert "is open in another process" in done.output
    assert "stop that one first" in done.output


@pytest.fixture
def bucket(influx: InfluxServer, influx_bucket: str, tmp_path: Path) -> Iterator[InfluxStore]:
    """A bucket, and settings in `tmp_path` that name it."""
    (tmp_path / "token").write_text(influx.token)
    (tmp_path / "nabd.toml").write_text(
        f'[influxdb]\nurl = "{influx.url}"\nbucket = "{influx_bucket}"\ntoken_file = "{tmp_path / "token"}"\n'
    )
    with closing(InfluxStore(influx.url, influx.org, influx_bucket, influx.token, KINDS)) as store:
        yield store


@pytest.mark.services
def test_history_moves_into_influxdb_and_back_and_is_the_same(tmp_path: Path, bucket: InfluxStore) -> None:
    source = duckdb(tmp_path / "a.duckdb", entries(1, 60))
    for _ in range(2):
        done = copy(tmp_path, source, "influxdb")
        assert done.exit_code == 0, done.output
        assert f"street_light: 40 in {source}, 40 in influxdb" in done.output
        assert bucket.count() == 60
    for _ in range(2):
        done = copy(tmp_path, "influxdb", f"duckdb:{tmp_path / 'b.duckdb'}")
        assert done.exit_code == 0, done.output
    with closing(DuckStore(tmp_path / "a.duckdb", KINDS)) as a, closing(DuckStore(tmp_path / "b.duckdb", KINDS)) as b:
        assert all_of(a) == all_of(bucket) == all_of(b)


@pytest.mark.services
def test_a_city_that_changes_its_store_stores_what_the_log_still_has_once(tmp_path: Path, bucket: InfluxStore) -> None:
    """Its log begins again at the start with the new store, whose history came by the copy."""
    found = entries(1, 30)
    bucket.write(found, START_MS)
    target = f"duckdb:{tmp_path / 'b.duckdb'}"
    assert copy(tmp_path, "influxdb", target).exit_code == 0
    with closing(DuckStore(tmp_path / "b.duckdb", KINDS)) as store:
        store.write(found[10:], START_MS)
        store.write(entries(31, 35), START_MS)
        assert (store.count(), store.position()) == (35, 35)


SHORT_KEEP = msgspec.structs.replace(KINDS["street_light"].keep, raw_ms=DAY_MS)
SHORT = {**KINDS, "street_light": msgspec.structs.replace(KINDS["street_light"], keep=SHORT_KEEP)}
OLD_MS = START_MS + 10 * DAY_MS + DAY_MS // 6


def aged(path: Path, first: int, last: int, now_ms: int = OLD_MS) -> str:
    """A store that keeps raw readings for a day, and has run until now."""
    with closing(DuckStore(path, SHORT)) as store:
        store.write(entries(first, last), START_MS)
        drain(store, now_ms)
        retire(store, now_ms)
    return f"duckdb:{path}"


def test_what_is_left_of_readings_that_are_gone_moves_too(tmp_path: Path) -> None:
    """Also into a store that has run before it had any, and again from one that has run on since."""
    source = aged(tmp_path / "old.duckdb", 1, 30)
    target = aged(tmp_path / "new.duckdb", 1, 0)
    asked = {"kind": "street_light", "metric": "power_w", "start_ms": 0, "end_ms": 2**53}
    with closing(DuckStore(tmp_path / "old.duckdb", SHORT)) as store:
        assert 0 < store.held(0, 2**53)["street_light"] < 20
        wanted = ask(store, **asked, every_ms=DAY_MS), aggregates(store)
    for is_first in (True, False):
        done = copy(tmp_path, source, target)
        assert done.exit_code == 0, done.output
        with closing(DuckStore(tmp_path / "new.duckdb", SHORT)) as store:
            drain(store, OLD_MS + DAY_MS)
            assert (ask(store, **asked, every_ms=DAY_MS), aggregates(store)) == wanted
            assert (retire(store, OLD_MS + DAY_MS) > 0) == is_first


def test_a_late_reading_of_a_time_that_is_gone_goes_over_in_its_aggregates(tmp_path: Path) -> None:
    source = aged(tmp_path / "old.duckdb", 1, 30)
    record = entries(4, 4)[0].record
    assert isinstance(record, Telemetry)
    late = msgspec.structs.replace(record, readings=(msgspec.structs.replace(record.readings[0], seq=31),))
    with closing(DuckStore(tmp_path / "old.duckdb", SHORT)) as store:
        store.write([Entry(31, OLD_MS, late)], OLD_MS)
    done = copy(tmp_path, source, f"duckdb:{tmp_path / 'new.duckdb'}")
    assert done.exit_code == 0, done.output
    with closing(DuckStore(tmp_path / "new.duckdb", SHORT)) as store:
        drain(store, OLD_MS)
        assert sum(float(row.cells["readings"]) for row in aggregates(store, SHORT["street_light"])[1]) == 21


@pytest.mark.parametrize(("folder", "counts"), [("city", 20), ("other", 28)])
def test_after_a_copy_the_log_brings_nothing_twice_and_another_log_is_no_repetition(
    tmp_path: Path, folder: str, counts: int
) -> None:
    """The first twelve entries are eight readings of lamps, of a time that is gone."""
    source = aged(cities.found(tmp_path / "city") / "store.duckdb", 1, 30)
    target = cities.found(tmp_path / "other").parent / folder / "new.duckdb"
    done = copy(tmp_path / "city", source, f"duckdb:{target}")
    assert done.exit_code == 0, done.output
    with closing(DuckStore(target, SHORT)) as store:
        store.write(entries(1, 12), OLD_MS)
        drain(store, OLD_MS)
        assert store.aggregates.counts("street_light", 2**53) == counts


def test_a_target_that_has_deleted_readings_of_its_own_is_refused(tmp_path: Path) -> None:
    """It takes no reading of that time any more, and has not the source's aggregates."""
    target = aged(tmp_path / "new.duckdb", 31, 40, OLD_MS + 20 * DAY_MS)
    for source in (duckdb(tmp_path / "raw.duckdb", entries(1, 30)), aged(tmp_path / "old.duckdb", 1, 30)):
        done = copy(tmp_path, source, target)
        assert done.exit_code == 2
        assert "its aggregates count 7 readings and the source has 20; copy into a new store" in done.output


def test_aggregates_are_not_put_beside_readings_that_may_be_theirs(tmp_path: Path) -> None:
    for name, first in (("old", 1), ("new", 2)):
        with closing(DuckStore(tmp_path / f"{name}.duckdb", KINDS)) as store:
            store.write(entries(first, 30), START_MS)
            if name == "old":
                store.aggregates.take_gone("street_light", Gone(START_MS + 5 * DAY_MS, 0))
    done = copy(tmp_path, f"duckdb:{tmp_path / 'old.duckdb'}", f"duckdb:{tmp_path / 'new.duckdb'}")
    assert done.exit_code != 0
    assert "copy into a new store" in done.output


def test_a_file_that_is_no_store_is_told_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no database, and long enough to be looked at as one " * 100)
    result = copy(tmp_path, f"duckdb:{tmp_path / 'notes.txt'}", f"duckdb:{tmp_path / 'new.duckdb'}")
    assert result.exit_code == 2
    assert f"{tmp_path / 'notes.txt'}: is no DuckDB database; name the right file" in result.output
    assert not (tmp_path / "new.duckdb").exists()
