"""The fleet's process, the probe beside it, and the eye on the platform while a storm goes on."""

import json
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from adapters.platform_client import PlatformFault
from bench.city import FastPublisher, telemetry
from nabd.process import PlatformProcess

PROBE, PROBE_EVERY_S = "storm-probe", 0.25
LOOK_S = 0.25
DRAIN_S_MAX = 900.0
TELL_S = 15.0


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


class Probe:
    """One device that measures all the time, beside the fleet; `told` readings so far."""

    def __init__(self, port: int) -> None:
        self.told = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(port,))
        self._thread.start()

    def _run(self, port: int) -> None:
        publisher = FastPublisher(port, PROBE)
        stream = f"{int(time.time()):08x}"
        while not self._ending.wait(PROBE_EVERY_S):
            publisher.send([(PROBE, telemetry(stream, self.told + 1, 1, int(time.time() * 1000)))])
            self.told += 1
        publisher.close()

    def end(self) -> None:
        self._ending.set()
        self._thread.join()


@dataclass
class Watch:
    """Looks at the platform four times a second: how far the live view is behind, how long the API takes.

    `seen_s` is what a technician sees: a probe measures all the time, and how old its newest reading in the live view
    is, less the time between two, is how far the view is behind the street.
    """

    platform: PlatformProcess
    lag_s: list[float] = field(default_factory=list)
    seen_s: list[float] = field(default_factory=list)
    api_s: list[float] = field(default_factory=list)
    _ailing: dict[str, str] = field(default_factory=dict)  # a reason without its numbers → as it was told last
    _seen: list[tuple[float, int]] = field(default_factory=list)  # when the log first had this position

    @property
    def ailing(self) -> list[str]:
        """What was wrong meanwhile, each once."""
        return sorted(self._ailing.values())

    def _ails(self, reason: str) -> None:
        self._ailing[re.sub(r"[0-9]+", "n", reason)] = reason

    def look(self) -> None:
        """The live view is as far behind as the oldest entry of the log that it has not taken is old."""
        began_s = time.monotonic()
        try:
            health = self.platform.client.health()
            self.platform.client.get("devices", limit=100)
            self.api_s.append(time.monotonic() - began_s)
            newest = self.platform.client.get(f"devices/{PROBE}")["latest"].get("power_w")
        except PlatformFault as fault:
            self._ails(str(fault))
            return
        if newest is not None:
            measured_s = datetime.fromisoformat(newest["measured_at"]).timestamp()
            self.seen_s.append(max(0.0, time.time() - measured_s - PROBE_EVERY_S))
        for reason in health["reasons"]:
            self._ails(reason)
        self._seen.append((began_s, health["log"]["position"]))
        live = health["consumers"]["live"]["position"]
        while self._seen and self._seen[0][1] <= live:
            self._seen.pop(0)
        self.lag_s.append(began_s - self._seen[0][0] if self._seen else 0.0)


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
