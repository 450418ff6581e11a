"""The command line. Every command ends with 0, or with 2 and one clear message; never with a traceback."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import click

from contract.document import DocumentFault
from nabd import fault

START_MS_MAX = 7_258_118_400_000 - 1  # the end of 2199: every device and zone file counts so far

Command = TypeVar("Command", bound=Callable[..., Any])


def main() -> None:
    """The entry point of `nabd`."""
    cli.main(prog_name="nabd")


def refuse_clearly(command: Command) -> Command:
    """Turn what the user can mend into one message and exit code 2."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except (fault.Refused, DocumentFault) as refused:
            click.echo(f"nabd: {refused}", err=True)
            sys.exit(2)
        except KeyboardInterrupt:
            sys.exit(130)

    return run  # type: ignore[return-value]  # wraps() keeps the command's own signature for click


def start_ms(text: str) -> int | None:
    """Unix ms of an ISO 8601 time; without an offset it is UTC. Raises Refused."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise fault.Refused(f"--start {text!r}: not an ISO 8601 time; write for example 2026-11-24T17:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    unix_ms = round(moment.timestamp() * 1000)
    if not 0 <= unix_ms <= START_MS_MAX:
        raise fault.Refused(f"--start {text!r}: must lie in the years 1970 to 2199")
    return unix_ms


data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("nabd-data"),
    envvar="NABD_DATA",
    show_default=True,
    help="Folder of the log, the stores and the city's own rules and sites.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("nabd"), message="%(version)s")
def cli() -> None:
    """Nabd: the nervous system of a small city."""


@cli.command()
@click.option("--config", type=click.Path(path_type=Path), help="Settings file; default DATA/nabd.toml.")
@data_option
@click.option("--host", "http_host", help="Address of the console.  [default: 127.0.0.1]")
@click.option("--http-port", type=int, help="Port of the console.  [default: 8080]")
@click.option("--mqtt-port", type=int, help="Port of the broker.  [default: 1883]")
@click.option("--lights", "fleet_lights", type=int, help="Simulated street lights.")
@click.option("--bins", "fleet_bins", type=int, help="Simulated waste bins.")
@click.option("--valves", "fleet_valves", type=int, help="Simulated irrigation valves.")
@click.option("--seed", "fleet_seed", type=int, help="Seed of the simulated city.")
@click.option("--start", "clock_start", help="City time at the first start, ISO 8601.  [default: now]")
@click.option("--speed", "clock_speed", type=float, help="City seconds per real second.  [default: 1]")
@refuse_clearly
def up(config: Path | None, data: Path, **arguments: Any) -> None:
    """Run the whole platform in this process."""
    from nabd import settings, wiring

    chosen = settings.load(data, config, arguments)
    speed_given = arguments["clock_speed"] is not None or chosen.clock_speed != 1.0
    sys.exit(
        wiring.run(
            data,
            chosen,
            start_ms=start_ms(chosen.clock_start),
            start_text=chosen.clock_start,
            speed=chosen.clock_speed if speed_given else None,
        )
    )


@cli.command()
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="The platform, for its clock and site.")
@click.option("--mqtt-host", default="127.0.0.1", show_default=True)
@click.option("--mqtt-port", type=int, default=1883, show_default=True)
@click.option("--lights", type=click.IntRange(0, 100_000), default=10, show_default=True)
@click.option("--bins", type=click.IntRange(0, 100_000), default=5, show_default=True)
@click.option("--valves", type=click.IntRange(0, 100_000), default=3, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--register/--no-register", default=True, show_default=True, help="Register the devices first.")
@click.option("--for", "seconds", type=float, help="Stop after so many real seconds.")
@refuse_clearly
def simulate(url: str, mqtt_host: str, mqtt_port: int, seconds: float | None, **fleet: Any) -> None:
    """Run a fleet in this process against any broker."""
    from nabd import simulating

    sys.exit(simulating.run(url, mqtt_host, mqtt_port, seconds=seconds, **fleet))


@cli.group()
def rules() -> None:
    """Check and test automation rules."""


rule_paths = click.argument("paths", nargs=-1, type=click.Path(path_type=Path))


@rules.command("check")
@rule_paths
@data_option
@refuse_clearly
def rules_check(paths: tuple[Path, ...], data: Path) -> None:
    """Name every fault of the rule files (default: those of DATA, else the shipped ones)."""
    from nabd import ruling

    sys.exit(ruling.check(paths, data))


@rules.command("test")
@rule_paths
@data_option
@refuse_clearly
def rules_test(paths: tuple[Path, ...], data: Path) -> None:
    """Run the rules' own tests, the *.test.yaml files beside them."""
    from nabd import ruling

    sys.exit(ruling.test(paths, data))


@cli.group()
def devices() -> None:
    """List and register devices of a running platform."""


@devices.command("list")
@data_option
@click.option("--url", help="The platform; default: the one running on DATA.")
@click.option("--kind")
@click.option("--commune")
@click.option("--zone")
@click.option("--waiting", is_flag=True, help="Those that speak and are not registered.")
@refuse_clearly
def devices_list(data: Path, url: str | None, kind: str, commune: str, zone: str, waiting: bool) -> None:
    """One line a device: id, kind, commune, zone, asset."""
    from nabd import registering

    filters = {"kind": kind, "commune": commune, "zone": zone}
    registering.list_devices(data, url, {key: value for key, value in filters.items() if value}, waiting=waiting)


@devices.command("add")
@click.argument("device")
@data_option
@click.option("--url", help="The platform; default: the one running on DATA.")
@click.option("--kind", required=True)
@click.option("--commune", required=True)
@click.option("--zone", default="")
@click.option("--asset", default="", help="The pole, bin or valve it sits on; default: one of the same id.")
@click.option("--name", default="", help="What people call the asset.")
@click.option("--lat", type=float)
@click.option("--lon", type=float)
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the kind, repeatable.")
@refuse_clearly
def devices_add(device: str, data: Path, url: str | None, settings: tuple[str, ...], **facts: Any) -> None:
    """Register a device, or change what is known of it."""
    from nabd import registering

    registering.add_device(data, url, device, facts, settings)


@cli.group("data")
def data_group() -> None:
    """Move what a city has stored."""


@data_group.command("copy")
@click.option("--from", "source", required=True, metavar="STORE", help="duckdb:PATH or influxdb.")
@click.option("--to", "target", required=True, metavar="STORE", help="duckdb:PATH or influxdb.")
@click.option("--since", default="", metavar="DAY", help="Only what was measured from this day (UTC) on.")
@data_option
@click.option("--config", type=click.Path(path_type=Path), help="Settings file; default DATA/nabd.toml.")
@refuse_clearly
def data_copy(source: str, target: str, since: str, data: Path, config: Path | None) -> None:
    """Copy the history of readings from one store into another.

    A reading is stored once however often it is copied. influxdb is the bucket of the settings. A DuckDB file must not
    be in use: stop the platform first.
    """
    from nabd import copying

    sys.exit(copying.run(data, config, source, target, since))


@cli.command()
@data_option
@click.option("--config", type=click.Path(path_type=Path), help="Settings file; default DATA/nabd.toml.")
@refuse_clearly
def doctor(data: Path, config: Path | None) -> None:
    """Say what is wrong here and how to mend it."""
    from nabd import doctoring

    sys.exit(doctoring.run(data, config))


if __name__ == "__main__":
    main()
