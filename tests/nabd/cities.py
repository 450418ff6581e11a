"""A data folder with readings in its store, that nobody runs."""

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from adapters.log.sqlite_log import SqliteLog
from adapters.stores.duckdb_store import DuckStore
from adapters.stores.influx_store import InfluxStore
from contract.kind_file import load_kinds
from contract.ports import LedgerRow
from contract.records import Reading, Record, Telemetry
from nabd.data_folder import DataFolder, known_format
from stand.influxdb import InfluxServer

KINDS = load_kinds()
START_MS = 1_795_392_000_000  # 2026-11-23T00:00:00Z
STEP_MS = 60_000
STREAM = "9f3c01aa"

Place = tuple[InfluxServer, str]  # where a city's store is, if not beside it: a server and its bucket


def found(data: Path) -> Path:
    """Make the folder; its clock is real time."""
    with DataFolder(data, start_ms=None, start_text="", speed=None):
        pass
    return data


def use_influxdb(data: Path, server: InfluxServer, bucket: str) -> None:
    (data / "token").write_text(server.token)
    (data / "token").chmod(0o600)
    (data / "nabd.toml").write_text(
        f'[store]\nkind = "influxdb"\n[influxdb]\nurl = "{server.url}"\nbucket = "{bucket}"\n'
        f'token_file = "{data / "token"}"\n'
    )


def lamp_on_influxdb(folder: Path, server: InfluxServer, bucket: str) -> tuple[Path, Place]:
    """A data folder whose store is InfluxDB, with twenty messages of a lamp in its log and none stored."""
    data = found(folder / "data")
    use_influxdb(data, server, bucket)
    append(data, [message(n, n + 9) for n in range(1, 200, 10)])
    return data, (server, bucket)


def message(first: int, last: int, *, device: str = "lamp-1", kind: str = "street_light", zone: str = "") -> Telemetry:
    """Readings with these seqs, a minute apart."""
    value = {"waste_bin": "fill_level", "street_light": "power_w"}.get(kind, "odd")
    return Telemetry(
        device=device, asset=f"pole-{device}", kind=kind, stream=STREAM, boot=1, commune="berkane", zone=zone,
        readings=tuple(
            Reading(seq, START_MS + seq * STEP_MS, {value: (seq % 100) / 100}) for seq in range(first, last + 1)
        ),
    )  # fmt: skip


def open_log(data: Path) -> "closing[SqliteLog]":
    return closing(SqliteLog(data / "log.db", bytes_max=10**9, days_max=30))


def append(data: Path, records: Iterable[Record], *, ledger: bool = True) -> int:
    """Into the log, one append a record, with what the ledger would say of them; the last position."""
    with open_log(data) as log:
        rows = {(row.device, row.stream): row for row in log.ledger()}
        for record in records:
            rows_now = []
            if ledger and isinstance(record, Telemetry):
                key = record.device, record.stream
                have = rows[key].have if key in rows else ()
                first, last = record.readings[0].seq, record.readings[-1].seq
                joined = [*have, (first, last)]
                if have and have[-1][1] + 1 == first:
                    joined = [*have[:-1], (have[-1][0], last)]
                rows[key] = LedgerRow(device=key[0], stream=key[1], have=tuple(joined), gone=())
                rows_now = [rows[key]]
            log.append([record], START_MS, ledger=rows_now)
        last_position = log.last()
        log.consumed("ledger", last_position if ledger else log.consumers().get("ledger", 0))
        return last_position


def open_store(data: Path, influx: Place | None = None) -> "closing[DuckStore | InfluxStore]":
    if influx is None:
        return closing(DuckStore(data / "store.duckdb", KINDS))
    server, bucket = influx
    log_id = known_format(data).log_id
    return closing(InfluxStore(server.url, server.org, bucket, server.token, KINDS, log=log_id))


def store_all(data: Path, influx: Place | None = None, *, upto: int | None = None) -> None:
    """What the store writer does."""
    with open_log(data) as log, open_store(data, influx) as store:
        entries = [one for one in log.read(store.position(), 10**6) if upto is None or one.position <= upto]
        store.write(entries, START_MS)
        log.consumed("store", store.position())
