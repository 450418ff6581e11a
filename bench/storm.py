"""`make bench-storm`: what a city's storms do to the platform, with the real brokers.

    python -m bench.storm [backlog power chatter clock] [--devices 10000] [--broker embedded mosquitto]

- backlog: all devices come back within 30 s and bring a day of readings each.
- power: a quarter has power again: all devices boot in the same moment and hold nothing.
- chatter: beside a normal fleet one device says a thousand messages a second.
- clock: the whole fleet has the same wrong clock, three hours ahead.

The fleet is a process of its own (bench.storm_fleet), the platform is `nabd up`, the broker its own or Mosquitto with
the bounds of deploy/mosquitto in plain text. Every storm ends with a count: what was measured is what the ledger says.
"""

import argparse
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from math import nan
from pathlib import Path

from bench.city import FastPublisher, percentile, telemetry
from bench.measuring import peak_mb
from bench.storm_city import CHATTERER, City, city
from bench.storm_watch import LOOK_S, FleetProcess, Probe, Watch, watch_until_kept

BACKLOG, SPACING_S, CONNECT_S = 130, 664, 30.0
POWER_SHARE = 0.25
CHATTER_PER_S, CHATTER_S = 1_000, 60.0
CALM = {"backlog": 1.0, "spacing_s": SPACING_S, "connect_s": 5.0}
CLOCK_AHEAD_MS = 3 * 3_600_000
LIVE_S = 300.0  # between two live readings of a device: a third of a lamp's period, so that there is enough to see
SETTLE_S_MAX = 300.0
DEVICES_MAX = {"embedded": 2_000, "mosquitto": 10_000}  # that a broker lets in as fast as they come (docs/storms.md)


def storm(
    where: City, devices: int, options: Mapping[str, float], *, at_least_s: float = 0.0, alone: bool = True
) -> list[str]:
    """One fleet from its start until all is kept, and what it did to the platform. `alone`: nobody else speaks."""
    before, used_s = where.platform.client.get("ledger"), where.cpu_s()
    watch, probe = Watch(where.platform), Probe(where.port)
    fleet = FleetProcess(where.port, devices, live_s=LIVE_S, **options)
    try:
        took_s = watch_until_kept(fleet, watch, int(devices * options["backlog"]), at_least_s)
    finally:
        fleet.end()
        probe.end()
    said = fleet.latest
    came = _settle(where, before, said["kept"] + probe.told, alone=alone)
    stored_s = time.monotonic() - fleet.began_s
    own_s, broker_s = (after - was for after, was in zip(where.cpu_s(), used_s, strict=True))
    lines = [
        f"{devices:,} devices, {said['measured']:,} readings: the backlog kept after {took_s:.1f} s, all stored after "
        f"{stored_s:.1f} s (connections opened over {said['connecting_s']:.1f} s); sent "
        f"{said['sent'] / max(said['measured'], 1):.3f} times each; none lost, {came['quarantined']:,} in quarantine",
        f"live view behind the street by p50 {percentile(watch.seen_s, 0.5):.2f} s, p99 "
        f"{percentile(watch.seen_s, 0.99):.2f} s, at most {max(watch.seen_s, default=nan):.2f} s (behind the log by at "
        f"most {max(watch.lag_s, default=nan):.2f} s)",
        f"a live reading is kept after p50 {said['live_p50_s']:.2f} s, p99 {said['live_p99_s']:.2f} s, at most "
        f"{said['live_max_s']:.2f} s ({said['live']:,} of them); health and a page of the device list over the API: "
        f"p50 {percentile(watch.api_s, 0.5) * 1000:.0f} ms, p99 {percentile(watch.api_s, 0.99) * 1000:.0f} ms",
        f"connections refused {said['refused']}, failed {said['failed']}, lost {said['lost']}; "
        f"leases answered {said['leases']:,}; {said['messages']:,} messages of {said['bytes'] / 1e6:.1f} MB",
        f"CPU {own_s:.1f} s in the platform, {broker_s:.1f} s in the broker; peak memory of the platform "
        f"{peak_mb(where.platform.pid):.0f} MB",
    ]
    return lines + [f"ailing meanwhile: {reason}" for reason in watch.ailing]


def _settle(where: City, before: Mapping[str, int], expected: int, *, alone: bool) -> dict[str, int]:
    """What the books say the storm brought, when all of it is stored. SystemExit when they lack something."""
    client = where.platform.client
    end_s = time.monotonic() + SETTLE_S_MAX
    while True:
        after = client.get("ledger")
        came = {name: after[name] - before[name] for name in ("accepted", "duplicate", "quarantined")}
        lost = expected - came["accepted"] - came["quarantined"]
        if lost <= 0 and not client.health()["store_lag"]:
            break
        if time.monotonic() > end_s:
            raise SystemExit(f"of {expected} readings that were kept {lost} are in no book: {after}")
        time.sleep(LOOK_S)
    if (alone and lost) or after["missing"] or after["gone"] > before["gone"]:
        raise SystemExit(f"the books do not balance, {-lost} too many, or some are missing or gone: {after}")
    return came


def backlog(folder: Path, broker: str, devices: int) -> list[str]:
    with city(folder, broker, devices) as where:
        return storm(where, devices, {"backlog": BACKLOG, "spacing_s": SPACING_S, "connect_s": CONNECT_S})


def power(folder: Path, broker: str, devices: int) -> list[str]:
    count = max(1, int(devices * POWER_SHARE))
    with city(folder, broker, devices) as where:
        return storm(where, count, {"backlog": 1, "spacing_s": SPACING_S})


def clock(folder: Path, broker: str, devices: int) -> list[str]:
    with city(folder, broker, devices) as where:
        wrong = {"backlog": 3, "spacing_s": SPACING_S, "connect_s": CONNECT_S / 3, "clock_ahead_ms": CLOCK_AHEAD_MS}
        return storm(where, devices, wrong)


def chatter(folder: Path, broker: str, devices: int) -> list[str]:
    """A tenth of the city for a minute, first alone, then beside the chatterer."""
    count = max(1, devices // 10)
    with city(folder, broker, devices) as where:
        lines = [f"without it: {line}" for line in storm(where, count, CALM, at_least_s=CHATTER_S)]
        ending = threading.Event()
        sent: list[int] = []
        thread = threading.Thread(target=_chatter, args=(where.port, ending, sent))
        thread.start()
        try:
            beside = storm(where, count, CALM | {"first": count}, at_least_s=CHATTER_S, alone=False)
            lines += [f"beside it: {line}" for line in beside]
        finally:
            ending.set()
            thread.join()
        over = where.platform.client.health()["over_limit"]
        told = "; ".join(f"{one['device']}: {one['sentence']}" for one in over) or "nobody"
        return [*lines, f"the chatterer sent {sum(sent):,} messages; told: {told}"]


def _chatter(port: int, ending: threading.Event, sent: list[int]) -> None:
    """One reading a message, a thousand a second as far as the broker takes them, whatever is kept."""
    publisher = FastPublisher(port, CHATTERER)
    seq, step = 0, CHATTER_PER_S // 20
    while not ending.is_set():
        began_s = time.monotonic()
        at_ms = int(time.time() * 1000)
        publisher.send([(CHATTERER, telemetry("0000c0de", seq + n + 1, 1, at_ms)) for n in range(step)])
        seq += step
        sent.append(step)
        ending.wait(max(0.0, 0.05 - (time.monotonic() - began_s)))
    publisher.close()


def main() -> None:
    storms = {"backlog": backlog, "power": power, "chatter": chatter, "clock": clock}
    parser = argparse.ArgumentParser(prog="make bench-storm", description=__doc__)
    parser.add_argument("only", nargs="*", choices=[[], *storms], help="which storms; default: all")
    parser.add_argument("--devices", type=int, default=10_000, help="at most what each broker takes")
    parser.add_argument("--broker", nargs="+", choices=DEVICES_MAX, default=DEVICES_MAX)
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # so that the processes it started end, too
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # Mosquitto takes a file a connection, and inherits this
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; files allowed: {hard}", flush=True)
    for broker in chosen.broker:
        for name in chosen.only or storms:
            with tempfile.TemporaryDirectory(prefix="nabd-storm-") as folder:
                for line in storms[name](Path(folder) / "city", broker, min(chosen.devices, DEVICES_MAX[broker])):
                    print(f"{name}, {broker}: {line}", flush=True)


if __name__ == "__main__":
    main()
