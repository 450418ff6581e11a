"""What the tests of this folder share: the shipped site, moments at Berkane, and ways to run a device."""

from datetime import datetime
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from contract.site import Site, read_site
from simulators.device import Device, Message
from simulators.faults import FaultName, FaultOptions
from simulators.world import Asset, World

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
ZONE = ZoneInfo("Africa/Casablanca")


@cache
def berkane() -> Site:
    file = files("nabd") / "site" / "sites" / "berkane.yaml"
    return read_site("berkane.yaml", file.read_text(encoding="utf-8"))


def local_ms(*moment: int) -> int:
    """Unix ms of a local date and time at Berkane."""
    year, month, day, hour, minute = (*moment, 0, 0)[:5]
    return round(datetime(year, month, day, hour, minute, tzinfo=ZONE).timestamp() * 1000)


def small_world(start_ms: int, *, faults: FaultOptions | None = None, seed: int = 7, size: int = 1) -> World:
    """A world with `size` of every kind; without faults unless said."""
    faults = faults or FaultOptions.none()
    return World(berkane(), seed, lights=size, bins=size, valves=size, stations=1, start_ms=start_ms, faults=faults)


def certain(fault: FaultName, start_after_ms: int = 0) -> FaultOptions:
    """Every asset of the fault's kind has it, from the start (lamps) or within `start_after_ms`."""
    return FaultOptions(initial={fault: 1.0}, initial_within_ms=start_after_ms, per_year={}, hours={fault: (48, 48)})


def asset_of(world: World, kind: str) -> Asset:
    return next(asset for asset in world.assets if asset.kind == kind)


class Bench:
    """One device driven by hand through city time, without a network; what it says is collected."""

    def __init__(self, world: World, kind: str, *, ntp: bool = True, online: bool = True) -> None:
        self.start_ms = world.start_ms
        asset = asset_of(world, kind)
        self.device = Device(
            asset,
            world.thing(asset, world.start_ms),
            stream="0a1b2c3d",
            boot=1,
            ntp=ntp,
            utc_offset_min=60,
            link_scale=1,
            city_ms=world.start_ms,
        )
        self.up_ms = 0
        self.said: list[Message] = []
        if online:
            self.device.agent.connected(0)

    def run(self, duration_ms: int) -> None:
        """Let the device work whenever it wants to, for so long."""
        end_ms = self.up_ms + duration_ms
        while self.up_ms < end_ms:
            self.said += self.device.work(self.up_ms, self.start_ms + self.up_ms, 20)
            self.up_ms = min(end_ms, self.up_ms + max(self.device.next_ms(self.up_ms), 10))

    def receive(self, channel: str, payload: bytes) -> None:
        self.device.agent.received(self.up_ms, f"nabd/1/{self.device.asset.asset}/{channel}", payload)
