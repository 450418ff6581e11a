"""`nabd up`: opens every room, joins them, and closes them in the right order.

Start goes against the flow, stop along it: console, consumers, broker, ingest, fleet come up in this order, and on
SIGTERM the fleet stops first, then ingest reads no more, appends, acknowledges and says `kept`, the consumers commit,
the console goes, the broker last.
"""

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path

import uvloop

from actuation.arbiter import Arbiter
from actuation.dispatch import Dispatcher
from adapters.clock import CityClock, real_ms
from adapters.log.sqlite_log import LogFault
from adapters.mqtt.broker import UNACKNOWLEDGED_MAX, BrokerFault, EmbeddedBroker
from adapters.mqtt.receiver import Receiver
from adapters.mqtt.sender import Sender
from adapters.state.sqlite_state import SqliteState
from adapters.state.upgrading import StateFault
from console.app import create_app
from console.live import LiveView
from console.platform import Platform
from console.server import Server
from contract import full_disk
from contract.kind import Kinds
from contract.kind_file import load_kinds
from contract.ports import LogFull, SnapshotFault, StoreFault
from contract.records import Record, RulesLoaded
from contract.site import Site
from ingest.pipeline import Pipeline
from ingest.service import IngestService
from nabd import interpreter, logs
from nabd.backing_up import store_copier
from nabd.broker_access import broker_access
from nabd.broker_guard import BrokerGuard
from nabd.city_files import digest, read_sites, rule_texts
from nabd.consumers import LiveFeeder, StoreWriter, Ticker
from nabd.data_folder import DataFolder, Run
from nabd.deciding import Decider, Registry
from nabd.downsampler import Downsampler
from nabd.fault import Refused
from nabd.health_of_house import HealthOfHouse
from nabd.lifetimes import on_exit, run_until_exit, signal_event, watched
from nabd.log_watch import LogWatch
from nabd.ports import listen
from nabd.positions import check_positions, check_state_there
from nabd.pruning import EVERY_S, Pruner
from nabd.quarantining import Quarantining
from nabd.recalling import Recall
from nabd.recording import make_recorder, run_recorder
from nabd.settings import Settings, limits_of
from nabd.storing import extracts_of, open_log, open_store, restore_live
from nabd.tally import TallyKeeper
from rules import loader
from rules.engine import Engine
from simulators.fleet import Fleet

logger = logging.getLogger("wiring")

LIVE_REPLAY = 20_000  # entries before the log's end, and the store's position, that tell the live view who is on line
POLL_S = 0.25
RESTORE_S = 2.0  # a start waits so long for the store's newest readings; later ones are taken in when they come


def run(data: Path, settings: Settings, *, start_ms: int | None, start_text: str, speed: float | None) -> int:
    """Run until SIGTERM or SIGINT. Raises Refused or DocumentFault for what the user can mend."""
    logs.configure(settings.logging_level, json=settings.logging_json)
    interpreter.prepare()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # rules are read at this start anyway; later it reloads them
    kinds = load_kinds()
    with (
        listen(settings.http_host, settings.http_port, "--http-port") as listener,
        DataFolder(data, start_ms=start_ms, start_text=start_text, speed=speed) as folder,
    ):
        sites = read_sites(folder.sites)
        rule_files, _ = rule_texts([folder.rules])
        loader.load(rule_files, kinds, sites[0])
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(folder, listener, settings, kinds, sites, rule_files))
    interpreter.leave()
    return 0


async def _serve(
    folder: DataFolder,
    listener: socket.socket,
    settings: Settings,
    kinds: Kinds,
    sites: Sequence[Site],
    rule_files: dict[str, str],
) -> None:
    stopping = signal_event(signal.SIGTERM, signal.SIGINT)
    reload = signal_event(signal.SIGHUP)  # from the start: unhandled it would end the process
    started_s = time.monotonic()
    async with AsyncExitStack() as stack:
        try:
            house = House(folder, settings, kinds, sites)
            stack.callback(house.close)
            house.prepare(rule_files)
        except (LogFull, OSError) as fault:
            raise Refused(f"data folder {folder.path} cannot be used: {full_disk.at_start(str(fault))}") from None
        await house.open(stack, listener)
        url = f"http://{settings.http_host}:{settings.http_port}"
        folder.announce(
            Run(
                pid=os.getpid(),
                url=url,
                mqtt_host=settings.mqtt_host,
                mqtt_port=settings.mqtt_port,
                started_at_ms=real_ms(),
            )
        )
        interpreter.settle()
        logger.info("event=up url=%s after_s=%.1f", url, time.monotonic() - started_s)
        await house.watch(stopping, reload)
        logger.info("event=stopping")
    logger.info("event=stopped")


class House:
    """All rooms of one platform and the lines between them."""

    def __init__(self, folder: DataFolder, settings: Settings, kinds: Kinds, sites: Sequence[Site]) -> None:
        self.folder, self.settings, self.kinds, self.sites = folder, settings, kinds, sites
        self.clock = CityClock(folder.format.clock)
        path = folder.path
        try:
            self.log = open_log(settings, path)
            check_state_there(path / "state.db", self.log)
            self.state = SqliteState(path / "state.db")
            self.store = open_store(settings, folder, kinds)
        except (LogFault, StateFault, StoreFault) as fault:
            raise Refused(str(fault)) from None
        self._check_positions()
        self.registry = Registry(self.state.devices()[1])
        self.engine = Engine(kinds, sites[0])
        access = broker_access(settings)
        self.sender = Sender(*access.address, **access.credentials)
        self.receiver = Receiver(
            *access.address,
            connections=settings.mqtt_connections,
            window=UNACKNOWLEDGED_MAX if settings.mqtt_embedded else None,
            **access.credentials,
        )
        self.dispatcher = Dispatcher(
            self.sender.publish, self.clock, self._append, kinds, deadline_s=settings.confirmation_s
        )
        try:
            self.decider = Decider(
                self.log,
                self.state,
                self.engine,
                Arbiter(kinds, sites[0].timezone),
                self.registry,
                self.dispatcher,
                self.clock,
            )
        except SnapshotFault as fault:
            raise Refused(
                f"{path / 'state.db'}: holds {fault}; use the Nabd that made it, or restore a backup of the data folder"
            ) from None
        self.pipeline = Pipeline(
            kinds, self.registry.lookup, self.log, self.clock, self.state.device_at, limits_of(settings)
        )
        self.registry.on_change.append(lambda device: self.pipeline.registered(device.device))
        self.ingest = IngestService(self.receiver, self.pipeline, self.clock)
        self.quarantine = Quarantining(self.ingest, self.log, self.store, self.clock)
        self.writer = StoreWriter(self.log, self.store, self.clock)
        self.downsampler = Downsampler(self.store.aggregates, self.clock)
        self.tally = TallyKeeper(self.log, self.state.tally, self.clock, sites[0].timezone)
        self.pruner = Pruner(self.state, self.clock, settings.audit_days_max)
        self.live = LiveView(kinds)
        self.health = HealthOfHouse(self)
        self.recorder = make_recorder(self.store, self.log, self.state, self.live, self.clock, kinds,
            totals=self.health.totals, health=self.health.told, log_bytes_max=settings.log_bytes_max)  # fmt: skip
        self.fleet: Fleet | None = None
        self.guard: BrokerGuard | None = None
        self.listening = asyncio.Event()
        self.ticker = Ticker(self.log, self.clock, self.listening)
        self.log_watch = LogWatch(self.log, self.clock, path, settings.log_bytes_max)

    def _check_positions(self) -> None:
        """InfluxDB passes nothing over, and is not asked: it may be away."""
        positions = {"store.duckdb": self.store.position()} if self.settings.store_kind == "duckdb" else {}
        state = max(self.state.position(), self.state.tally.position())
        check_positions(self.folder.path, self.log, {**positions, "state.db": state})

    def close(self) -> None:
        for room in (self.store, self.state, self.log):
            room.close()

    def prepare(self, rule_files: dict[str, str]) -> None:
        """Decide what is in the log already, then bring rules and simulated devices up to date."""
        self.decider.catch_up()
        self.load_rules(rule_files)
        if self.settings.has_fleet:
            self.fleet = self._make_fleet()
            news = [
                device
                for device in self.fleet.registrations()
                if (known := self.registry.lookup(device.device)) is None or known.kind != device.kind
            ]
            if news:
                self.log.append(news, self.clock.now_ms())
        self.decider.catch_up()
        self.live.restore(self.state.devices()[1], (), self.clock.now_ms())
        # Its end first: a store that was away for hours must not make the live view hours old.
        wanted = max(0, self.writer.position - LIVE_REPLAY)
        begin = max(wanted, self.log.last() - LIVE_REPLAY)
        self.live_feeder = LiveFeeder(self.log, self.live, self.clock, begin)
        self.recall = Recall(self.log, self.live, self.clock, wanted, begin)

    def load_rules(self, rule_files: dict[str, str]) -> None:
        """Put the rules into the log when they are other than those that hold."""
        # Named from the folder on, so that a city that moves to another disk keeps its rules' state.
        files = {str(Path(name).relative_to(self.folder.rules)): text for name, text in rule_files.items()}
        if files != self.engine.ruleset.files:
            self.log.append([RulesLoaded(digest=digest(files), files=files)], self.clock.now_ms())

    async def open(self, stack: AsyncExitStack, listener: socket.socket) -> None:
        """Start every room; each puts its own end on the stack."""
        broker = None
        if self.settings.mqtt_embedded:
            broker = EmbeddedBroker(self.settings.mqtt_host, self.settings.mqtt_port)
            on_exit(stack, "broker", lambda: asyncio.to_thread(broker.stop))  # it ends last, though it starts late
            self.guard = BrokerGuard(broker, lambda: self.receiver.connected, self.clock.monotonic_s)
        restoring = run_until_exit(stack, "live_restore", restore_live(self.store, self.live, self.clock))
        server = Server(create_app(self._platform()), listener)
        await server.start()
        on_exit(stack, "console", server.stop)
        self._start_consumers(stack)
        await self._start_wire(stack, broker)
        await asyncio.wait([restoring], timeout=RESTORE_S)  # devices are heard meanwhile
        if self.fleet is not None:
            fleet = self.fleet
            running = watched("fleet", fleet.run())

            async def end_fleet() -> None:
                await fleet.stop()
                await running

            on_exit(stack, "fleet", end_fleet)

    def _start_consumers(self, stack: AsyncExitStack) -> None:
        run_recorder(stack, self.recorder)  # first, so that it ends last and writes what the decider did in the end
        self.downsampler.start()
        on_exit(stack, "downsampler", lambda: asyncio.to_thread(self.downsampler.stop))
        for consumer in (self.writer, self.decider, self.tally):
            self.log.on_append.append(consumer.notify)
            consumer.start()
            on_exit(stack, type(consumer).__name__, lambda consumer=consumer: asyncio.to_thread(consumer.stop))  # type: ignore[misc]
        self.log.on_append.append(self.live_feeder.notify)
        run_until_exit(stack, "live", self.live_feeder.run())
        run_until_exit(stack, "recall", self.recall.run())
        run_until_exit(stack, "ticks", self.ticker.run())
        run_until_exit(stack, "log_watch", self.log_watch.run())

    async def _start_wire(self, stack: AsyncExitStack, broker: EmbeddedBroker | None) -> None:
        """The embedded broker at the last moment: what it takes while nobody listens is sent again a minute later."""
        if broker is not None:
            try:
                await asyncio.to_thread(broker.start)
            except BrokerFault as fault:
                raise Refused(str(fault)) from None
        await self.receiver.start()
        on_exit(stack, "receiver", self.receiver.stop)
        self.sender.on_connect.append(self.dispatcher.broker_connected)
        await asyncio.to_thread(self.sender.start)
        on_exit(stack, "sender", lambda: asyncio.to_thread(self.sender.stop))
        self.dispatcher.resume(self.state.leases())
        run_until_exit(stack, "dispatch", self._poll())
        if self.guard is not None:
            run_until_exit(stack, "broker_guard", self.guard.run())
        running = watched("ingest", self.ingest.run())

        async def end_ingest() -> None:
            await self.ingest.stop()
            await running

        on_exit(stack, "ingest", end_ingest)

    async def watch(self, stopping: asyncio.Event, reload: asyncio.Event) -> None:
        """Until `stopping`: load the rules again at each `reload`, keep the audit in its bounds."""
        while not stopping.is_set():
            await asyncio.to_thread(self.pruner.prune)
            waits = [asyncio.create_task(event.wait()) for event in (stopping, reload)]
            await asyncio.wait(waits, timeout=EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            if reload.is_set():
                reload.clear()
                await asyncio.to_thread(self._reload_rules)

    async def submit(self, record: Record) -> int:
        """Append a record and wait until it is decided. Raises LogFull or OSError when it cannot be kept."""
        position = await asyncio.to_thread(self._append, [record])
        return await asyncio.wrap_future(self.decider.wait_for(position))

    def _append(self, records: Sequence[Record]) -> int:
        return self.log.append(records, self.clock.now_ms())

    async def _poll(self) -> None:
        while True:
            await asyncio.to_thread(self.dispatcher.poll)  # it writes to the log
            if self.ingest.listening:
                self.listening.set()
            else:
                self.listening.clear()
            await asyncio.sleep(POLL_S)

    def _reload_rules(self) -> None:
        try:
            files, _ = rule_texts([self.folder.rules])
            loader.load(files, self.kinds, self.sites[0])
        except Exception as fault:  # whatever is wrong with the files, the rules that hold go on
            logger.error("event=rules_refused reason=%s", str(fault).replace("\n", " | "))
            return
        try:
            self.load_rules(files)
        except (LogFull, OSError) as error:
            logger.error("event=rules_refused reason=%s", error)
        else:
            logger.info("event=rules_loaded files=%d", len(files))

    def _make_fleet(self) -> Fleet:
        chosen = self.settings
        return Fleet(
            self.sites[0],
            chosen.fleet_seed,
            chosen.fleet_lights,
            chosen.fleet_bins,
            chosen.fleet_valves,
            self.clock,
            chosen.mqtt_host,
            chosen.mqtt_port,
        )

    def _platform(self) -> Platform:
        return Platform(
            version=version("nabd"),
            kinds=self.kinds,
            sites=self.sites,
            clock=self.clock,
            log=self.log,
            store=self.store,
            state=self.state,
            live=self.live,
            submit=self.submit,
            deferred=self.pipeline.deferred,
            ledger=self.pipeline.ledger,
            unknown_metrics=self.pipeline.unknown_metrics,
            totals=self.health.totals,
            tally=self.tally,
            health=self.health.told,
            quarantine=self.quarantine,
            rules=self.engine.describe,
            copy_store=store_copier(self.folder.path, self.store),
            needs_credentials=not self.settings.mqtt_embedded,
            accept_loss=self.writer.accept_loss,
            extracts=extracts_of(self.store, self.kinds),
            tile_url=self.settings.map_tile_url,
        )
