"""One run: a load through one side, measured from the first publish until every reading can be queried.

CPU is user and system time, children included, of the side's process and of the two servers, as differences over the
run and until the side has settled: the platform's rules may be behind its store. Peak memory is the side's VmHWM since
its start.
"""

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.city import FastPublisher
from bench.load import KIND, PROBE, Load, names, probe
from bench.publisher import Sent
from bench.servers import Servers
from bench.sides import Side, turn
from stand.program import wait_for

POLL_S = 0.2  # a count costs InfluxDB tens of milliseconds, which it owes the side
ALL_S_MAX = 300.0
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Figures:
    """What one run showed. CPU in µs a message, rates per second, memory in MB (10^6 bytes)."""

    rate: float  # messages a second from the first publish until all were queryable
    publish_rate: float  # messages a second that the broker took
    side_us: float
    influx_us: float
    broker_us: float
    peak_mb: float


class PublisherProcess:
    """bench.publisher, ready; `go` starts it, `result` waits for its end."""

    def __init__(self, port: int, load: Load, *options: str) -> None:
        command = [sys.executable, "-m", "bench.publisher", "--port", str(port), *options]
        for name in ("messages", "readings", "devices", "rate"):
            command += [f"--{name}", str(getattr(load, name))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "ready\n":
            self.process.wait()
            raise SystemExit("the publisher ended before it was ready; its own message stands above")

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def result(self) -> Sent:
        output, _ = self.process.communicate(timeout=ALL_S_MAX)
        if self.process.returncode:
            raise SystemExit("the publisher failed; its own message stands above")
        return Sent(**json.loads(output))

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@contextmanager
def publishing(port: int, load: Load, *options: str) -> Iterator[PublisherProcess]:
    publisher = PublisherProcess(port, load, *options)
    try:
        yield publisher
    finally:
        publisher.end()


def new_bucket(servers: Servers) -> str:
    name = f"run-{next(_numbers)}"
    servers[1].add_bucket(name)
    return name


def wait_until_ready(servers: Servers, bucket: str) -> None:
    """Say one reading again and again until it can be queried: then the whole way is open. It is one point more."""
    mosquitto, influx = servers
    payload = probe(int(time.time() * 1000) - 1000)
    publisher = FastPublisher(mosquitto.port, "bench-prober")

    def look() -> bool:
        publisher.send([(PROBE, payload)])
        return influx.count(bucket, KIND) >= 1

    try:
        wait_for(look, "the side is ready and writes what it hears", every_s=0.25)
    finally:
        publisher.close()


def run(side: Side, servers: Servers, folder: Path, load: Load) -> Figures:
    """Raises Refused when not all came within ALL_S_MAX, SystemExit when more came than were sent."""
    mosquitto, influx = servers
    bucket = new_bucket(servers)
    with (
        turn(side, folder / bucket, bucket, [PROBE, *names(load.devices)], mosquitto) as pid,
        publishing(mosquitto.port, load) as publisher,
    ):
        wait_until_ready(servers, bucket)
        pids = (pid, influx.pid, mosquitto.pid)
        before = [cpu_s(each) for each in pids]
        publisher.go()
        sent = publisher.result()
        wait_for(
            lambda: influx.count(bucket, KIND) > load.total,
            f"{side.name} brings all {load.total} readings into InfluxDB",
            ALL_S_MAX,
            POLL_S,
        )
        end_s = time.monotonic()
        side.settle()
        used_us = [(cpu_s(each) - was) / load.messages * 1e6 for each, was in zip(pids, before, strict=True)]
        if (count := influx.count(bucket, KIND) - 1) != load.total:
            raise SystemExit(f"{side.name} wrote {count} readings of {load.total}: the comparison is not sound")
        return Figures(
            rate=load.messages / (end_s - sent.began_s),
            publish_rate=load.messages / (sent.done_s - sent.began_s),
            side_us=used_us[0],
            influx_us=used_us[1],
            broker_us=used_us[2],
            peak_mb=peak_mb(pid),
        )


def cpu_s(pid: int) -> float:
    """User and system seconds of a process and all its children, those that have ended included."""
    process = psutil.Process(pid)
    times = [process.cpu_times(), *(child.cpu_times() for child in process.children(recursive=True))]
    return sum(each.user + each.system + each.children_user + each.children_system for each in times)


def peak_mb(pid: int) -> float:
    """The most memory a process has had resident."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) * 1024 / 1e6
