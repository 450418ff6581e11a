"""`kill -9` in the middle of a replay, again and again: every reading is stored once in the end."""

import random
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

from tests.ingest.house import IngestHouse, telemetry
from tests.ingest.test_replay import BAD_W, narrow

ROOT = Path(__file__).parents[2]
ROWS, KILLS_MAX = 2_400, 40
SEED = 20_261_124


def test_a_replay_killed_at_any_moment_stores_every_reading_once(tmp_path: Path) -> None:
    print("seed", SEED)
    chance = random.Random(SEED)
    house = IngestHouse(tmp_path, kinds=narrow())
    for seq in range(1, ROWS + 1, 400):
        house.hear(*(telemetry(one, oldest=1, values={"power_w": BAD_W}) for one in range(seq, seq + 400)))
    assert house.log.quarantine_rows.count() == ROWS
    house.log.close()
    kills = 0
    for _ in range(KILLS_MAX):
        command = [sys.executable, "-m", "tests.ingest.replayer", str(tmp_path)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            killer = threading.Timer(chance.uniform(0.0, 0.3), process.kill)
            killer.start()
            process.wait()
            killer.cancel()
        if process.returncode == 0:
            break
        kills += 1
    assert kills >= 2, "it was through before anybody could kill it"
    house = IngestHouse(tmp_path)
    left = [row.number for row in house.log.quarantine(ROWS)]
    house.pipeline.replay(left, "amina")
    assert house.log.quarantine_rows.count() == 0
    assert Counter(seq for _, _, seq in house.readings()) == Counter(range(1, ROWS + 1))
    assert (house.count("replayed"), house.count("accepted")) == (ROWS, ROWS)
    assert house.books_balance()
    house.log.close()
