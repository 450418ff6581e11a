"""Which store a city has chosen, and what a start takes from it."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.log.sqlite_log import SqliteLog
from adapters.mqtt.tls import TlsFault, client_context
from adapters.stores.duckdb_export import DuckExtracts
from adapters.stores.duckdb_store import DuckStore
from console.live import LiveView
from contract.extracts import Extracts
from contract.kind import Kinds
from contract.ports import Clock, Store, StoreFault
from nabd.data_folder import DataFolder
from nabd.fault import Refused
from nabd.secret_file import read_secret
from nabd.settings import Settings

if TYPE_CHECKING:
    from adapters.stores.influx_store import InfluxStore

logger = logging.getLogger("storing")

TOKEN = "influxdb_token"  # noqa: S105  # a file's name
RETRY_S = 5.0


class TokenFile:
    """The token in a file, read anew at each call; the last one when it cannot be read. Raises Refused at first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known = self._read()

    def __call__(self) -> str:
        try:
            self._known = self._read()
        except Refused as fault:
            logger.error("event=token_unreadable reason=%s", fault)
        return self._known

    def _read(self) -> str:
        return read_secret(
            self.path,
            "[influxdb] token_file",
            "the token that may read and write the bucket",
            "nabd init and nabd init-influxdb make it",
        )


def open_store(settings: Settings, folder: DataFolder, kinds: Kinds) -> "DuckStore | InfluxStore":
    """The store of the settings; InfluxDB is not asked for anything yet. Raises StoreFault or Refused."""
    if settings.store_kind == "duckdb":
        return DuckStore(folder.path / "store.duckdb", kinds)
    return open_influxdb(settings, folder.path, kinds, log_id=folder.format.log_id)


def open_influxdb(settings: Settings, data: Path, kinds: Kinds, *, log_id: str) -> "InfluxStore":
    """Raises Refused when there is no token, or an authority that is none."""
    from adapters.stores.influx_store import InfluxStore  # its library costs a second and 36 MB: only who uses it pays

    token = TokenFile(Path(settings.influxdb_token_file or data / "secrets" / TOKEN))
    return InfluxStore(
        settings.influxdb_url,
        settings.influxdb_org,
        settings.influxdb_bucket,
        token,
        kinds,
        settings.influxdb_timeout_s,
        log=log_id,
        ca_file=influxdb_authority(settings),
    )


def influxdb_authority(settings: Settings) -> str:
    """The file of `[influxdb] ca_file`, looked at first. Raises Refused."""
    if settings.influxdb_ca_file:
        try:
            client_context(Path(settings.influxdb_ca_file))
        except TlsFault as fault:
            raise Refused(f"[influxdb] ca_file {fault}") from None
    return settings.influxdb_ca_file


def open_log(settings: Settings, data: Path) -> SqliteLog:
    """Raises LogFault."""
    return SqliteLog(
        data / "log.db",
        bytes_max=settings.log_bytes_max,
        days_max=settings.log_days_max,
        quarantine_bytes_max=settings.quarantine_bytes_max,
        quarantine_device_bytes_max=settings.quarantine_device_bytes_max,
    )


def extracts_of(store: "DuckStore | InfluxStore", kinds: Kinds) -> Extracts:
    """What readings are taken out of this store with, in bulk."""
    if isinstance(store, DuckStore):
        return DuckExtracts(store, kinds)
    from adapters.stores.influx_export import InfluxExtracts

    return InfluxExtracts(store.link, kinds)


async def restore_live(store: Store, live: LiveView, clock: Clock) -> None:
    """Take the store's newest readings into the live view, as soon as it answers. On the live view's loop.

    In a thread of its own: a store that hangs takes none that the platform lives by.
    """
    told = False
    loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1, thread_name_prefix="live_restore")
    while True:
        try:
            latest = await loop.run_in_executor(thread, lambda: list(store.latest()))
        except StoreFault as fault:
            if not told:
                logger.error("event=live_view_not_restored reason=%s", fault)
            told = True
            await asyncio.sleep(RETRY_S)
        else:
            live.restore((), latest, clock.now_ms())
            thread.shutdown(wait=False)
            return
