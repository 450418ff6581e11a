"""Writes into an InfluxDB until it is killed; says what it was told is stored. Run by test_influxdb_kill.py."""

import os
import sys
import time

from adapters.stores.influx_store import InfluxStore
from contract.kind_file import load_kinds
from contract.ports import StoreFault
from tests.adapters_stores.entries import AT_MS, telemetry

BATCH = 50


def main() -> None:
    url, org, bucket, token = (os.environ[f"INFLUX_{name}"] for name in ("URL", "ORG", "BUCKET", "TOKEN"))
    store = InfluxStore(url, org, bucket, token, load_kinds(), 5.0)
    while True:
        try:
            position = store.position()
            store.write([telemetry(position + n, position + n) for n in range(1, BATCH + 1)], AT_MS)
        except StoreFault:
            time.sleep(0.02)
            continue
        sys.stdout.write(f"{position + BATCH}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
