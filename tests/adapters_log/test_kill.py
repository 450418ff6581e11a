"""kill -9 at any moment: what was acknowledged is there, and everything of one append or nothing."""

import random
import subprocess
import sys
import threading
from pathlib import Path

from adapters.log.sqlite_log import SqliteLog
from contract.records import Telemetry

ROOT = Path(__file__).parents[2]
KILLS = 6


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    seed = 20_261_124
    print("seed", seed)
    chance = random.Random(seed)
    acknowledged = 0
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.adapters_log.appender", str(path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        first = process.stdout.readline()
        killer = threading.Timer(chance.uniform(0.02, 0.25), process.kill)
        killer.start()
        rest = process.stdout.readlines()
        process.wait()
        told = [int(line) for line in [first, *rest] if line.endswith("\n")]
        assert told == list(range(told[0], told[0] + len(told)))
        assert told[0] > acknowledged
        acknowledged = told[-1]
        log = SqliteLog(path, bytes_max=10**9, days_max=30)
        last = log.last()
        assert acknowledged <= last <= acknowledged + 1  # one more may have been durable and not yet said
        entries = log.read(0, last + 10)
        assert [entry.position for entry in entries] == list(range(1, last + 1))
        seqs = [
            reading.seq for entry in entries if isinstance(entry.record, Telemetry) for reading in entry.record.readings
        ]
        assert seqs == list(range(1, last + 1))
        [row] = log.ledger()
        assert row.have == ((1, last),)
        assert log.counts() == {"accepted": last}
        log.close()
    assert acknowledged > KILLS
