"""`nabd init-influxdb`: what a new InfluxDB needs before Nabd and Grafana can use it, made once.

A server that was never set up gets its first user, organisation and bucket. Then each of the two tokens is tried: one
that works is kept; for one that does not, as `nabd init` leaves them, a new one is made and written into its file, in
place, because a container may have the file mounted. Nabd may read and write the bucket, Grafana only read it, and
neither may do anything else.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import click

from adapters.stores.influx_admin import InfluxAdmin, InfluxAway, InfluxFault
from nabd.fault import Refused
from nabd.secret_file import read_secret
from nabd.settings import Settings
from nabd.storing import influxdb_authority

USER = "nabd-admin"
PASSWORD = "influxdb_admin_password"  # noqa: S105  # the name of its file
RETRY_S = 0.5

Answer = TypeVar("Answer")


class Grant(NamedTuple):
    file: str
    actions: tuple[str, ...]
    description: str


GRANTS = (
    Grant("influxdb_token", ("read", "write"), "nabd reads and writes the bucket"),
    Grant("grafana_influxdb_token", ("read",), "Grafana reads the bucket"),
)


def run(settings: Settings, secrets: Path, *, wait_s: float) -> int:
    """Do what is missing and say what was done. Raises Refused."""
    admin = InfluxAdmin(
        settings.influxdb_url,
        settings.influxdb_org,
        USER,
        _read(secrets / PASSWORD),
        settings.influxdb_timeout_s,
        influxdb_authority(settings),
    )
    bucket = settings.influxdb_bucket
    try:
        is_new = _when_there(lambda: admin.set_up(bucket), wait_s)
        click.echo(f"{admin.where}: {'set up, with user ' + USER if is_new else 'was set up'}")
        bucket_id, made = admin.ensure_bucket(bucket)
        click.echo(f"bucket {bucket}: {'made' if made or is_new else 'was there'}")
        for grant in GRANTS:
            file = secrets / grant.file
            if admin.may(_read(file), bucket, grant.actions):
                click.echo(f"{file}: its token works, kept")
                continue
            _write_in_place(file, admin.grant(bucket_id, grant.actions, grant.description))
            click.echo(f"{file}: new token, good to {' and '.join(grant.actions)} bucket {bucket}, nothing else")
    except InfluxFault as fault:
        raise Refused(str(fault)) from None
    return 0


def _when_there(ask: Callable[[], Answer], wait_s: float) -> Answer:
    """Ask until the server answers, or `wait_s` are over."""
    end_s = time.monotonic() + wait_s
    while True:
        try:
            return ask()
        except InfluxAway:
            if time.monotonic() >= end_s:
                raise
            time.sleep(RETRY_S)


def _read(file: Path) -> str:
    return read_secret(file, "", "a password or token of this city", "nabd init makes it where there is none")


def _write_in_place(file: Path, token: str) -> None:
    try:
        with file.open("r+", encoding="utf-8") as opened:
            opened.truncate()
            opened.write(token)
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        raise Refused(f"{file}: cannot be written ({error.strerror}); mend its owner or mode and try again") from None
