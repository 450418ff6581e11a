"""`make demo`: a small Berkane at dusk, with three real MicroPython nodes beside the simulated fleet.

Everything is what a city would run: `nabd up` in one process, each MicroPython node in its own, registered over the
API like any device. The data folder is a temporary one and goes with the demo.
"""

import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
import msgspec

from adapters.platform_client import PlatformClient, PlatformFault
from contract.records import Registered
from contract.site import Site
from contract.wire import sun
from nabd.city_files import read_sites
from nabd.clearly import refuse_clearly
from nabd.fault import Refused
from nabd.process import Child, PlatformProcess, micropython, node_command, node_folder

BEFORE_DUSK = timedelta(minutes=20)
SUMMARY_S = 5.0


class Node(msgspec.Struct, frozen=True):
    """One MicroPython node of the demo and what a technician would register it as."""

    device: str
    kind: str
    zone: int  # which of the site's zones
    name: str
    settings: dict[str, float | str]


NODES = (
    Node("node-light", "street_light", 0, "MicroPython lamp", {"rated_power_w": 60, "circuit": "demo"}),
    Node("node-bin", "waste_bin", 1, "MicroPython bin", {}),
    Node("node-valve", "irrigation_valve", 2, "MicroPython valve", {"open_s_max": 1200}),
)


@click.command()
@click.option("--http-port", type=int, default=8080, show_default=True)
@click.option("--mqtt-port", type=int, default=1883, show_default=True)
@click.option("--lights", type=int, default=120, show_default=True)
@click.option("--bins", type=int, default=30, show_default=True)
@click.option("--valves", type=int, default=12, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--speed", type=float, default=30.0, show_default=True, help="City seconds per real second.")
@click.option("--for", "seconds", type=float, help="Stop after so many real seconds; default: until Ctrl-C.")
@refuse_clearly
def demo(http_port: int, mqtt_port: int, speed: float, seconds: float | None, **fleet: Any) -> None:
    """Watch a small Berkane at dusk."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with as_file(files("nabd") / "site" / "sites") as folder:
        site = read_sites(folder)[0]
    start = dusk(site, datetime.now(UTC)) - BEFORE_DUSK
    url = f"http://127.0.0.1:{http_port}"
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nabd-demo-")))
        began_s = time.monotonic()
        options = ["--start", start.isoformat(), "--speed", str(speed)]
        options += [part for name, count in fleet.items() for part in (f"--{name}", str(count))]
        platform = PlatformProcess(data / "city", http_port, mqtt_port, *options)
        stack.callback(platform.stop)
        platform.wait_until_up()
        _start_nodes(stack, platform, site, data, speed, start)
        click.echo(f"\nNabd is up after {time.monotonic() - began_s:.1f} s: {url}")
        click.echo(f"  {url}/ar  {url}/fr  {url}/en      API: {url}/api/v1      Ctrl-C ends it")
        click.echo(f"  Berkane, {speed:g} times faster than life; sunset in {BEFORE_DUSK.seconds / speed:.0f} s.\n")
        _watch(platform, ZoneInfo(site.timezone), seconds)


def dusk(site: Site, now: datetime) -> datetime:
    """Today's sunset at the site, UTC."""
    midnight = now.astimezone(ZoneInfo(site.timezone)).replace(hour=0, minute=0, second=0, microsecond=0)
    _, sunset_ms = sun.sunrise_sunset_ms(round(midnight.timestamp() * 1000), site.latitude, site.longitude)
    if sunset_ms is None:
        raise Refused(f"site {site.commune}: the sun does not set there today")
    return datetime.fromtimestamp(sunset_ms / 1000, UTC).replace(microsecond=0)


def _register(client: PlatformClient, site: Site, node: Node) -> tuple[float, float]:
    """Enter a node as a technician would; its place."""
    zone = site.zones[node.zone % len(site.zones)]
    latitude = sum(point[0] for point in zone.outline) / len(zone.outline)
    longitude = sum(point[1] for point in zone.outline) / len(zone.outline)
    client.register(
        Registered(
            device=node.device,
            kind=node.kind,
            commune=site.commune,
            asset=node.device,
            zone=zone.zone,
            lat=latitude,
            lon=longitude,
            name=node.name,
            settings=node.settings,
        )
    )
    return latitude, longitude


def _start_nodes(
    stack: ExitStack, platform: PlatformProcess, site: Site, data: Path, speed: float, start: datetime
) -> None:
    if micropython() is None:
        click.echo("micropython is not installed, so the three nodes stay out; make setup installs it", err=True)
        return
    offset = start.astimezone(ZoneInfo(site.timezone)).utcoffset() or timedelta()
    for node in NODES:
        latitude, longitude = _register(platform.client, site, node)
        folder = data / node.device
        folder.mkdir()
        command = node_command(
            node.device,
            node.kind,
            platform.mqtt_port,
            folder,
            speed=f"{speed:g}",
            lat=f"{latitude:.5f}",
            lon=f"{longitude:.5f}",
            utc_offset_min=int(offset.total_seconds() // 60),
        )
        stack.callback(Child(command, folder=node_folder(), output=subprocess.DEVNULL).stop)


def _watch(platform: PlatformProcess, zone: ZoneInfo, seconds: float | None) -> None:
    """Print a line every few seconds until the end."""
    end_s = time.monotonic() + seconds if seconds is not None else float("inf")
    try:
        while time.monotonic() < end_s:
            if not platform.alive():
                raise Refused("the platform ended; its own message stands above")
            try:
                click.echo(summary(platform.client, zone))
            except PlatformFault as fault:
                click.echo(str(fault), err=True)
            time.sleep(min(SUMMARY_S, max(0.0, end_s - time.monotonic())))
    except KeyboardInterrupt:
        click.echo("ending")


def summary(client: PlatformClient, zone: ZoneInfo) -> str:
    """City time, lamps, readings, gaps, alarms and leases in one line."""
    health, ledger = client.health(), client.get("ledger")
    alarms = client.get("alarms", open=True, limit=1)["total"]
    leases = client.get("leases", limit=1000)["items"]
    confirmed = sum(lease["state"] == "confirmed" for lease in leases)
    local = datetime.fromisoformat(health["now"]).astimezone(zone)
    return (
        f"{local:%H:%M:%S}  {ledger['accepted']} readings kept, {ledger['missing']} missing, "
        f"{ledger['quarantined']} quarantined, {ledger['deferred']} deferred | {alarms} alarms | "
        f"{confirmed}/{len(leases)} leases confirmed"
    )


if __name__ == "__main__":
    demo()
