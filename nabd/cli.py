"""The command line. Every command ends with 0, or with 2 and one clear message; never with a traceback."""

import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from nabd import fault
from nabd.clearly import refuse_clearly
from nabd.cli_dashboards import dashboards
from nabd.cli_options import config_option, data_option
from nabd.cli_quarantine import quarantine
from nabd.cli_readings import data_rebuild, data_verify, export

START_MS_MAX = 7_258_118_400_000 - 1  # the end of 2199: every device and zone file counts so far


def main() -> None:
    """The entry point of `nabd`."""
    cli.main(prog_name="nabd")


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


credentials_option = click.option(
    "--credentials",
    "credentials_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the device's node.json goes, mode 0600; other keys in it stay.  [default: print it]",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("nabd"), message="%(version)s")
def cli() -> None:
    """Nabd: the nervous system of a small city."""


@cli.command()
@config_option
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
@data_option
@click.option("--host", "hosts", multiple=True, help="Name or address of the broker, repeatable.")
@click.option("--renew-certificate", is_flag=True, help="Sign the broker's certificate anew; --host adds to its hosts.")
@refuse_clearly
def init(data: Path, hosts: tuple[str, ...], renew_certificate: bool) -> None:
    """Make certificates, passwords and Mosquitto's first credentials; keep what is there."""
    from adapters.clock import real_ms
    from nabd import founding

    sys.exit(founding.run(data, hosts, real_ms(), renew_certificate=renew_certificate))


@cli.command("init-influxdb")
@data_option
@config_option
@click.option("--secrets", type=click.Path(path_type=Path, file_okay=False), help="[default: DATA/secrets]")
@click.option("--wait", "wait_s", type=click.FloatRange(0, 3600), default=60, show_default=True, help="For it, in s.")
@refuse_clearly
def init_influxdb(data: Path, config: Path | None, secrets: Path | None, wait_s: float) -> None:
    """Make InfluxDB's bucket and the tokens of Nabd and Grafana; keep those that work."""
    from nabd import founding_influxdb, settings

    folder = secrets or data / "secrets"
    sys.exit(founding_influxdb.run(settings.load(data, config, {}), folder, wait_s=wait_s))


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
@click.option("--ca-file", type=click.Path(path_type=Path), help="Speak TLS to a broker that this authority signed.")
@click.option(
    "--credentials",
    "credentials_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="JSON of device and password: what each device says to the broker.",
)
@click.option(
    "--admin-password-file",
    type=click.Path(path_type=Path),
    help="Of nabd-admin: devices that --credentials lacks get one, and it is written there.",
)
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
    """Register devices with a running platform, and give them credentials at the city's broker."""


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
@config_option
@credentials_option
@click.option("--no-credential", is_flag=True, help="Register only: the broker is no Mosquitto of this city.")
@refuse_clearly
def devices_add(
    device: str,
    data: Path,
    url: str | None,
    settings: tuple[str, ...],
    config: Path | None,
    credentials_file: Path | None,
    no_credential: bool,
    **facts: Any,
) -> None:
    """Register a device, or change what is known of it; with the city's own broker, give it a credential too."""
    from adapters.clock import real_ms
    from nabd import credentials, registering

    chosen = credentials.load(data, config)
    if chosen.mqtt_embedded and credentials_file is not None:
        raise fault.Refused("--credentials: the embedded broker has none; set [mqtt] embedded = false, or leave it out")

    def register() -> None:
        registering.add_device(data, url, device, facts, settings)

    if chosen.mqtt_embedded or no_credential:
        register()
    else:
        credentials.give(data, chosen, device, facts["kind"], credentials_file, real_ms(), register)


@devices.command("rotate")
@click.argument("device")
@data_option
@config_option
@credentials_option
@refuse_clearly
def devices_rotate(device: str, data: Path, config: Path | None, credentials_file: Path | None) -> None:
    """Give a device a new password; the old one ends at once."""
    from adapters.clock import real_ms
    from nabd import credentials

    credentials.rotate(data, config, device, credentials_file, real_ms())


@devices.command("revoke")
@click.argument("device")
@data_option
@config_option
@refuse_clearly
def devices_revoke(device: str, data: Path, config: Path | None) -> None:
    """Take a device's credential away, cut its connection, clear what the broker holds of it; its history stays."""
    from nabd import credentials

    credentials.revoke(data, config, device)


@devices.command("credentials")
@data_option
@click.option("--url", help="The platform; default: the one running on DATA.")
@config_option
@refuse_clearly
def devices_credentials(data: Path, url: str | None, config: Path | None) -> None:
    """Which devices are registered, and which have a credential at the broker."""
    from nabd import credentials

    credentials.show(data, config, url)


@cli.group("data")
def data_folder() -> None:
    """Back up, restore, move, check and make anew what a city has stored."""


@data_folder.command("backup")
@click.argument("folder", type=click.Path(path_type=Path))
@data_option
@click.option(
    "--with-secrets", is_flag=True, help="Also what DATA/secrets holds; keep such a backup under lock and key."
)
@config_option
@refuse_clearly
def data_backup(folder: Path, data: Path, with_secrets: bool, config: Path | None) -> None:
    """Copy DATA as of one moment into the new FOLDER, also while nabd up runs on it."""
    from nabd import backing_up

    backing_up.backup(data, folder, with_secrets=with_secrets, config=config)


@data_folder.command("restore")
@click.argument("folder", type=click.Path(path_type=Path))
@data_option
@refuse_clearly
def data_restore(folder: Path, data: Path) -> None:
    """Put the backup in FOLDER into DATA, which must be empty; every file is checked first."""
    from nabd import restoring

    restoring.restore(folder, data)


@data_folder.command("copy")
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


@data_folder.command("accept-loss")
@data_option
@click.option("--url", help="The platform; default: the one running on DATA.")
@refuse_clearly
def data_accept_loss(data: Path, url: str | None) -> None:
    """Note that what the store lacks for good is known, or was copied in: /healthz tells it no longer."""
    from nabd import losing

    losing.accept(data, url)


@cli.command()
@data_option
@config_option
@click.option(
    "--deploy",
    type=click.Path(path_type=Path, file_okay=False),
    help="Look at what nabd init made in this folder instead: secrets, modes, certificates.",
)
@refuse_clearly
def doctor(data: Path, config: Path | None, deploy: Path | None) -> None:
    """Say what is wrong here and how to mend it."""
    from nabd import doctoring, doctoring_secrets

    sys.exit(doctoring.run(data, config) if deploy is None else doctoring.tell(doctoring_secrets.examine(deploy)))


cli.add_command(dashboards)
cli.add_command(quarantine)
cli.add_command(export)
data_folder.add_command(data_rebuild)
data_folder.add_command(data_verify)

if __name__ == "__main__":
    main()
