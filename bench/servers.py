"""The servers between the devices and the readings: one Mosquitto, one InfluxDB, in processes and folders of their own.

Both sides use the same two processes. Each run has a fresh bucket, and afterwards the sessions that a side left at the
broker are forgotten, so that nothing queues up for a side that is not its turn.
"""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import httpx

from bench.city import FastPublisher
from nabd.fault import Refused
from nabd.process import Child, free_port
from tests.influxdb import InfluxServer

MOSQUITTO_CONF = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
autosave_interval 5
max_inflight_messages 20000
max_queued_messages 0
message_size_limit 65792
"""
UP_S_MAX = 60.0
Seen = TypeVar("Seen")


def wait_for(look: Callable[[], Seen], what: str, within_s: float = UP_S_MAX, every_s: float = 0.05) -> Seen:
    """The first true thing that `look` returns. Raises Refused with `what` when the time is over."""
    end_s = time.monotonic() + within_s
    while not (seen := look()):
        if time.monotonic() > end_s:
            raise Refused(f"not within {within_s:g} s: {what}")
        time.sleep(every_s)
    return seen


def peer_version(name: str, module: str) -> str:
    """Which version of a Go module bench/peers builds."""
    text = (Path(__file__).parent / "peers" / name / "go.mod").read_text(encoding="utf-8")
    found = re.search(re.escape(module) + r" v(\S+)", text)
    return found[1] if found else "unknown"


class Program:
    """One process under test: it may be killed and run again; `stop` ends the last one, if there was one."""

    _child: Child | None = None

    def run(self, command: list[str], log: Path) -> int:
        """Start it, its output behind what is in `log`; the process id."""
        with log.open("ab") as output:
            self._child = Child(command, output=output)
        return self._child.pid

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def kill(self) -> None:
        assert self._child is not None
        self._child.kill()

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()


class Mosquitto(Program):
    """The broker of both sides; it may be killed, and comes back with what it had saved."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if program is None:
            raise Refused("mosquitto is not installed; install the system's package of this name")
        folder.mkdir(parents=True)
        self.port = free_port()
        self.folder = folder
        conf = folder / "mosquitto.conf"
        conf.write_text(MOSQUITTO_CONF.format(port=self.port, folder=folder), encoding="utf-8")
        self._command = [program, "-c", str(conf)]
        if os.geteuid() == 0:
            conf.write_text(conf.read_text(encoding="utf-8") + "user root\n", encoding="utf-8")

    def start(self) -> None:
        self.run(self._command, self.folder / "mosquitto.log")
        wait_for(self._answers, "Mosquitto answers; see mosquitto.log")

    def forget(self, *client_ids: str) -> None:
        """Drop what the broker holds for these clients; they must not be connected."""
        for client_id in client_ids:
            FastPublisher(self.port, client_id).close()

    def _answers(self) -> bool:
        assert self._child is not None
        if not self._child.alive():
            raise Refused(f"Mosquitto ended: {(self.folder / 'mosquitto.log').read_text(errors='replace')}")
        try:
            FastPublisher(self.port, "bench-look").close()
        except OSError:
            return False
        return True


class Influx(InfluxServer):
    """InfluxDB with a bucket a run, and a token of all rights that is also in a file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.token_file = folder / "token"
        self.token_file.touch(0o600)
        self.token_file.write_text(self.token, encoding="utf-8")

    def count(self, bucket: str, measurement: str) -> int:
        """How many readings can be queried now: points with a `seq`."""
        rows = self.ask(f'SELECT COUNT("seq") FROM "{measurement}"', bucket)
        return int(rows[0]["count"]) if rows else 0

    def lines(self, bucket: str) -> int:
        """How many lines were written into a bucket, those that overwrote an equal one included."""
        bucket_id = self.api("GET", f"/api/v2/buckets?name={bucket}")["buckets"][0]["id"]
        text = httpx.get(f"{self.url}/metrics", timeout=60.0).text
        found = re.findall(rf'^storage_shard_write_count\{{bucket="{bucket_id}".*\}} (\S+)$', text, re.MULTILINE)
        return round(sum(float(value) for value in found))


Servers = tuple[Mosquitto, Influx]


@contextmanager
def serving(folder: Path) -> Iterator[Servers]:
    """Both servers, up; ended afterwards."""
    mosquitto = Mosquitto(folder / "mosquitto")
    influx = Influx(folder / "influxdb")
    try:
        mosquitto.start()
        yield mosquitto, influx
    finally:
        mosquitto.stop()
        influx.end()
