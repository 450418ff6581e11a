"""`make soak`: rounds of kills over all ways to run a city, then harmed payloads, until there were enough of each.

Each round is a city of its own, with a seed that follows from that of the soak. What a round found is a line in the
folder: a soak that was broken off goes on behind the last one, and a round that found something wrong, or did not come
to its end, leaves its city's folder there. Ends with 1 when anything was wrong in any round.
"""

import argparse
import json
import shutil
import sys
import traceback
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from tests.crash.forge import Forge
from tests.crash.play import play
from tests.crash.verdict import Verdict
from tests.crash.ways import WAYS
from tests.fuzz.run import GROWTH_BYTES_MAX, fuzz
from tests.small_disk import NotPermitted, small_disk

STROKES = 30  # a round
READINGS = 40_000
SMALL_DISK_EVERY = 3  # rounds: one on a file system of its own, where that is permitted
IN_VAIN_MAX = 3  # rounds in a row that do not come to their end: what ails these would ail the next too
PAYLOADS = 250_000  # a round of these
FOLDER = Path("build/soak")

Found = Mapping[str, Any]


class Diary:
    """What the rounds of one seed found so far: a file of JSON lines."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{name}.jsonl"
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        self.rounds: list[Found] = [json.loads(line) for line in lines]

    def add(self, found: Found) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")
        self.rounds.append(found)

    def total(self, what: str) -> int:
        return sum(found[what] for found in self.rounds)

    @property
    def faults(self) -> list[str]:
        return [fault for found in self.rounds for fault in found["faults"]]


def run_round(number: int, seed: str, folder: Path, forge: Forge) -> Found:
    """A round that does not come to its end (a stall, a platform that ended by itself) has found that, and no kills."""
    way = WAYS[number % len(WAYS)]
    inside = folder / f"round-{seed}-{number}"
    shutil.rmtree(inside, ignore_errors=True)  # of a soak that was broken off: what found anything is in the diary
    inside.mkdir(parents=True)
    disk = None
    try:
        with ExitStack() as ends:
            if number % SMALL_DISK_EVERY == 0:
                with suppress(NotPermitted):
                    disk = ends.enter_context(small_disk(inside / "disk"))
            house = ends.enter_context(way.house(inside, forge, disk))
            done = play(house, seed=f"{seed}/{number}", strokes=STROKES, readings=READINGS)
        kills, verdict = done.kills, done.verdict
    except Exception as error:  # not played again until it passes: it is in the diary like any other
        traceback.print_exc()
        kills, verdict = 0, Verdict(faults=[f"round {number} did not come to its end: {type(error).__name__}: {error}"])
    if verdict:
        shutil.rmtree(inside)
    return {
        "round": number,
        "way": way.name + ("" if disk is None else "+small disk"),
        "kills": kills,
        "readings": verdict.readings,
        "lost": verdict.lost,
        "twice": verdict.twice,
        "faults": verdict.faults,
    }


def soak_kills(folder: Path, seed: str, kills: int, readings: int) -> bool:
    """Was all right?"""
    diary = Diary(folder, f"kills-{seed}")
    forge = Forge()
    in_vain = 0
    try:
        while diary.total("kills") < kills or diary.total("readings") < readings:
            found = run_round(len(diary.rounds), seed, folder, forge)
            diary.add(found)
            print(found, flush=True)
            in_vain = 0 if found["kills"] else in_vain + 1
            if in_vain == IN_VAIN_MAX:
                break
    finally:
        forge.close()
    lost, twice = diary.total("lost"), diary.total("twice")
    print(
        f"soak: {diary.total('kills')} kills, {diary.total('readings')} readings, {lost} lost, {twice} twice, "
        f"{len(diary.faults)} other faults, seed {seed}"
    )
    for fault in diary.faults:
        print(f"  {fault}")
    return not (lost or twice or diary.faults)


def soak_payloads(folder: Path, seed: str, payloads: int) -> bool:
    """Did memory stay flat? A payload without an ending raises AssertionError, with the payload."""
    diary = Diary(folder, f"payloads-{seed}")
    while diary.total("payloads") < payloads:
        endings, growth_bytes = fuzz(PAYLOADS, f"{seed}/{len(diary.rounds)}")
        found = {"payloads": PAYLOADS, "growth_bytes": growth_bytes, "faults": [], **endings}
        diary.add(found)
        print(found, flush=True)
    growth = max(found["growth_bytes"] for found in diary.rounds) if diary.rounds else 0
    print(
        f"soak: {diary.total('payloads')} harmed payloads, each with its ending; memory grew by {growth} bytes at most "
        f"over {PAYLOADS} of them ({GROWTH_BYTES_MAX} allowed), seed {seed}"
    )
    return growth < GROWTH_BYTES_MAX


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.soak", description=__doc__)
    parser.add_argument("--seed", default="20261124", help="of everything that is left to chance (default %(default)s)")
    parser.add_argument("--kills", type=int, default=1_000, help="at least so many (default %(default)s)")
    parser.add_argument("--readings", type=int, default=1_000_000, help="at least so many (default %(default)s)")
    parser.add_argument("--payloads", type=int, default=1_000_000, help="at least so many (default %(default)s)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of what was found (default %(default)s)")
    chosen = parser.parse_args()
    is_well = soak_kills(chosen.folder, chosen.seed, chosen.kills, chosen.readings)
    is_well &= soak_payloads(chosen.folder, chosen.seed, chosen.payloads)
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
