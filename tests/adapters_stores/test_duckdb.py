"""What only a file of one process can get wrong."""

import os
import random
import resource
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import msgspec
import pytest

from adapters.stores.duckdb_store import DuckStore
from contract.kind import MetricType
from contract.ports import StoreFault
from contract.records import Entry, Telemetry
from tests.adapters_stores.conftest import KINDS
from tests.adapters_stores.entries import AT_MS, telemetry

ROOT = Path(__file__).parents[2]
KILLS = 4


def start_writer(path: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.adapters_stores.writer", str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def test_position_and_readings_agree_when_the_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    seed = 20_261_124
    print("seed", seed)
    chance = random.Random(seed)
    for _ in range(KILLS):
        process = start_writer(path)
        assert process.stdout is not None
        first = process.stdout.readline()
        killer = threading.Timer(chance.uniform(0.0, 0.2), process.kill)
        killer.start()
        told = [int(line) for line in [first, *process.stdout.readlines()] if line.endswith("\n")]
        process.wait()
        store = DuckStore(path, KINDS)
        position = store.position()
        assert told[-1] <= position <= told[-1] + 50
        assert store.count() == position
        store.close()


def test_a_file_open_in_another_process_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    process = start_writer(path)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(StoreFault, match=r"store\.duckdb: is open in another process .*; stop that one first"):
            DuckStore(path, KINDS)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def batch(store: DuckStore, readings: int = 4_000) -> list[Entry]:
    """The next entries, of values that do not compress."""
    chance = random.Random(store.position())
    after, seq = store.position(), store.position() * 100
    return [
        telemetry(after + n, seq + n * 50, {"power_w": chance.random(), "level": chance.random()}, readings=50)
        for n in range(1, readings // 50 + 1)
    ]


def test_the_write_ahead_log_goes_into_the_file_while_it_runs_and_readers_come_and_go(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    store = DuckStore(path, KINDS)
    store._connection.execute("SET checkpoint_threshold = '500KB'").fetchall()
    largest = 0
    for _ in range(15):
        store.write(batch(store), AT_MS)
        assert store.count() == store.position() * 50
        largest = max(largest, os.path.getsize(f"{path}.wal") if os.path.exists(f"{path}.wal") else 0)
    assert largest < 2_000_000
    assert path.stat().st_size > 300_000
    store.close()


def test_after_a_disk_was_full_in_the_midst_of_a_checkpoint_it_opens_the_file_anew_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    store = DuckStore(path, KINDS)
    store._connection.execute("SET checkpoint_threshold = '100KB'").fetchall()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))  # the system refuses larger files, as a full disk would
    try:
        faults = []
        for _ in range(3):
            with pytest.raises(StoreFault, match=r"cannot be (written|opened|read)") as caught:  # noqa: PT012  # which of them is of no matter
                for _ in range(20):
                    store.write(batch(store, 1_000), AT_MS)
            faults.append(str(caught.value))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "checkpoint" in faults[0], "the disk was full at another moment; this test shows nothing"
    for _ in range(3):
        store.write(batch(store, 1_000), AT_MS)
        assert store.count() == store.position() * 50
    position = store.position()
    store.close()
    store = DuckStore(path, KINDS)
    assert (store.position(), store.count()) == (position, position * 50)
    store.close()


def test_another_schema_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    DuckStore(path, KINDS).close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE position SET schema = 99")
    with pytest.raises(StoreFault, match="store schema 99, this Nabd reads 1; use the Nabd that made it"):
        DuckStore(path, KINDS)


def test_a_file_that_is_no_database_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    path.write_bytes(b"not a database at all" * 1000)
    with pytest.raises(StoreFault, match=r"store\.duckdb: is no DuckDB database; name the right file, or restore"):
        DuckStore(path, KINDS)


def test_a_metric_that_changed_its_type_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    DuckStore(path, KINDS).close()
    light = KINDS["street_light"]
    power = msgspec.structs.replace(light.metrics["power_w"], type=MetricType.ENUM, values=("low", "high"))
    odd = msgspec.structs.replace(light, metrics={**light.metrics, "power_w": power})
    with pytest.raises(
        StoreFault, match="metric power_w of street_light is stored as DOUBLE and the kind now says enum"
    ):
        DuckStore(path, {**KINDS, "street_light": odd})
    DuckStore(path, KINDS).close()


def test_a_value_of_another_type_than_its_column_is_a_store_fault_and_moves_nothing(tmp_path: Path) -> None:
    store = DuckStore(tmp_path / "store.duckdb", KINDS)
    good = telemetry(1, 1)
    assert isinstance(good.record, Telemetry)
    bad = Entry(2, AT_MS, telemetry(2, 2, {"power_w": "much"}).record)
    with pytest.raises(StoreFault, match="another type"):
        store.write([good, bad], AT_MS)
    assert (store.position(), store.count()) == (0, 0)
    assert store.write([good], AT_MS) == 1
    store.close()


def test_all_that_a_reading_is_stands_in_its_row(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    store = DuckStore(path, KINDS)
    store.write([telemetry(1, 7, place=("berkane", "centre", "c-12"))], 999)
    store.close()
    with duckdb.connect(str(path)) as connection:
        row = connection.execute(
            "SELECT measured_at_ms, received_at_ms, stored_at_ms, device, asset, stream, seq, boot, quality, "
            "commune, zone, group_name, power_w, level, level_by FROM readings_street_light"
        ).fetchone()
    assert row == (
        AT_MS + 7000,
        AT_MS + 1,
        999,
        "lamp-1",
        "pole-1",
        "9f3c01aa",
        7,
        3,
        4,
        "berkane",
        "centre",
        "c-12",
        7.0,
        None,
        None,
    )


def test_a_file_from_before_commune_zone_and_group_gains_them_and_keeps_its_readings(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    store = DuckStore(path, KINDS)
    store.write([telemetry(1, 1)], AT_MS)
    store.close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("DROP TABLE copied")
        for kind in KINDS:
            for column in ("commune", "zone", "group_name", "device_at_ms"):
                connection.execute(f"ALTER TABLE readings_{kind} DROP COLUMN {column}")
    store = DuckStore(path, KINDS)
    store.write([telemetry(2, 2, place=("berkane", "centre", "c-12"))], AT_MS)
    places = [(one.record.commune, one.record.zone, one.record.group) for one in store.history(0, 2**53)]
    assert places == [("", "", ""), ("berkane", "centre", "c-12")]
    assert (store.position(), store.count()) == (2, 2)
    store.close()


def test_a_copy_is_the_store_of_one_moment_though_it_is_written_meanwhile(tmp_path: Path) -> None:
    store = DuckStore(tmp_path / "store's.duckdb", KINDS)
    store.write([telemetry(1, 1, readings=200_000)], AT_MS)
    copied = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        while not copied.is_set():
            written += 1
            store.write([telemetry(1 + written, 200_000 + written)], AT_MS)

    writer = threading.Thread(target=write)
    writer.start()
    positions = [store.copy_to(tmp_path / f"copy {n}.duckdb") for n in range(3)]
    copied.set()
    writer.join()
    assert positions[-1] > positions[0], "it was written while it was copied"
    store.close()
    for n, position in enumerate(positions):
        copy = DuckStore(tmp_path / f"copy {n}.duckdb", KINDS)
        assert (copy.position(), copy.count()) == (position, 200_000 + position - 1)
        assert copy.write([telemetry(1_000_000, 1_000_000)], AT_MS) == 1
        copy.close()


def test_a_copy_that_fails_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    store = DuckStore(tmp_path / "store.duckdb", KINDS)
    with pytest.raises(StoreFault, match="cannot be copied to"):
        store.copy_to(tmp_path / "no" / "such" / "folder.duckdb")
    assert store.write([telemetry(1, 1)], AT_MS) == 1
    assert store.copy_to(tmp_path / "copy.duckdb") == 1
    store.close()
