"""`nabd simulate`: a fleet in its own process, on the clock of the platform it talks to."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path

import click
import msgspec
import uvloop

from adapters.clock import CityClock, ClockOrigin
from adapters.mqtt.dynsec import Credentials, CredentialsFault
from adapters.mqtt.tls import TlsFault, client_context
from adapters.platform_client import PlatformClient, PlatformFault
from nabd.city_files import read_sites
from nabd.credentials import new_password
from nabd.fault import Refused
from nabd.lifetimes import signal_event
from nabd.secret_file import read_secret, replace_whole
from simulators.fleet import Fleet, FleetOptions

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
    ca_file: Path | None = None,
    credentials_file: Path | None = None,
    admin_password_file: Path | None = None,
) -> int:
    """Run until SIGTERM or SIGINT, or for so many real seconds. Raises Refused when the platform does not answer.

    `ca_file`: TLS, verified. `credentials_file`: JSON of device → password; with `admin_password_file` the devices it
    lacks get a credential at the broker first, and are written into it.
    """
    try:
        client = PlatformClient(url)
    except PlatformFault as fault:
        raise Refused(str(fault)) from None
    try:
        clock = CityClock(ClockOrigin(**client.health()["clock"]))
        with as_file(files("nabd") / "site" / "sites") as folder:
            site = read_sites(folder)[0]
        passwords: dict[str, str] = {}
        options = FleetOptions(tls=client_context(ca_file) if ca_file else None, passwords=passwords)
        fleet = Fleet(site, seed, lights, bins, valves, clock, mqtt_host, mqtt_port, options=options)
        registrations = fleet.registrations()
        if credentials_file is not None:
            passwords |= _read(credentials_file)
            lacking = [known.device for known in registrations if known.device not in passwords]
            if lacking and admin_password_file is not None:
                password = read_secret(admin_password_file, "--admin-password-file", "the password of user nabd-admin")
                with Credentials(mqtt_host, mqtt_port, password=password, tls=options.tls) as credentials:
                    passwords |= _enrol(credentials, lacking)
                _write(credentials_file, passwords)
        if register:
            for device in registrations:
                client.register(device)
    except (PlatformFault, KeyError, TlsFault, CredentialsFault) as fault:
        raise Refused(str(fault)) from None
    finally:
        client.close()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(fleet, seconds))
    return 0


def _enrol(credentials: Credentials, devices: Sequence[str]) -> dict[str, str]:
    """A credential for each; one that had one, and whose password nobody knows any more, gets a new password."""
    passwords = {device: new_password() for device in devices}
    made = set(credentials.create_all(passwords))
    for device in passwords:
        if device not in made:
            credentials.set_password(device, passwords[device])
    return passwords


def _read(file: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        raise Refused(f"--credentials {file}: is no JSON object of device and password ({error})") from None


def _write(file: Path, passwords: Mapping[str, str]) -> None:
    try:
        replace_whole(file, msgspec.json.format(msgspec.json.encode(passwords), indent=1))
    except OSError as error:
        raise Refused(f"--credentials {file}: cannot be written ({error.strerror}); name another") from None


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
