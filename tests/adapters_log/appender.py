"""Appends until it is killed; says on standard output what it was told is durable. Run by test_kill.py."""

import sys
from pathlib import Path

from adapters.log.sqlite_log import SqliteLog
from contract.ports import LedgerRow
from contract.records import Reading, Telemetry


def main(path: Path) -> None:
    log = SqliteLog(path, bytes_max=10**9, days_max=30)
    seq = sum(record.have[-1][1] for record in log.ledger())
    while True:
        seq += 1
        record = Telemetry(
            device="lamp-1", asset="lamp-1", kind="street_light", stream="9f3c01aa", boot=1,
            readings=(Reading(seq, seq, {"power_w": float(seq)}),),
        )  # fmt: skip
        row = LedgerRow(device="lamp-1", stream="9f3c01aa", have=((1, seq),), gone=())
        position = log.append([record], seq, ledger=[row], counts={"accepted": 1})
        sys.stdout.write(f"{position}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
