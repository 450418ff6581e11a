"""Readings come out of a running platform whole: files, notebooks and the recount agree with what it kept."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nabd.backing_up import STORE
from stand.influxdb import InfluxServer
from tests.e2e.conftest import City, Nabd
from tests.e2e.test_backup import have
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)

SPEED = ("--speed", "600", "--start", "2026-11-24T18:00:00Z")
FLEET = ("--lights", "25", "--bins", "5", "--valves", "3")
RANGE = ("--from", "2026-11-24T17:00Z", "--to", "2026-12-24")
ROOT = Path(__file__).parents[2]
Name = tuple[Any, ...]


def exported(folder: Path) -> list[Name]:
    found = []
    for file in sorted(folder.glob("*.parquet")):
        rows = pq.read_table(file, columns=["device", "stream", "seq"]).to_pylist()
        found += [(row["device"], row["stream"], row["seq"]) for row in rows]
    return found


def settled(city: City) -> set[Name]:
    """What the platform has kept, once its store has it all."""
    kept = have(city)
    last = city.running.client.health()["log"]["position"]
    eventually(lambda: city.running.client.health()["consumers"]["store"]["position"] >= last, "the store has it", 60)
    return kept


def verified(nabd: Nabd, city: City) -> dict[str, Any]:
    done = nabd("data", "verify", "--json", "--data", str(city.data), within_s=120)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = msgspec.json.decode(done.stdout)
    return found


def looks_whole(city: City, nabd: Nabd, tmp_path: Path) -> None:
    """Running, then stopped: exports hold every reading once, the recount finds no fault."""
    eventually(lambda: city.get("ledger")["accepted"] > 150, "traffic", 60)
    kept = settled(city)
    found = verified(nabd, city)
    assert found["good"]
    assert found["counts"]["ledger"] >= len(kept)
    done = nabd("export", *RANGE, "--format", "parquet", "--out", "live", "--data", str(city.data))
    assert done.returncode == 0, done.stderr
    live = exported(tmp_path / "live")
    assert len(live) == len(set(live))
    assert kept <= set(live)
    assert not (city.data / "copy").exists()
    device = min(name for name, _, _ in kept if "lamp" in name or "light" in name)
    csv = nabd("export", *RANGE, "--format", "csv", "--kind", "street_light", "--device", device, "--out", "-",
               "--data", str(city.data))  # fmt: skip
    assert csv.returncode == 0, csv.stderr
    assert len(csv.stdout.splitlines()) - 1 >= len([name for name in kept if name[0] == device]) > 0
    refused = nabd("data", "rebuild", "--data", str(city.data))
    assert refused.returncode == 2
    assert "stop it first: devices hold their readings until it is back" in refused.stderr

    assert city.running.stop() == 0
    found = verified(nabd, city)
    assert found["counts"]["waiting"] == 0
    for out in ("stopped", "rebuilt"):
        done = nabd("export", *RANGE, "--format", "parquet", "--out", out, "--data", str(city.data))
        assert done.returncode == 0, done.stderr
        assert len(exported(tmp_path / out)) == found["counts"]["held"] == found["counts"]["ledger"]
        if out == "stopped":
            done = nabd("data", "rebuild", "--data", str(city.data), within_s=120)
            assert done.returncode == 0, done.stderr
    assert sorted(exported(tmp_path / "stopped")) == sorted(exported(tmp_path / "rebuilt"))
    assert verified(nabd, city)["good"]


@pytest.mark.slow
def test_everything_comes_out_of_a_city_that_runs_and_of_the_same_city_stopped(
    city: City, nabd: Nabd, tmp_path: Path
) -> None:
    city.up(*SPEED, *FLEET)
    looks_whole(city, nabd, tmp_path)
    city.up(*SPEED, *FLEET)
    before = city.get("ledger")["accepted"]
    eventually(lambda: city.get("ledger")["accepted"] > before, "a rebuilt store goes on")


@pytest.mark.services
def test_everything_comes_out_of_a_city_on_influxdb(city: City, nabd: Nabd, tmp_path: Path) -> None:
    server = InfluxServer(tmp_path / "influxdb")
    try:
        (city.data / "secrets").mkdir(parents=True, mode=0o700)
        token = city.data / "secrets" / "influxdb_token"
        token.touch(mode=0o600)
        token.write_text(server.add_token(server.bucket_id, "read", "write")[1])
        (city.data / "nabd.toml").write_text(f'[store]\nkind = "influxdb"\n[influxdb]\nurl = "{server.url}"\n')
        city.up(*SPEED, *FLEET)
        looks_whole(city, nabd, tmp_path)
    finally:
        server.end()


def test_a_platform_that_dies_in_the_midst_of_an_export_leaves_no_half_file(
    city: City, nabd: Nabd, tmp_path: Path
) -> None:
    city.up(*SPEED, *FLEET)
    eventually(lambda: city.get("ledger")["accepted"] > 50, "traffic")
    settled(city)
    url = f"http://127.0.0.1:{city.http_port}/api/v1/readings.arrow"
    with httpx.stream("GET", url, params={"kind": "street_light", "from": "2026-11-24T17:00:00Z"}) as answer:
        assert pa.ipc.open_stream(answer.read()).read_all().num_rows > 0
    code = (
        "import os, sys, signal\n"
        "from adapters import export_formats\n"
        "write = export_formats.Parquet.write\n"
        "def dying(self, table):\n"
        f"    os.kill({city.running.pid}, signal.SIGKILL)\n"
        "    write(self, table)\n"
        "export_formats.Parquet.write = dying\n"
        "from nabd.cli import cli\n"
        "cli(sys.argv[1:])\n"
    )
    command = [sys.executable, "-c", code, "export", *RANGE, "--format", "parquet", "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, "--data", str(city.data)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "nothing was exported to " in done.stderr
    assert not list(tmp_path.glob("out*"))
    assert -city.running.process.wait(10) == signal.SIGKILL
    done = nabd("export", *RANGE, "--format", "parquet", "--out", "out", "--data", str(city.data))
    assert done.returncode == 0, done.stderr
    names = exported(tmp_path / "out")
    assert len(names) == len(set(names)) > 0
    assert (city.data / STORE).is_file()
