"""Nabd's ingest and store writer alone, in one process: the part of `nabd up` that does what Telegraf does.

    python -m bench.ingest_only --data DIR --mqtt-port 1883 --url http://127.0.0.1:8086 --org nabd --bucket b \
        --token-file FILE --devices 200

Everything here is what `nabd up` runs, joined as it joins it: the receiver on four shared connections, the pipeline
(validation, ledger, duplicates, quarantine), the log on the disk with fsync before anything is acknowledged, `kept` to
every device, the store writer behind the log. What is left out: rules, actuation, live view, console, ticks.
"""

import argparse
import asyncio
import signal
from collections.abc import Mapping
from pathlib import Path

import uvloop

from adapters.clock import CityClock
from adapters.log.sqlite_log import SqliteLog
from adapters.mqtt.receiver import Receiver
from adapters.stores.influx_store import InfluxStore
from bench.load import COMMUNE, KIND, PROBE, names
from contract.kind import check_settings
from contract.kind_file import load_kinds
from contract.ports import Device
from ingest.pipeline import Pipeline
from ingest.service import IngestService
from nabd import interpreter
from nabd.consumers import StoreWriter
from nabd.lifetimes import signal_event
from nabd.settings import Settings

CONNECTIONS = 4
CLIENT_ID = "nabd-ingest"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--mqtt-port", type=int, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--org", required=True)
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--devices", type=int, required=True)
    chosen = parser.parse_args()
    interpreter.prepare()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(chosen))


async def _serve(chosen: argparse.Namespace) -> None:
    stopping = signal_event(signal.SIGTERM, signal.SIGINT)
    kinds, clock = load_kinds(), CityClock()
    chosen.data.mkdir(parents=True, exist_ok=True)
    bounds = Settings()
    log = SqliteLog(chosen.data / "log.db", bytes_max=bounds.log_bytes_max, days_max=bounds.log_days_max)
    token = chosen.token_file.read_text(encoding="utf-8").strip()
    store = InfluxStore(chosen.url, chosen.org, chosen.bucket, token, kinds)
    writer = StoreWriter(log, store, clock)
    settings = check_settings(kinds[KIND], {})
    devices = {name: device(name, settings) for name in (PROBE, *names(chosen.devices))}
    receiver = Receiver("127.0.0.1", chosen.mqtt_port, client_id=CLIENT_ID, connections=CONNECTIONS)
    ingest = IngestService(receiver, Pipeline(kinds, devices.get, log, clock), clock)
    log.on_append.append(writer.notify)
    writer.start()
    await receiver.start()
    interpreter.settle()
    running = asyncio.create_task(ingest.run())
    await stopping.wait()
    await ingest.stop()
    await running
    await receiver.stop()
    await asyncio.to_thread(writer.stop)
    store.close()
    log.close()


def device(name: str, settings: Mapping[str, float | str]) -> Device:
    return Device(
        device=name, kind=KIND, commune=COMMUNE, zone="", asset=name, name="", lat=None, lon=None,
        settings=settings, registered_at_ms=0,
    )  # fmt: skip


if __name__ == "__main__":
    main()
