"""A platform with thousands of registered devices, on its own broker or on Mosquitto with the bounds of deploy/."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from adapters.log.sqlite_log import SqliteLog
from bench.city import cpu_s, running
from bench.storm_device import KIND
from bench.storm_watch import PROBE
from contract.kind import check_settings
from contract.kind_file import load_kinds
from contract.records import Registered
from nabd.process import PlatformProcess
from stand.city_broker import DEPLOY
from stand.mosquitto import PlainMosquitto

CHATTERER = "storm-chatter"
BOUNDS = ("max_", "autosave_interval", "queue_qos0", "persistent_client", "set_tcp_nodelay", "sys_interval")


@dataclass(frozen=True)
class City:
    """A platform with registered devices; `port` is the broker's."""

    platform: PlatformProcess
    port: int
    broker_pid: int | None  # of a broker of its own

    def cpu_s(self) -> tuple[float, float]:
        own, child = cpu_s(self.platform)
        if self.broker_pid is None:
            return own, child
        with open(f"/proc/{self.broker_pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return own, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def city(folder: Path, broker: str, devices: int) -> Iterator[City]:
    """A platform that knows so many devices, the chatterer and the probe."""
    folder.mkdir(parents=True)
    with running(folder):
        pass  # it founds the data folder
    register(folder / "data" / "log.db", devices)
    with ExitStack() as stack:
        options: list[str] = []
        pid = None
        if broker == "mosquitto":
            server = PlainMosquitto(folder / "mosquitto", *deployed_bounds(), "persistence true",
                                    "persistence_location {folder}/")  # fmt: skip
            stack.callback(server.stop)
            server.start()
            pid = server.pid
            config = folder / "nabd.toml"
            config.write_text(f"[mqtt]\nembedded = false\nport = {server.port}\nconnections = 4\n", encoding="utf-8")
            options = ["--config", str(config), "--mqtt-port", str(server.port)]
        platform = stack.enter_context(running(folder, *options))
        yield City(platform, server.port if broker == "mosquitto" else platform.mqtt_port, pid)


def deployed_bounds() -> list[str]:
    """What deploy/mosquitto bounds."""
    text = (DEPLOY / "mosquitto.conf").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.startswith(BOUNDS) and "keepalive" not in line]


def register(log_file: Path, devices: int) -> None:
    """Ten thousand registrations over HTTP would take longer than the storm."""
    names = [*(f"storm-{number:05d}" for number in range(devices)), CHATTERER, PROBE]
    settings = check_settings(load_kinds()[KIND], {"rated_power_w": 90.0})
    log = SqliteLog(log_file, bytes_max=4_000_000_000, days_max=30)
    try:
        log.append(
            [
                Registered(
                    device=name, kind=KIND, commune="berkane", asset=name, name=name, settings=settings, by="bench"
                )
                for name in names
            ],
            int(time.time() * 1000),
        )
    finally:
        log.close()
