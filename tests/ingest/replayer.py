"""Replays the quarantine row by row until it is killed. Run by test_replay_kill.py: `python -m … FOLDER`."""

import sys
from pathlib import Path

from tests.ingest.house import KINDS, IngestHouse


def main(folder: Path) -> None:
    house = IngestHouse(folder, kinds=KINDS)
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    while rows := house.log.quarantine_rows.behind(0, 3):
        house.pipeline.replay([row.number for row in rows], "amina")
    house.log.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
