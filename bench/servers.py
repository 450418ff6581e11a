"""The servers between the devices and the readings: one Mosquitto, one InfluxDB, in processes and folders of their own.

Both sides use the same two processes. Each run has a fresh bucket, and afterwards the sessions that a side left at the
broker are forgotten, so that nothing queues up for a side that is not its turn.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench.city import FastPublisher
from stand.influxdb import InfluxServer
from stand.mosquitto import OPEN, PlainMosquitto

MOSQUITTO_LINES = (
    "persistence true",
    "persistence_location {folder}/",
    "autosave_interval 5",
    "max_inflight_messages 20000",
    "max_queued_messages 0",
    "message_size_limit 65792",
)
MOSQUITTO_CONF = "\n".join((*OPEN, *MOSQUITTO_LINES))


def peer_version(name: str, module: str) -> str:
    """Which version of a Go module bench/peers builds."""
    text = (Path(__file__).parent / "peers" / name / "go.mod").read_text(encoding="utf-8")
    found = re.search(re.escape(module) + r" v(\S+)", text)
    return found[1] if found else "unknown"


class Mosquitto(PlainMosquitto):
    """The broker of both sides; it comes back with what it had saved."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, *MOSQUITTO_LINES)

    def forget(self, *client_ids: str) -> None:
        """Drop what the broker holds for these clients; they must not be connected."""
        for client_id in client_ids:
            FastPublisher(self.port, client_id).close()


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
