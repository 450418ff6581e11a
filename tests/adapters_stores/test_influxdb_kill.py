"""Writing repeats harmlessly: server and writer are killed in the midst, again and again, and every count is exact."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stand.influxdb import InfluxServer
from tests.adapters_stores.conftest import influx_store
from tests.adapters_stores.entries import AT_MS, telemetry
from tests.adapters_stores.influx_writer import BATCH

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
ROUNDS = 4


@contextmanager
def writer(server: InfluxServer) -> Iterator["subprocess.Popen[str]"]:
    known = {"URL": server.url, "ORG": server.org, "BUCKET": server.bucket, "TOKEN": server.token}
    environment = {**os.environ, **{f"INFLUX_{name}": value for name, value in known.items()}}
    command = [sys.executable, "-m", "tests.adapters_stores.influx_writer"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def hear(process: "subprocess.Popen[str]", times: int) -> int:
    """The position that it tells at the last of so many times."""
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(times)]
    assert lines[-1].endswith("\n"), "the writer ended by itself"
    return int(lines[-1])


def test_server_and_writer_are_killed_in_the_midst_and_each_reading_is_stored_once(tmp_path: Path) -> None:
    seed = 20_261_124
    print("seed", seed)
    chance = random.Random(seed)
    server = InfluxServer(tmp_path / "influxdb")
    try:
        told = 0
        for _ in range(ROUNDS):
            with writer(server) as process:
                told = max(told, hear(process, chance.randint(3, 15)))
                server.kill()
                server.start()
                told = max(told, hear(process, chance.randint(3, 15)))
        store = influx_store(server, server.bucket)
        position, stored = store.position(), store.count()
        assert told <= position, "what was acknowledged is there"
        assert position <= stored <= position + BATCH, "beside it at most the batch whose position was not written"
        store.write([telemetry(n, n) for n in range(position + 1, position + BATCH + 1)], AT_MS)
        assert (store.position(), store.count()) == (position + BATCH, position + BATCH)
        seqs = {one.record.readings[0].seq for one in store.history(0, 2**53)}
        assert seqs == set(range(1, position + BATCH + 1))
        store.close()
    finally:
        server.end()
