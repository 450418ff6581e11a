"""`nabd simulate`: a fleet in its own process, on the clock of the platform it talks to."""

import asyncio
import signal
from importlib.resources import as_file, files

import click
import uvloop

from adapters.clock import CityClock, ClockOrigin
from adapters.platform_client import PlatformClient, PlatformFault
from nabd.city_files import read_sites
from nabd.fault import Refused
from nabd.lifetimes import signal_event
from simulators.fleet import Fleet

SUMMARY_S = 5.0


def run(
    url: str,
    mqtt_host: str,
    mqtt_port: int,
    *,
    lights: int,
    bins: int,
    valves: int,
    seed: int,
    register: bool,
    seconds: float | None,
) -> int:
    """Run until SIGTERM or SIGINT, or for so many real seconds. Raises Refused when the platform does not answer."""
    try:
        client = PlatformClient(url)
    except PlatformFault as fault:
        raise Refused(str(fault)) from None
    try:
        clock = CityClock(ClockOrigin(**client.health()["clock"]))
        with as_file(files("nabd") / "site" / "sites") as folder:
            site = read_sites(folder)[0]
        fleet = Fleet(site, seed, lights, bins, valves, clock, mqtt_host, mqtt_port)
        if register:
            for device in fleet.registrations():
                client.register(device)
    except (PlatformFault, KeyError) as fault:
        raise Refused(str(fault)) from None
    finally:
        client.close()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(fleet, seconds))
    return 0


async def _run(fleet: Fleet, seconds: float | None) -> None:
    stopping = signal_event(signal.SIGTERM, signal.SIGINT)
    if seconds is not None:
        asyncio.get_running_loop().call_later(seconds, stopping.set)
    running = asyncio.create_task(fleet.run())
    try:
        while not stopping.is_set() and not running.done():
            click.echo(summary(fleet))
            try:
                await asyncio.wait_for(stopping.wait(), SUMMARY_S)
            except TimeoutError:
                continue
    finally:
        await fleet.stop()
        await running
        click.echo(summary(fleet))


def summary(fleet: Fleet) -> str:
    return "fleet " + " ".join(f"{name}={value}" for name, value in fleet.counters().items())
