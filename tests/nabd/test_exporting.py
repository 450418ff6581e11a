"""`nabd export`: a whole file or none, what is in it is what is stored, from both stores, and errors say what to do."""

import csv
import errno
import fcntl
import gc
import io
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from adapters import export_formats
from contract.ports import StoreFault
from nabd.cli import cli
from nabd.export_target import standard_output, whole
from nabd.fault import Refused
from stand.influxdb import InfluxServer
from tests.nabd import cities

STORES = ["duckdb", pytest.param("influxdb", marks=pytest.mark.services)]
LAMPS = 200


@pytest.fixture(params=STORES)
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    data = cities.found(tmp_path / "data")
    influx = None
    if request.param == "influxdb":
        influx = request.getfixturevalue("influx"), request.getfixturevalue("influx_bucket")
        cities.use_influxdb(data, *influx)
    lamps = [cities.message(n, n + 9, zone="Centre, ville") for n in range(1, LAMPS, 10)]
    cities.append(data, [*lamps, cities.message(1, 50, device="bin-1", kind="waste_bin", zone="=1+1")])
    cities.store_all(data, influx)
    return data


def export(data: Path, form: str, out: Path | str, *more: str) -> Result:
    span = ["--from", "2026-11-23", "--to", "2026-11-26"]
    return CliRunner().invoke(cli, ["export", "--data", str(data), *span, "--format", form, "--out", str(out), *more])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_parquet_is_a_file_a_kind_with_types_and_units(data: Path, tmp_path: Path) -> None:
    done = export(data, "parquet", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert f"{LAMPS + 50} readings" in done.output
    assert names(tmp_path / "out") == sorted(f"{kind}.parquet" for kind in cities.KINDS)
    assert names(tmp_path) == ["data", "out"]
    lamps = pq.read_table(tmp_path / "out" / "street_light.parquet")
    assert lamps.num_rows == LAMPS
    assert lamps.schema.field("measured_at").type == pa.timestamp("ms", tz="UTC")
    assert lamps.schema.field("power_w").metadata[b"unit"] == b"W"
    assert lamps["seq"].to_pylist() == list(range(1, LAMPS + 1))
    assert pq.read_table(tmp_path / "out" / "weather_station.parquet").num_rows == 0


def test_csv_is_read_back_as_it_was_and_runs_in_no_spreadsheet(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "bins.csv"
    assert export(data, "csv", out, "--kind", "waste_bin").exit_code == 0
    with out.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == 50
    assert rows[0]["measured_at"] == "2026-11-23T00:01:00.000Z"
    assert (rows[0]["fill_level"], rows[0]["temperature_c"], rows[0]["seq"]) == ("0.01", "", "1")
    assert {row["zone"] for row in rows} == {"'=1+1"}
    assert pv.read_csv(out)["fill_level"].type == pa.float64()
    assert export(data, "csv", tmp_path / "lamps.csv", "--kind", "street_light").exit_code == 0
    with (tmp_path / "lamps.csv").open(encoding="utf-8", newline="") as opened:
        assert {row["zone"] for row in csv.DictReader(opened)} == {"Centre, ville"}


def test_every_text_that_a_spreadsheet_would_run_is_made_harmless_and_no_other() -> None:
    texts = ["=cmd()", "+1", "-1", "@x", "\tx", "\rx", "a=b", "'x", "", None, "-"]
    shown = export_formats._shown(pa.chunked_array([pa.array(texts, pa.string())])).to_pylist()
    assert shown == ["'=cmd()", "'+1", "'-1", "'@x", "'\tx", "'\rx", "a=b", "'x", "", None, "'-"]


def test_filters_and_metrics_choose_and_standard_output_is_only_the_readings(data: Path) -> None:
    command = [sys.executable, "-m", "nabd", "export", "--data", str(data), "--format", "csv", "--out", "-"]
    command += ["--from", "2026-11-23T00:10Z", "--to", "2026-11-23T00:20Z", "--metric", "power_w", "--quality", "good"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert [row["seq"] for row in rows] == [str(seq) for seq in range(10, 20)]
    assert "level" not in rows[0]
    assert "10 readings of street_light" in done.stderr


@pytest.mark.services
def test_line_protocol_goes_into_a_real_influxdb_as_the_same_points(
    data: Path, tmp_path: Path, influx: InfluxServer
) -> None:
    out = tmp_path / "all.lp"
    done = export(data, "lp", out)
    assert done.exit_code == 0, done.output
    bucket = f"import-{data.parent.name}"
    influx.add_bucket(bucket)
    for _ in range(2):
        influx.write(out.read_text(encoding="utf-8"), bucket)
    city = cities.found(tmp_path / "other")
    with cities.open_store(city, (influx, bucket)) as store:
        assert dict(store.held(0, 2**53)) == {
            "street_light": LAMPS, "waste_bin": 50, "irrigation_valve": 0, "weather_station": 0
        }  # fmt: skip
        readings = [one.record for one in store.history(0, 2**53)]
    assert {record.zone for record in readings} == {"Centre, ville", "=1+1"}
    assert sorted(r.readings[0].seq for r in readings if r.kind == "street_light") == list(range(1, LAMPS + 1))


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--kind", "street_lihgt"], "--kind street_lihgt: is not a kind; did you mean 'street_light'?"),
        (["--metric", "powr_w"], "has it; did you mean 'power_w'?"),
        (["--metric", "device"], "--metric device: neither of"),
        (["--kind", "waste_bin", "--metric", "power_w"], "--metric power_w: neither of waste_bin has it"),
        (["--quality", "fine"], "--quality: 'fine' is none of good"),
        (["--from", "2026-11-27"], "--from 2026-11-27: must lie before --to 2026-11-26"),
        (["--from", "soon"], "--from 'soon': is no time"),
        (["--out", "nowhere/out"], "there is no folder nowhere; make it first"),
        (["--out", "out.csv"], "name one --kind, or a folder"),
        (["--out", "there"], "there: is there already"),
        (["--data", "elsewhere"], "data folder elsewhere: holds no city"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_left(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    done = export(data, "csv", "out", *more)
    assert done.exit_code == 2, done.output
    assert sentence in done.output
    assert names(tmp_path) == ["data", "there"]


def failing_after(tables: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    write = export_formats.Parquet.write
    done = 0

    def failing(self: Any, table: Any) -> None:
        nonlocal done
        done += 1
        if done > tables:
            raise error
        write(self, table)

    monkeypatch.setattr(export_formats.Parquet, "write", failing)


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            2,
            "No space left on device; nothing was exported: make room",
        ),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_an_export_that_is_broken_off_leaves_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, sentence: str
) -> None:
    failing_after(0, error, monkeypatch)
    done = export(data, "parquet", tmp_path / "out")
    assert done.exit_code == code, done.output
    assert sentence in done.output
    assert names(tmp_path) == ["data"]


def test_a_parquet_that_is_broken_off_is_never_a_file_that_can_be_read() -> None:
    table = pa.table({"seq": [1, 2]})
    sink = io.BytesIO()
    file = export_formats.Parquet(sink, "street_light", table.schema, cities.KINDS)
    file.write(table)
    file.abandon()
    del file
    gc.collect()
    assert len(sink.getvalue()) > 4, "what came before stands there, as on any standard output"
    with pytest.raises(pa.ArrowInvalid, match="magic bytes not found"):
        pq.read_table(sink)


def test_standard_output_that_is_broken_off_is_said_not_to_be_whole(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_after(0, StoreFault("the store went away"), monkeypatch)
    done = export(data, "parquet", "-", "--kind", "street_light")
    assert done.exit_code == 2
    assert "the store went away\nwhat was written to standard output is not whole" in done.stderr


def test_an_output_that_is_full_or_goes_away_is_told_in_a_sentence(data: Path) -> None:
    command = f"{sys.executable} -m nabd export --data {data} --format lp --out - --from 2026-11-23 --to 2026-11-26"
    for shell, sentence in ((f"{command} >/dev/full", "No space left"), (f"{command} | true", "Broken pipe")):
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {shell}"], capture_output=True, text=True, check=False,
            cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        assert "--out -: the output cannot be written" in done.stderr
        assert sentence in done.stderr
        assert "it is not whole" in done.stderr
        assert "Traceback" not in done.stderr


def test_no_standard_output_at_all_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(Refused, match="--out -: standard output is closed; name a file"), standard_output():
        pass


@pytest.fixture
def killed(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """An export that stops for ever before its last write."""
    data = cities.found(tmp_path / "data")
    cities.append(data, [cities.message(1, 20)])
    cities.store_all(data)
    code = (
        "import sys, time\n"
        "from adapters import export_formats\n"
        "def stuck(self):\n    print('stuck', flush=True)\n    time.sleep(600)\n"
        "export_formats.Parquet.close = stuck\n"
        "from nabd.cli import cli\n"
        "cli(sys.argv[1:])\n"
    )
    command = [sys.executable, "-c", code, "export", "--data", str(data), "--format", "parquet"]
    command += ["--from", "2026-11-23", "--to", "2026-11-24", "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stuck\n"
        yield process
        process.kill()


def test_a_killed_export_leaves_nothing_under_its_name_and_the_next_one_is_whole(
    killed: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    done = export(tmp_path / "data", "parquet", tmp_path / "out")
    assert done.exit_code == 2
    assert "is in use and does not answer yet" in done.output
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "out.partial").is_dir(), "what it left says what it is"
    done = export(tmp_path / "data", "parquet", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert names(tmp_path) == ["data", "out"]
    assert pq.read_table(tmp_path / "out" / "street_light.parquet").num_rows == 20


def test_two_exports_to_one_name_do_not_mix(tmp_path: Path) -> None:
    with whole(str(tmp_path / "out.csv")) as partial:
        partial.write_text("x")
        with pytest.raises(Refused, match="is being written by another export"), whole(str(tmp_path / "out.csv")):
            pass
    assert names(tmp_path) == ["out.csv"]


def test_a_lock_that_the_one_before_removes_in_the_midst_of_the_taking_lets_nobody_else_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = str(tmp_path / "out.csv")
    before = ExitStack()
    before.enter_context(pytest.raises(KeyboardInterrupt))
    before.enter_context(whole(out))
    lock = fcntl.flock

    def late(handle: int, how: int) -> None:
        monkeypatch.undo()
        before.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with whole(out) as partial:
        partial.write_text("x")
        with pytest.raises(Refused, match="is being written by another export"), whole(out):
            pass
    assert names(tmp_path) == ["out.csv"]


def test_a_place_that_may_not_be_written_is_told(data: Path) -> None:
    done = export(data, "csv", "/sys/out")
    assert done.exit_code == 2
    assert "/sys/out: cannot be made (" in done.output
    assert "name another place with --out" in done.output
