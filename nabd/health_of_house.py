"""How the rooms of a running platform are: one answer for /healthz, /metrics, every page and the recorder."""

from typing import TYPE_CHECKING, Protocol

from adapters.log.sqlite_log import SqliteLog
from adapters.mqtt.receiver import Receiver
from adapters.mqtt.sender import Sender
from ingest.pipeline import Pipeline
from ingest.service import IngestService
from nabd import losing
from nabd.broker_guard import BrokerGuard
from nabd.consumers import LiveFeeder, StoreWriter, Ticker
from nabd.data_folder import DataFolder
from nabd.deciding import Decider
from nabd.downsampler import Downsampler
from nabd.log_watch import LogWatch
from nabd.pruning import Pruner
from nabd.recalling import Recall
from nabd.recorder import Recorder
from nabd.settings import Settings
from nabd.tally import TallyKeeper

if TYPE_CHECKING:
    from adapters.stores.duckdb_store import DuckStore
    from adapters.stores.influx_store import InfluxStore


class Rooms(Protocol):
    """Who is asked. They are looked up at each call: some come into being while a house is opened."""

    folder: DataFolder
    settings: Settings
    log: SqliteLog
    store: "DuckStore | InfluxStore"
    receiver: Receiver
    sender: Sender
    pipeline: Pipeline
    ingest: IngestService
    decider: Decider
    writer: StoreWriter
    downsampler: Downsampler
    live_feeder: LiveFeeder
    recall: Recall
    ticker: Ticker
    log_watch: LogWatch
    tally: TallyKeeper
    pruner: Pruner
    recorder: Recorder | None
    guard: BrokerGuard | None


class HealthOfHouse:
    """Any thread."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def totals(self) -> dict[str, int]:
        pipeline = self._rooms.pipeline
        return {"missing": pipeline.missing_total(), "gone": pipeline.gone_total()}

    def told(self) -> dict[str, object]:
        """As `console.platform.Platform.health` describes it."""
        rooms = self._rooms
        origin = rooms.folder.format.clock
        return {
            "connected": rooms.receiver.connected,
            "faults": self._faults(),
            "consumers": {
                "decider": rooms.decider.position,
                "store": rooms.writer.position,
                "live": rooms.live_feeder.position,
                "tally": rooms.tally.position,
            },
            "left_out": {
                "mqtt_dropped": rooms.receiver.dropped,
                "store_passed_over": rooms.store.passed_over,
                **(rooms.recorder.left_out() if rooms.recorder is not None else {}),
            },
            "aggregates": rooms.downsampler.figures(),
            "clock": {
                "city_origin_ms": origin.city_origin_ms,
                "real_origin_ms": origin.real_origin_ms,
                "speed": origin.speed,
            },
            "log": self._log(),
            "mqtt": self._mqtt(),
            **rooms.ingest.status(),
        }

    def _log(self) -> dict[str, object]:
        rooms, watch = self._rooms, self._rooms.log_watch
        jump = watch.jump()
        return {
            "bytes_max": rooms.settings.log_bytes_max,
            "full_in_s": watch.full_in_s(),
            "ahead_s": watch.ahead_s(),
            "ticks_missed": rooms.ticker.missed,
            "recall_left": rooms.recall.left,
            "clock_jumps": watch.jumps,
            "clock_jump_s": jump.by_s if jump is not None else None,
            "clock_jump_at_ms": jump.at_ms if jump is not None else None,
        }

    def _mqtt(self) -> dict[str, object]:
        receiver, sender = self._rooms.receiver, self._rooms.sender
        return {
            "oversized": receiver.oversized,
            "malformed_topics": receiver.malformed_topics,
            "answers_lost": receiver.lost,
            "commands_lost": sender.lost,
            "commands_refused": sender.refused,
        }

    def _faults(self) -> list[str]:
        rooms = self._rooms
        faults = (
            ("decider", rooms.decider.fault),
            ("store", rooms.writer.fault),
            ("store", losing.sentence(rooms.writer.lost)),
            ("downsampler", rooms.downsampler.fault),
            ("live view", rooms.live_feeder.fault),
            ("recall", rooms.recall.fault),
            ("ticks", rooms.ticker.fault),
            ("log", rooms.log.damage),
            ("log watch", rooms.log_watch.fault),
            ("tally", rooms.tally.fault),
            ("audit", rooms.pruner.fault),
            ("recorder", rooms.recorder.fault if rooms.recorder is not None else ""),
            ("broker", rooms.guard.fault if rooms.guard is not None else rooms.receiver.fault),
            ("clocks", rooms.pipeline.clocks().fault),
        )
        return [f"{name}: {fault}" for name, fault in faults if fault]
