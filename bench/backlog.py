"""A data folder whose log is long already, made without a broker: what a start after hours, or after a crash, finds."""

import random
from contextlib import closing
from pathlib import Path

import duckdb
import msgspec

from adapters.clock import real_ms
from adapters.log.sqlite_log import SqliteLog
from adapters.state.sqlite_state import SqliteState
from adapters.stores.duckdb_store import DuckStore
from contract.kind import check_settings
from contract.kind_file import load_kinds
from contract.ports import Effects, LedgerRow
from contract.records import Reading, Record, Registered, Telemetry
from ingest.pipeline import LEDGER
from nabd.data_folder import DataFolder

KIND, COMMUNE = "street_light", "berkane"
STREAM = "00000001"
APPEND = 500  # records
LOG_BYTES_MAX = 4_000_000_000
LOG_DAYS_MAX = 30
DRAWN = 5_000  # different values; a chunk of the log has fewer readings than that
CHECKED = 50_000  # entries between two looks at the log's size
STORE_ROWS = 5_000_000  # at one time


class Backlog(msgspec.Struct, frozen=True):
    """What was put into a log."""

    entries: int
    readings: int
    first_ms: int  # when the first was measured, and the last
    last_ms: int


def open_log(data: Path) -> SqliteLog:
    return SqliteLog(data / "log.db", bytes_max=LOG_BYTES_MAX, days_max=LOG_DAYS_MAX)


def register(data: Path, devices: list[str]) -> None:
    """Put these at the head of a new folder's log: asking a platform for each would take longer than a measurement."""
    with DataFolder(data, start_ms=None, start_text="", speed=None):
        pass  # a log alone is no city's
    settings = check_settings(load_kinds()[KIND], {})
    log = open_log(data)
    log.append(
        [Registered(device=name, kind=KIND, commune=COMMUNE, asset=name, settings=settings) for name in devices],
        real_ms(),
    )
    log.close()


def fill(
    data: Path, devices: list[str], *, readings: int, a_message: int, over_ms: int, bytes_at_least: int = 0
) -> Backlog:
    """Append readings of these devices by turns, measured and received evenly over the last `over_ms`.

    Their values are drawn at random, seed 1, so that they compress as a city's do and no better. `readings` of them,
    or more until the log has `bytes_at_least` in use. The ledger has them, as ingest would have left it.
    """
    chance = random.Random(1)
    drawn = [_values(chance) for _ in range(DRAWN)]
    log = open_log(data)
    messages = readings // a_message
    start_ms = real_ms() - over_ms
    made, share = 0, 0.0
    while made < messages or share < 1.0:
        if made % CHECKED == 0 or not bytes_at_least:
            share = min(1.0, log.size_bytes() / bytes_at_least if bytes_at_least else (made + APPEND) / messages)
        at_ms = start_ms + int(share * over_ms)
        records: list[Record] = []
        for number in range(made, made + APPEND):
            device, first = devices[number % len(devices)], 1 + number // len(devices) * a_message
            values = [drawn[chance.randrange(DRAWN)] for _ in range(a_message)]
            records.append(
                Telemetry(
                    device=device,
                    asset=device,
                    kind=KIND,
                    stream=STREAM,
                    boot=1,
                    commune=COMMUNE,
                    readings=tuple(Reading(first + n, at_ms + n, one) for n, one in enumerate(values)),
                )
            )
        log.append(records, at_ms)
        made += APPEND
    log.consumed(
        LEDGER, log.last(), [_row(name, made, place, devices, a_message) for place, name in enumerate(devices)]
    )
    log.close()
    return Backlog(entries=made, readings=made * a_message, first_ms=start_ms, last_ms=real_ms())


def _values(chance: random.Random) -> dict[str, float | str]:
    return {
        "power_w": round(chance.gauss(60, 5), 1),
        "level": 0.8,
        "voltage_v": round(chance.gauss(230, 3), 1),
        "energy_wh": round(chance.uniform(0, 1e6), 1),
    }


def _row(name: str, made: int, place: int, devices: list[str], a_message: int) -> LedgerRow:
    messages = (made - place + len(devices) - 1) // len(devices)
    return LedgerRow(device=name, stream=STREAM, have=((1, messages * a_message),), gone=(), seen_at_ms=real_ms())


def bring_store(data: Path, made: Backlog, devices: list[str]) -> None:
    """Fill the folder's DuckDB with as many readings as the log was given, and say that it has read the log."""
    log = open_log(data)
    DuckStore(data / "store.duckdb", load_kinds()).close()
    with closing(
        duckdb.connect(str(data / "store.duckdb"), config={"threads": 2, "memory_limit": "2GB"})
    ) as connection:
        step = (made.last_ms - made.first_ms) / made.readings
        for first in range(0, made.readings, STORE_ROWS):
            last = min(first + STORE_ROWS, made.readings)
            connection.execute(
                "INSERT INTO readings_street_light BY NAME SELECT "
                f"(? + n * {step})::BIGINT AS measured_at_ms, measured_at_ms AS received_at_ms, "
                "measured_at_ms AS stored_at_ms, printf('bench-%05d', n % ?) AS device, device AS asset, "
                f"'{STREAM}' AS stream, n // ? + 1 AS seq, 1 AS boot, 0 AS quality, '{COMMUNE}' AS commune, "
                "'' AS zone, '' AS group_name, round(random() * 20 + 50, 1) AS power_w, 0.8 AS level, "
                "round(random() * 10 + 225, 1) AS voltage_v, round(random() * 1e6, 1) AS energy_wh "
                f"FROM range({first}, {last}) AS numbers(n)",
                [made.first_ms, len(devices), len(devices)],
            )
        connection.execute("UPDATE position SET position = ?", [log.last()])
    log.consumed("store", log.last())
    log.close()


def bring_decider(data: Path) -> None:
    """Say that the rules have decided the log to its end, and remember what they did before."""
    log, state = open_log(data), SqliteState(data / "state.db")
    snapshot = state.snapshot()
    assert snapshot is not None, "the platform has run in this folder"
    state.commit(Effects(), log.last(), snapshot[1])
    log.consumed("decider", log.last())
    state.close()
    log.close()
