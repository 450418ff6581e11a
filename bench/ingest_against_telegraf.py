"""`make bench-ingest`: Telegraf and Nabd between the same Mosquitto and the same InfluxDB, several rounds in turn.

Prints a line a run, then the tables; with --page it writes them into that file as well. What is measured, and how,
stands in the frame of that page (benchmarks_page.py).
"""

import argparse
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.benchmarks_page import Kill, Results, Series, kills_table, page, series_table
from bench.checking import check
from bench.killing import kill_once
from bench.load import Load, made
from bench.measuring import Figures, run
from bench.peers_telegraf import Telegraf
from bench.servers import Servers, serving
from bench.sides import Side
from bench.sides_nabd import IngestOnly, WholePlatform
from nabd.fault import Refused
from stand.peers import PeerMissing

READINGS = 16  # of a message in the second series
QUICK = {"messages": 20_000, "rounds": 1, "seconds": 4, "kill_messages": 20_000, "devices": 200, "many_devices": 2_000}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-ingest", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000, help="of one reading; a tenth of it of sixteen")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=5_000, help="messages a second of the steady load")
    parser.add_argument("--seconds", type=int, default=10, help="of the steady load")
    parser.add_argument("--kill-messages", type=int, default=40_000)
    parser.add_argument("--devices", type=int, default=1_000)
    parser.add_argument("--many-devices", type=int, default=5_000, help="of the series that shows what they cost")
    parser.add_argument("--quick", action="store_true", help="one small round, to see that it works; no --page")
    parser.add_argument("--page", type=Path, help="write the results here")
    chosen = parser.parse_args()
    if chosen.quick:
        vars(chosen).update(QUICK, page=None)
    results = Results(_command(sys.argv[1:]), chosen.rounds, os.getloadavg()[0])
    with tempfile.TemporaryDirectory(prefix="nabd-bench-") as folder:
        try:
            with serving(Path(folder) / "servers") as servers:
                measure(results, servers, Path(folder), chosen)
        except (Refused, PeerMissing) as refused:
            sys.exit(f"bench-ingest: {refused}")
        except KeyboardInterrupt:
            sys.exit(130)
    if chosen.page is not None:
        chosen.page.write_text(page(results), encoding="utf-8")
        print(f"written to {chosen.page}")


def _command(arguments: Sequence[str]) -> str:
    """What to type for the same run; the page's place is make's to say."""
    given = list(arguments)
    if "--page" in given:
        at = given.index("--page")
        del given[at : at + 2]
    return f"make bench-ingest ARGS={shlex.quote(shlex.join(given))}" if given else "make bench-ingest"


def measure(results: Results, servers: Servers, folder: Path, chosen: argparse.Namespace) -> None:
    """Check every side, then fill `results`, printing on the way."""
    sides: list[Side] = [Telegraf(servers), IngestOnly(servers), WholePlatform(servers)]
    for side in sides:
        results.checked = check(side, servers, folder)
        print(f"{side.name}: {results.checked} points read back, all as sent", flush=True)
    one = Load(chosen.messages, 1, chosen.devices)
    many = Load(max(1, chosen.messages // 10), READINGS, chosen.devices)
    steady = Load(chosen.rate * chosen.seconds, 1, chosen.devices, chosen.rate)
    crowd = Load(chosen.messages, 1, chosen.many_devices)
    for title, load, taking_part in (
        ("One reading a message, at full speed", one, sides),
        (f"{READINGS} readings a message, at full speed", many, sides),
        ("A steady load", steady, sides),
        ("One reading a message, at full speed, from more devices", crowd, sides[:2]),
    ):
        series = measure_series(title, load, taking_part, servers, folder, chosen.rounds)
        results.series.append(series)
        print("\n".join([f"\n{title}", *series_table(series), ""]), flush=True)
    results.kills = measure_kills(sides, servers, folder, Load(chosen.kill_messages, 1, chosen.devices))
    print("\n".join(["", *kills_table(results.kills), ""]), flush=True)


def measure_series(
    title: str, load: Load, sides: Sequence[Side], servers: Servers, folder: Path, rounds: int
) -> Series:
    """Every side once a round, in turn."""
    figures: dict[str, list[Figures]] = {side.name: [] for side in sides}
    for number in range(rounds):
        for side in sides:
            found = run(side, servers, folder, load)
            figures[side.name].append(found)
            print(
                f"{title}, round {number + 1}, {side.name}: {found.side_us:.1f} µs CPU a message, "
                f"{found.rate:,.0f} messages/s (published at {found.publish_rate:,.0f}/s), {found.peak_mb:.0f} MB",
                flush=True,
            )
    payload = next(iter(made(load, int(time.time() * 1000))))[1]
    return Series(title, load, len(payload), figures)


def measure_kills(sides: Sequence[Side], servers: Servers, folder: Path, load: Load) -> list[Kill]:
    """Each side killed once; the broker killed once below each; and what devices that wait for `kept` make of it."""
    telegraf, ingest, whole = sides
    plain, device = "plain", "device of Nabd's"
    plan = [("the side", side, plain) for side in (telegraf, Telegraf(servers, persistent=False), ingest, whole)]
    plan += [("Mosquitto", side, plain) for side in (telegraf, ingest)]
    plan += [("Mosquitto", side, device) for side in (ingest, whole)]
    kills = []
    for killed, side, publisher in plan:
        is_broker = killed == "Mosquitto"
        after = kill_once(side, servers, folder, load, broker=is_broker, until_kept=publisher == device)
        kills.append(Kill(killed, side.name, publisher, after))
        print(
            f"killed {killed}, {side.name}, {publisher} publisher: {after.lost} lost, {after.doubled} doubled",
            flush=True,
        )
    return kills


if __name__ == "__main__":
    main()
