"""What is lost or doubled when a side, or the broker, dies in the midst of the stream as a power cut would end it.

The publisher is the plain one: what Mosquitto acknowledges it forgets, as most devices do; what was not acknowledged
when the broker died it sends again. With `until_kept` it is a device of Nabd's, which forgets at `kept`. Counted is
what InfluxDB holds in the end, against the readings that were sent, all of which the broker acknowledged.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from bench.load import KIND, PROBE, Load, names
from bench.measuring import ALL_S_MAX, new_bucket, publishing, wait_until_ready
from bench.servers import Servers
from bench.sides import Side, turn
from stand.program import wait_for

SETTLED_S = 15.0  # no further reading for so long: what is not there now does not come
AT = 0.2  # the share that is stored when the kill comes


@dataclass(frozen=True)
class Aftermath:
    """Readings sent, and what became of them; `resent` are messages that only a device of Nabd's sends again."""

    sent: int
    lost: int
    doubled: int  # stored under more than one time or series
    lines: int  # that InfluxDB was given in all, other measurements of the side included
    resent: int


def kill_once(
    side: Side, servers: Servers, folder: Path, load: Load, *, broker: bool = False, until_kept: bool = False
) -> Aftermath:
    """Kill the side (or the broker) with SIGKILL when a part is stored, start it again at once, count in the end."""
    mosquitto, influx = servers
    bucket = new_bucket(servers)
    devices = [PROBE, *names(load.devices)]
    options = ("--until-kept",) if until_kept else ()
    inside = folder / f"kill-{bucket}"
    with (
        turn(side, inside, bucket, devices, mosquitto),
        publishing(mosquitto.port, load, *options) as publisher,
    ):
        wait_until_ready(servers, bucket)
        publisher.go()
        wait_for(
            lambda: influx.count(bucket, KIND) > load.total * AT,
            f"a part of the readings comes through {side.name}",
            ALL_S_MAX,
            0.02,
        )
        if broker:
            mosquitto.kill()
            mosquitto.start()
        else:
            side.kill()
            side.start(inside, bucket, devices)
        sent = publisher.result()
        stored = _settled(servers, bucket, load.total)
        distinct = _distinct(servers, bucket)
        return Aftermath(
            sent=load.total,
            lost=load.total - distinct,
            doubled=stored - distinct,
            lines=influx.lines(bucket),
            resent=sent.resent,
        )


def _settled(servers: Servers, bucket: str, wanted: int) -> int:
    """How many readings are stored (the probe's left out) when all are there, or no more come."""
    seen, since_s = -1, time.monotonic()
    while True:
        count = servers[1].count(bucket, KIND) - 1
        if count != seen:
            seen, since_s = count, time.monotonic()
        if count >= wanted or time.monotonic() - since_s > SETTLED_S:
            return count
        time.sleep(0.2)


def _distinct(servers: Servers, bucket: str) -> int:
    """How many different readings are stored: of each device, by number."""
    rows = servers[1].ask(f'SELECT COUNT(DISTINCT("seq")) FROM "{KIND}" GROUP BY "device"', bucket)
    return sum(int(row["count"]) for row in rows) - 1
