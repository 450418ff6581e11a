"""`make bench-catchup`: a store that was away comes back to a long log, while the city goes on sending.

    python -m bench.catching_up [--readings 300000] [--rate 500] [--store duckdb|influxdb|both]

The log is filled first, as hours without a store leave it. InfluxDB is a real server, frozen while the platform starts
and thawed then (NABD_PEERS says where `bench/peers/build.sh` put it); DuckDB is an empty file, filled from the log's
first entry. A probe then sends a reading every quarter of a second and looks when the live view shows it over the API,
and when `kept` names it: while the writer catches up, and for as long again afterwards, at least ten seconds.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import backlog
from bench.city import FastPublisher, percentile, running, steady_load, telemetry, wait_until_decided
from contract.moments import rfc3339
from nabd.process import PlatformProcess
from stand.influxdb import InfluxServer

DEVICES = 1_000
AWAY_MS = 3 * 3_600_000
STREAM = "0000cafe"
PROBE_EVERY_S = 0.25
PROBES = 2  # devices that nobody else speaks for
AFTER_S = 10.0
CAUGHT_UP = 3_000  # entries: what gathers at this rate between two writes, and some more
WAIT_S_MAX = 600.0
SETTINGS = '[store]\nkind = "influxdb"\n[influxdb]\nurl = "{url}"\n'


class Probe:
    """Sends readings of one device, and knows when each was shown and kept."""

    def __init__(self, platform: PlatformProcess, device: str) -> None:
        self._client, self._device = platform.client, device
        self._wire = FastPublisher(platform.mqtt_port, "bench-probe")
        self._wire.subscribe(f"nabd/1/{device}/kept")
        self._seq = 0
        self._sent_s: dict[int, float] = {}
        self.shown_s: list[float] = []
        self.kept_s: list[float] = []

    def once(self) -> None:
        self._seq += 1
        at_ms = int(time.time() * 1000)
        began_s = self._sent_s[self._seq] = time.monotonic()
        self._wire.send([(self._device, telemetry(STREAM, self._seq, 1, at_ms))])
        while self._shown() < rfc3339(at_ms):
            self._wire.listen(0.01)
            self._take_kept()
        self.shown_s.append(time.monotonic() - began_s)
        self._wire.listen(max(0.005, PROBE_EVERY_S - self.shown_s[-1]))
        self._take_kept()

    def settle(self) -> None:
        """Until all are kept."""
        end_s = time.monotonic() + 10
        while self._sent_s and time.monotonic() < end_s:
            self._wire.listen(0.1)
            self._take_kept()
        if self._sent_s:
            raise SystemExit(f"{len(self._sent_s)} probes were not kept")

    def spread(self) -> str:
        said = [
            f"{name} p50 {percentile(values, 0.5):.2f} s, p99 {percentile(values, 0.99):.2f} s, max {max(values):.2f} s"
            for name, values in (("live view", self.shown_s), ("kept", self.kept_s))
        ]
        return f"{'; '.join(said)} ({len(self.shown_s)} probes)"

    def _shown(self) -> str:
        """When the device's value was measured that the live view has."""
        latest = self._client.get(f"devices/{self._device}")["latest"].get("energy_wh")
        return str(latest["measured_at"]) if latest else ""

    def _take_kept(self) -> None:
        while self._wire.heard:
            arrived_s, _, payload = self._wire.heard.popleft()
            upto = json.loads(payload)["upto"]
            for seq in [seq for seq in self._sent_s if seq <= upto]:
                self.kept_s.append(arrived_s - self._sent_s.pop(seq))


@contextmanager
def frozen_influxdb(folder: Path, data: Path) -> Iterator[InfluxServer]:
    """A server that answers nothing yet, named in the data folder's settings."""
    server = InfluxServer(folder / "influxdb")
    try:
        _, token = server.add_token(server.bucket_id, "read", "write")
        secrets = data / "secrets"
        secrets.mkdir(mode=0o700)
        with os.fdopen(os.open(secrets / "influxdb_token", os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(token + "\n")
        (data / "nabd.toml").write_text(SETTINGS.format(url=server.url), encoding="utf-8")
        server.freeze()
        yield server
    finally:
        server.end()


def measure(folder: Path, store: str, readings: int, rate: int) -> list[str]:
    data = folder / "data"
    devices = [f"bench-{number:05d}" for number in range(DEVICES)]
    backlog.register(data, devices)
    with running(folder, well=False) as platform:  # the rules know them
        wait_until_decided(platform)
    made = backlog.fill(data, devices[PROBES:], readings=readings, a_message=1, over_ms=AWAY_MS)
    backlog.bring_decider(data)  # what was away is the store
    if store == "influxdb":
        with frozen_influxdb(folder, data) as server, running(folder, well=False) as platform:
            return _follow(platform, devices, made, rate, store, server)
    with running(folder, well=False) as platform:
        return _follow(platform, devices, made, rate, store, None)


def _follow(
    platform: PlatformProcess,
    devices: list[str],
    made: backlog.Backlog,
    rate: int,
    store: str,
    server: InfluxServer | None,
) -> list[str]:
    load, ending = FastPublisher(platform.mqtt_port, "bench-load"), threading.Event()
    thread = threading.Thread(target=steady_load, args=(load, devices[PROBES:], rate, ending))
    thread.start()
    try:
        if server is not None:
            server.thaw()
        began_s = time.monotonic()
        during, after = Probe(platform, devices[0]), None
        while platform.client.health()["store_lag"] > CAUGHT_UP:
            if time.monotonic() - began_s > WAIT_S_MAX:
                raise SystemExit(f"the writer has not caught up within {WAIT_S_MAX:g} s")
            during.once()
        took_s = time.monotonic() - began_s
        during.settle()
        after = Probe(platform, devices[1])
        while time.monotonic() - began_s - took_s < max(AFTER_S, took_s):
            after.once()
        after.settle()
    finally:
        ending.set()
        thread.join()
    return [
        f"{store}: {made.readings:,} readings of {AWAY_MS / 3_600_000:g} h caught up in {took_s:.1f} s "
        f"({made.readings / took_s:,.0f} readings/s) beside {rate} live messages/s",
        f"{store}: meanwhile {during.spread()}",
        f"{store}: afterwards {after.spread()}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-catchup", description=__doc__)
    parser.add_argument("--readings", type=int, default=300_000)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--store", choices=["duckdb", "influxdb", "both"], default="both")
    chosen = parser.parse_args()
    for store in ("duckdb", "influxdb") if chosen.store == "both" else (chosen.store,):
        with tempfile.TemporaryDirectory(prefix="nabd-bench-") as folder:
            for line in measure(Path(folder), store, chosen.readings, chosen.rate):
                print(line, flush=True)


if __name__ == "__main__":
    main()
