"""`make bench-start`: how long after a crash until a reading is kept again, with many devices and a long log.

    python -m bench.starting [--gb 1] [--devices 10000] [--store-behind]

The log is filled until its file has so many GB in use (chunks are compressed), of readings that the store has,
too; with --store-behind it has none of them. The platform then runs for a while under traffic of all devices, so that
rules, live view and ledger know each of them, is stopped, started, sent STEADY messages a second for STEADY_S, and
killed. Measured is from the next start's process on until `kept` names a reading that is published as soon as the
broker lets somebody in.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path

from bench import backlog
from bench.city import FastPublisher, running, steady_load, telemetry, wait_until_decided
from nabd.process import PlatformProcess

A_MESSAGE = 4  # readings
OVER_MS = 2 * 86_400_000
STEADY, STEADY_S = 300, 20.0
WAIT_S_MAX = 900.0
MEASURED = 3  # starts, each after a crash


def measure(folder: Path, gigabytes: float, devices: int, *, store_behind: bool) -> list[str]:
    # Compiled once, as an installation has it, whatever this shell's Python is told.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
    data = folder / "data"
    names = [f"bench-{number:05d}" for number in range(devices)]
    backlog.register(data, names)
    with running(folder, well=False) as platform:  # the decider has them all
        _speak(platform, names)
    made = backlog.fill(data, names, readings=A_MESSAGE, a_message=A_MESSAGE, over_ms=OVER_MS,
                        bytes_at_least=int(gigabytes * 1e9))  # fmt: skip
    backlog.bring_decider(data)
    if not store_behind:
        backlog.bring_store(data, made, names)
    print(f"made: {made.readings:,} readings in {made.entries:,} entries", flush=True)
    taken = [_crash_and_start(folder, names) for _ in range(MEASURED)]
    size = (data / "log.db").stat().st_size
    return [
        f"start after kill -9, {devices:,} devices, log.db of {size / 1e9:.2f} GB ({made.readings:,} readings in "
        f"{made.entries:,} messages), the store {'has none of it' if store_behind else 'has it all'}: kept after "
        + ", ".join(f"{kept_s:.1f} s (console after {console_s:.1f} s)" for console_s, kept_s in taken)
    ]


def _speak(platform: PlatformProcess, names: list[str]) -> None:
    """Everybody says something once."""
    at_ms = int(time.time() * 1000)
    publisher = FastPublisher(platform.mqtt_port, "bench-first")
    publisher.send((name, telemetry("00000002", 1, 1, at_ms)) for name in names)
    publisher.close()
    wait_until_decided(platform)


def _crash_and_start(folder: Path, names: list[str]) -> tuple[float, float]:
    """(s until the console answers, s until a reading is kept) of a start after a crash under traffic."""
    with running(folder, well=False) as platform:
        load, ending = FastPublisher(platform.mqtt_port, "bench-load"), threading.Event()
        thread = threading.Thread(target=steady_load, args=(load, names[1:], STEADY, ending))
        thread.start()
        time.sleep(STEADY_S)
        ending.set()
        thread.join()
        platform.kill()
    began_s = time.monotonic()
    with running(folder, well=False) as platform:
        console_s = time.monotonic() - began_s
        _keep_one(platform, names[0])
        return console_s, time.monotonic() - began_s


def _keep_one(platform: PlatformProcess, name: str) -> None:
    """Publish a reading, and wait for its `kept`."""
    at_ms = int(time.time() * 1000)
    stream = f"{at_ms % 2**32:08x}"
    publisher = FastPublisher(platform.mqtt_port, "bench-probe")
    publisher.subscribe(f"nabd/1/{name}/kept")
    publisher.send([(name, telemetry(stream, 1, 1, at_ms))])
    end_s = time.monotonic() + WAIT_S_MAX
    while time.monotonic() < end_s:
        publisher.listen(0.02)
        while publisher.heard:
            said = json.loads(publisher.heard.popleft()[2])
            if said["stream"] == stream and said["upto"] == 1:
                publisher.close()
                return
    raise SystemExit(f"the reading was not kept within {WAIT_S_MAX:g} s")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-start", description=__doc__)
    parser.add_argument("--gb", type=float, default=1.0)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--store-behind", action="store_true", help="the store was away: it has nothing of the log")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nabd-bench-") as folder:
        for line in measure(Path(folder), chosen.gb, chosen.devices, store_behind=chosen.store_behind):
            print(line, flush=True)


if __name__ == "__main__":
    main()
