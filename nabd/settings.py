"""Settings: the command line above `NABD_…` variables above `nabd.toml` above the defaults here.

A key ``http_port`` is ``[http] port`` in the file and ``NABD_HTTP_PORT`` in the environment. An unknown key is an
error, and all faults of a file are named at once.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from ingest.limits import Limits
from nabd.fault import Refused

Port = Annotated[int, Meta(ge=1, le=65535)]
# Labels of 1 to 63 characters, as every look-up of names wants them; an empty one would mean every address.
Host = Annotated[str, Meta(pattern=r"^[^.\s]{1,63}(\.[^.\s]{1,63})*\.?$", max_length=255)]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Count = Annotated[int, Meta(ge=0, le=100_000)]
Limit = Annotated[int, Meta(ge=0, le=100_000_000)]
SPEED_MAX = 3600.0
FILE_NAME = "nabd.toml"
PREFIX = "NABD_"
# Options of the command line, where tests and benchmarks find the servers they built, what docker-compose.yml asks for.
NO_SETTINGS = ("NABD_DATA", "NABD_CONSOLE_URL", "NABD_PEERS", "NABD_CITY", "NABD_UID", "NABD_GID")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set. Units are in the names."""

    http_host: Host = "127.0.0.1"
    http_port: Port = 8080
    mqtt_embedded: bool = True  # a broker inside this process, on loopback; false: a service at host and port
    mqtt_host: Host = "127.0.0.1"
    mqtt_port: Port = 1883
    mqtt_username: str = ""
    mqtt_password_file: str = ""
    mqtt_ca_file: str = ""  # the authority that signed the broker's certificate; given, all is TLS and verified
    mqtt_admin_password_file: str = ""  # of nabd-admin, for nabd devices; empty: DATA/secrets/mqtt_admin_password
    mqtt_device_host: str = ""  # where devices find the broker; empty: at host and port
    mqtt_device_port: Annotated[int, Meta(ge=0, le=65535)] = 0
    mqtt_connections: Annotated[int, Meta(ge=1, le=64)] = 1  # to receive; the embedded broker takes one only
    store_kind: str = "duckdb"
    influxdb_url: Annotated[str, Meta(pattern=r"^https?://[^/\s]+(/\S*)?$")] = "http://127.0.0.1:8086"
    influxdb_org: Name = "nabd"
    influxdb_bucket: Name = "nabd"
    influxdb_token_file: str = ""  # empty: DATA/secrets/influxdb_token
    influxdb_ca_file: str = ""  # the authority that signed the server's certificate; empty: the usual public ones
    influxdb_timeout_s: Annotated[float, Meta(ge=0.1, le=600)] = 10.0  # for an answer, or the next part of one
    # What one device may say (0: no limit); what is more waits on the device, and the device is told by name.
    ingest_readings_per_period_max: Limit = 1_000  # measured within one period of its kind: one a second for a lamp
    ingest_messages_per_minute_max: Limit = 3_000  # of telemetry, real time
    ingest_streams_per_day_max: Limit = 300  # new ones: a node without a journal that starts every five minutes
    log_bytes_max: Annotated[int, Meta(ge=1_000_000)] = 4_000_000_000
    log_days_max: Annotated[int, Meta(ge=1)] = 30
    quarantine_bytes_max: Annotated[int, Meta(ge=100_000)] = 512_000_000  # and never above a quarter of log_bytes_max
    quarantine_device_bytes_max: Annotated[int, Meta(ge=10_000)] = 8_000_000  # and never above an eighth of that
    audit_days_max: Annotated[int, Meta(ge=1)] = 400
    confirmation_s: Annotated[float, Meta(gt=0, le=600)] = 15.0  # how long a device may take to answer a lease
    map_tile_url: str = ""  # for example a tile server of the province; empty: own outlines, no internet
    clock_start: str = ""  # ISO 8601; empty: now
    clock_speed: Annotated[float, Meta(gt=0, le=SPEED_MAX)] = 1.0  # city seconds per real second
    fleet_lights: Count = 0
    fleet_bins: Count = 0
    fleet_valves: Count = 0
    fleet_seed: int = 1
    logging_level: str = "info"
    logging_json: bool = False

    @property
    def has_fleet(self) -> bool:
        return self.fleet_lights + self.fleet_bins + self.fleet_valves > 0


FIELDS: Mapping[str, Any] = get_type_hints(Settings, include_extras=True)
CHOICES = {"store_kind": ("duckdb", "influxdb"), "logging_level": ("debug", "info", "warning", "error")}


def load(data: Path, config: Path | None, arguments: Mapping[str, Any]) -> Settings:
    """The settings that hold. `arguments` are those of the command line; None means not given.

    Raises Refused with every fault, its place and the remedy.
    """
    faults: list[str] = []
    values: dict[str, Any] = {}
    file = config or data / FILE_NAME
    if config is not None or file.exists():
        values |= _from_file(file, faults)
    values |= _from_environment(os.environ, faults)
    values |= {key: value for key, value in arguments.items() if value is not None}
    good: dict[str, Any] = {}
    for key, value in values.items():
        try:
            good[key] = msgspec.convert(value, FIELDS[key], strict=True)
        except msgspec.ValidationError as error:
            faults.append(f"{_place(key)}: {value!r} is not allowed ({_sentence(error)})")
        else:
            if key in CHOICES and good[key] not in CHOICES[key]:
                faults.append(f"{_place(key)}: {value!r} is not one of {', '.join(CHOICES[key])}")
    _check_together(good, faults)
    if faults:
        raise Refused("settings cannot be used:\n  " + "\n  ".join(faults))
    return Settings(**good)


def limits_of(settings: Settings) -> Limits:
    return Limits(
        readings_per_period=settings.ingest_readings_per_period_max,
        messages_per_minute=settings.ingest_messages_per_minute_max,
        streams_per_day=settings.ingest_streams_per_day_max,
    )


def _check_together(good: Mapping[str, Any], faults: list[str]) -> None:
    """What no setting alone shows."""
    default = Settings()
    ports = good.get("http_port", default.http_port), good.get("mqtt_port", default.mqtt_port)
    if good.get("mqtt_embedded", True) and ports[0] == ports[1]:
        faults.append(f"{_place('http_port')} and {_place('mqtt_port')}: both are {ports[0]}; give each its own")
    if good.get("mqtt_username") and not good.get("mqtt_password_file"):
        faults.append(f"{_place('mqtt_password_file')}: missing; it holds the password of user {good['mqtt_username']}")
    if good.get("mqtt_embedded", True) and good.get("mqtt_connections", 1) > 1:
        faults.append(f"{_place('mqtt_connections')}: the embedded broker takes 1 only; leave it out")
    if good.get("mqtt_embedded", True) and good.get("mqtt_ca_file"):
        faults.append(f"{_place('mqtt_ca_file')}: the embedded broker has no TLS; set [mqtt] embedded = false")
    if good.get("influxdb_ca_file") and not good.get("influxdb_url", default.influxdb_url).startswith("https://"):
        faults.append(f"{_place('influxdb_ca_file')}: [influxdb] url is not https; write https://, or leave it out")
    if good.get("mqtt_ca_file") and any(good.get(f"fleet_{things}") for things in ("lights", "bins", "valves")):
        faults.append(
            "[fleet]: a fleet inside nabd up has no credentials; run nabd simulate --credentials FILE beside it"
        )


def _from_file(file: Path, faults: list[str]) -> dict[str, Any]:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Refused(f"{file}: no such file; give --config an existing file or leave it out") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{file}: cannot be read ({error}); mend its permissions or encoding (UTF-8)") from None
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"line (\d+), column (\d+)", str(error))
        where = f"{file}:{place[1]}:{place[2]}" if place else str(file)
        raise Refused(f"{where}: not readable as TOML ({str(error).split(' (at')[0]})") from None
    values: dict[str, Any] = {}
    sections = sorted({key.split("_", 1)[0] for key in FIELDS})
    for section, content in document.items():
        if section not in sections or not isinstance(content, dict):
            faults.append(f"{file}: unknown section [{section}]; known: {', '.join(sections)}")
            continue
        for name, value in content.items():
            key = f"{section}_{name}"
            if key in FIELDS:
                values[key] = value
            else:
                known = ", ".join(k.split("_", 1)[1] for k in FIELDS if k.startswith(section + "_"))
                faults.append(f"{file}: [{section}] {name}: unknown key; known: {known}")
    return values


def _from_environment(environment: Mapping[str, str], faults: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX) or variable in NO_SETTINGS:
            continue
        key = variable[len(PREFIX) :].lower()
        if key not in FIELDS:
            faults.append(f"{variable}: no such setting; see docs/settings.md for the names")
            continue
        values[key] = _from_text(text, FIELDS[key])
    return values


def _from_text(text: str, wanted: Any) -> Any:
    """A variable's text as the type its field has; left as text where it does not fit, for the check to name."""
    base = get_args(wanted)[0] if get_origin(wanted) is Annotated else wanted
    if base is bool:
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    if base is str:
        return text
    try:
        return base(text)
    except ValueError:
        return text


def _place(key: str) -> str:
    section, name = key.split("_", 1)
    return f"[{section}] {name} ({PREFIX}{key.upper()})"


def _sentence(error: msgspec.ValidationError) -> str:
    return str(error).replace("`", "")
