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
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters.log.sqlite_log import SqliteLog
from adapters.platform_client import PlatformFault
from bench.city import FastPublisher, cpu_s, percentile, running, telemetry
from bench.measuring import peak_mb
from bench.storm_device import KIND
from contract.kind import check_settings
from contract.kind_file import load_kinds
from contract.records import Registered
from nabd.process import PlatformProcess
from stand.city_broker import DEPLOY
from stand.mosquitto import PlainMosquitto

BACKLOG, SPACING_S, CONNECT_S = 130, 664, 30.0
POWER_SHARE = 0.25
CHATTER_PER_S, CHATTER_S = 1_000, 60.0
CHATTERER = "storm-chatter"
CALM = {"backlog": 1.0, "spacing_s": SPACING_S, "connect_s": 5.0}
CLOCK_AHEAD_MS = 3 * 3_600_000
LIVE_S = 300.0  # between two live readings of a device: a third of a lamp's period, so that there is enough to see
LOOK_S = 0.25
DRAIN_S_MAX = 900.0
TELL_S = 15.0
BROKERS = ("embedded", "mosquitto")
BOUNDS = ("max_", "autosave_interval", "queue_qos0", "persistent_client", "set_tcp_nodelay", "sys_interval")


class FleetProcess:
    """bench.storm_fleet; `latest` is what it said last."""

    def __init__(self, port: int, devices: int, **options: float) -> None:
        command = [sys.executable, "-m", "bench.storm_fleet", "--port", str(port), "--devices", str(devices)]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        self.began_s = time.monotonic()
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.latest: dict[str, Any] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.latest = json.loads(line)

    def has_kept(self, backlog: int) -> bool:
        """Have all devices been connected, and is so much of what they held at first kept?"""
        said = self.latest
        return bool(said) and said["births"] >= said["devices"] and said["backlog_kept"] >= backlog

    @property
    def all_kept(self) -> bool:
        said = self.latest
        return bool(said) and said["kept"] == said["measured"]

    def hush(self) -> None:
        """Measure nothing more; what is held is sent on."""
        assert self._process.stdin is not None
        self._process.stdin.write("hush\n")
        self._process.stdin.flush()

    def check(self) -> None:
        if self._process.poll() is not None:
            raise SystemExit("the fleet ended; its own message stands above")

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._reader.join(5)


@dataclass
class Watch:
    """Looks at the platform four times a second: how far the live view is behind, how long the API takes."""

    platform: PlatformProcess
    lag_s: list[float] = field(default_factory=list)
    api_s: list[float] = field(default_factory=list)
    ailing: set[str] = field(default_factory=set)
    _seen: list[tuple[float, int]] = field(default_factory=list)  # when the log first had this position

    def look(self) -> None:
        """The live view is as far behind as the oldest entry of the log that it has not taken is old."""
        began_s = time.monotonic()
        try:
            health = self.platform.client.health()
            self.platform.client.get("devices", limit=100)
        except PlatformFault as fault:
            self.ailing.add(str(fault))
            return
        self.api_s.append(time.monotonic() - began_s)
        self.ailing.update(health["reasons"])
        self._seen.append((began_s, health["log"]["position"]))
        live = health["consumers"]["live"]["position"]
        while self._seen and self._seen[0][1] <= live:
            self._seen.pop(0)
        self.lag_s.append(began_s - self._seen[0][0] if self._seen else 0.0)


@dataclass(frozen=True)
class City:
    """A platform with registered devices; `port` is the broker's."""

    platform: PlatformProcess
    port: int
    broker_pid: int | None  # of a broker of its own

    def cpu_s(self) -> tuple[float, float]:
        own, child = cpu_s(self.platform)
        if self.broker_pid is None:
            return own, child
        with open(f"/proc/{self.broker_pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return own, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def city(folder: Path, broker: str, devices: int) -> Iterator[City]:
    """A platform that knows so many devices and the chatterer, and nothing else."""
    folder.mkdir(parents=True)
    with running(folder):
        pass  # it founds the data folder
    register(folder / "data" / "log.db", devices)
    with ExitStack() as stack:
        options: list[str] = []
        pid = None
        if broker == "mosquitto":
            server = PlainMosquitto(folder / "mosquitto", *deployed_bounds(), "persistence true",
                                    "persistence_location {folder}/")  # fmt: skip
            stack.callback(server.stop)
            server.start()
            pid = server.pid
            config = folder / "nabd.toml"
            config.write_text(f"[mqtt]\nembedded = false\nport = {server.port}\nconnections = 4\n", encoding="utf-8")
            options = ["--config", str(config), "--mqtt-port", str(server.port)]
        platform = stack.enter_context(running(folder, *options))
        yield City(platform, server.port if broker == "mosquitto" else platform.mqtt_port, pid)


def deployed_bounds() -> list[str]:
    """What deploy/mosquitto bounds."""
    text = (DEPLOY / "mosquitto.conf").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.startswith(BOUNDS) and "keepalive" not in line]


def register(log_file: Path, devices: int) -> None:
    """Ten thousand registrations over HTTP would take longer than the storm."""
    names = [*(f"storm-{number:05d}" for number in range(devices)), CHATTERER]
    settings = check_settings(load_kinds()[KIND], {"rated_power_w": 90.0})
    log = SqliteLog(log_file, bytes_max=4_000_000_000, days_max=30)
    try:
        log.append(
            [
                Registered(
                    device=name, kind=KIND, commune="berkane", asset=name, name=name, settings=settings, by="bench"
                )
                for name in names
            ],
            int(time.time() * 1000),
        )
    finally:
        log.close()


def watch_until_kept(fleet: FleetProcess, watch: Watch, backlog: int, at_least_s: float) -> float:
    """Seconds from the fleet's beginning until its backlog is kept; afterwards all is that was measured meanwhile."""
    told_s = time.monotonic()
    took_s = 0.0
    while not (took_s and fleet.all_kept):
        fleet.check()
        if time.monotonic() - fleet.began_s > DRAIN_S_MAX:
            raise SystemExit(f"not all was kept within {DRAIN_S_MAX:g} s: {fleet.latest}")
        watch.look()
        if time.monotonic() > told_s + TELL_S:
            told_s = time.monotonic()
            said = {name: fleet.latest.get(name) for name in ("connected", "kept", "measured", "lost", "failed")}
            print(f"after {told_s - fleet.began_s:.0f} s: {said}", file=sys.stderr)
        time.sleep(LOOK_S)
        if not took_s and fleet.has_kept(backlog) and time.monotonic() - fleet.began_s >= at_least_s:
            took_s = fleet.latest["at_s"] - fleet.began_s
            fleet.hush()
            time.sleep(1.0)  # so that the fleet's next word is of afterwards
    return took_s


def storm(
    where: City, devices: int, options: Mapping[str, float], *, at_least_s: float = 0.0, alone: bool = True
) -> list[str]:
    """One fleet from its start until all is kept, and what it did to the platform. `alone`: nobody else speaks."""
    before = where.platform.client.get("ledger")
    own_s, broker_s = where.cpu_s()
    watch = Watch(where.platform)
    fleet = FleetProcess(where.port, devices, live_s=LIVE_S, **options)
    try:
        took_s = watch_until_kept(fleet, watch, int(devices * options["backlog"]), at_least_s)
    finally:
        fleet.end()
    said = fleet.latest
    stored_s = took_s
    while where.platform.client.health()["store_lag"] and stored_s < DRAIN_S_MAX:
        time.sleep(LOOK_S)
        stored_s = time.monotonic() - fleet.began_s
    after = where.platform.client.get("ledger")
    own_after_s, broker_after_s = where.cpu_s()
    came = {name: after[name] - before[name] for name in ("accepted", "duplicate", "quarantined")}
    lost = said["kept"] - came["accepted"] - came["quarantined"]
    if (alone and lost) or after["missing"] or after["gone"] > before["gone"]:
        raise SystemExit(f"of {said['kept']} readings that were kept {lost} are in no book: {after}")
    sends = said["sent"] / max(said["measured"], 1)
    lines = [
        f"{devices:,} devices, {said['measured']:,} readings: the backlog kept after {took_s:.1f} s, all stored after "
        f"{stored_s:.1f} s (connections opened over {said['connecting_s']:.1f} s); sent {sends:.3f} times each; "
        f"none lost, {came['quarantined']:,} in quarantine",
        f"live view behind by at most {max(watch.lag_s, default=0):.2f} s; a live reading is kept after p50 "
        f"{said['live_p50_s']:.2f} s, p99 {said['live_p99_s']:.2f} s, at most {said['live_max_s']:.2f} s "
        f"({said['live']:,} of them); health and a page of the device list over the API: p50 "
        f"{percentile(watch.api_s, 0.5) * 1000:.0f} ms, p99 {percentile(watch.api_s, 0.99) * 1000:.0f} ms",
        f"connections refused {said['refused']}, failed {said['failed']}, lost {said['lost']}; "
        f"leases answered {said['leases']:,}; {said['messages']:,} messages of {said['bytes'] / 1e6:.1f} MB",
        f"CPU {own_after_s - own_s:.1f} s in the platform, {broker_after_s - broker_s:.1f} s in the broker; peak "
        f"memory of the platform {peak_mb(where.platform.pid):.0f} MB",
    ]
    return lines + [f"ailing meanwhile: {reason}" for reason in sorted(watch.ailing)]


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
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--broker", nargs="+", choices=BROKERS, default=BROKERS)
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # so that the processes it started end, too
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # Mosquitto takes a file a connection, and inherits this
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; files allowed: {hard}", flush=True)
    for broker in chosen.broker:
        for name in chosen.only or storms:
            with tempfile.TemporaryDirectory(prefix="nabd-storm-") as folder:
                for line in storms[name](Path(folder) / "city", broker, chosen.devices):
                    print(f"{name}, {broker}: {line}", flush=True)


if __name__ == "__main__":
    main()
