"""`nabd doctor`: looks at everything that can be wrong before a start, and at the platform that runs."""

import os
import resource
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import click
import msgspec

from adapters.clock import real_ms
from adapters.mqtt.probe import ProbeFault, probe
from adapters.platform_client import PlatformClient, PlatformFault
from contract.document import DocumentFault
from contract.kind_file import load_kinds
from contract.ports import StoreFault
from nabd import settings
from nabd.broker_access import broker_access
from nabd.city_files import read_sites, rule_texts
from nabd.data_folder import LAYOUT, Format, Run, read_run, refuse_half_restored, refuse_lost_format
from nabd.doctoring_secrets import secrets_in
from nabd.fault import Refused
from nabd.finding import RENEW_DAYS, Finding, Verdict
from nabd.founding import DAY_MS
from nabd.ports import listen
from nabd.process import micropython
from nabd.storing import open_influxdb
from rules import loader

DISK_BYTES_MIN = 1_000_000_000
DAY_S = 86_400
LOOPBACK = ("localhost", "127.0.0.1", "::1")
FILES_MIN = 4096  # a socket a device in the same process, and room for the rest


def run(data: Path, config: Path | None) -> int:
    """Print one line a finding; 1 when something is wrong."""
    return tell(examine(data, config))


def tell(found: Iterable[Finding]) -> int:
    """Print them, and count what is wrong; 1 when something is."""
    findings = list(found)
    for finding in findings:
        click.echo(f"{finding.verdict:5} {finding.about}: {finding.sentence}")
    wrong = sum(finding.verdict is Verdict.WRONG for finding in findings)
    click.echo(f"{wrong} wrong" if wrong else "nothing is wrong")
    return 1 if wrong else 0


def examine(data: Path, config: Path | None) -> Iterator[Finding]:
    yield _python()
    yield _open_files()
    yield _checked("kinds", lambda: f"{len(load_kinds())} kinds are good")
    try:
        chosen = settings.load(data, config, {})
    except Refused as fault:
        yield Finding(Verdict.WRONG, "settings", str(fault))
        chosen = settings.Settings()
    else:
        yield Finding(Verdict.GOOD, "settings", "are good")
    yield from _data(data)
    running = read_run(data)
    if running is None:
        yield _checked("http port", lambda: _port(chosen.http_host, chosen.http_port, "--http-port"))
        if chosen.mqtt_embedded:
            yield _checked("mqtt port", lambda: _port(chosen.mqtt_host, chosen.mqtt_port, "--mqtt-port"))
    else:
        yield from _running(running)
    if chosen.mqtt_embedded:
        yield Finding(
            Verdict.NOTE,
            "broker",
            "the embedded one listens on loopback only, has no topic rules, and lets more than two thousand devices in "
            "slowly; devices in the field need a broker with credentials: docs/deploy.md",
        )
    else:
        yield _broker(chosen)
    if chosen.store_kind == "influxdb":
        yield from _influxdb(data, chosen)
    if micropython() is None:
        yield Finding(Verdict.NOTE, "micropython", "not installed; only the demo's nodes need it: make setup")


def _broker(chosen: settings.Settings) -> Finding:
    """Does the city's own broker let the platform in?"""
    where = f"{chosen.mqtt_host}:{chosen.mqtt_port}"
    try:
        access = broker_access(chosen)
        answer = probe(*access.address, **access.credentials)
    except (Refused, ProbeFault) as fault:
        return Finding(Verdict.WRONG, "broker", str(fault))
    who = chosen.mqtt_username or "everybody"
    if answer.not_after_ms is None:
        verdict = Verdict.GOOD if chosen.mqtt_host in LOOPBACK else Verdict.NOTE
        return Finding(verdict, "broker", f"{where} lets {who} in, in plain text; [mqtt] ca_file encrypts it")
    days = (answer.not_after_ms - real_ms()) // DAY_MS
    sentence = f"{where} lets {who} in, {answer.spoken}, certificate good for {days} days"
    if days < RENEW_DAYS:
        return Finding(Verdict.NOTE, "broker", f"{sentence}; renew it: nabd init --renew-certificate")
    return Finding(Verdict.GOOD, "broker", sentence)


def _python() -> Finding:
    found = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    return Finding(Verdict.GOOD, "python", found)


def _open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES_MIN:
        return Finding(
            Verdict.NOTE, "open files", f"{soft} allowed ({hard} at most); for a large fleet: ulimit -n 65536"
        )
    return Finding(Verdict.GOOD, "open files", f"{soft} allowed")


def _data(data: Path) -> Iterator[Finding]:
    if not data.exists():
        yield Finding(Verdict.NOTE, "data folder", f"{data} does not exist yet; nabd up makes it")
        return
    if not data.is_dir():
        yield Finding(Verdict.WRONG, "data folder", f"{data} is no folder; choose another with --data")
        return
    if not os.access(data, os.W_OK):
        yield Finding(Verdict.WRONG, "data folder", f"{data} cannot be written by this user; mend its owner or mode")
    free = shutil.disk_usage(data).free
    verdict = Verdict.GOOD if free >= DISK_BYTES_MIN else Verdict.WRONG
    yield Finding(verdict, "disk", f"{free / 1e9:.1f} GB free; Nabd wants {DISK_BYTES_MIN / 1e9:.0f} GB at least")
    yield from _halves(data)
    file = data / "format.json"
    if file.exists():
        try:
            known = msgspec.json.decode(file.read_bytes(), type=Format)
        except (OSError, msgspec.MsgspecError) as error:
            yield Finding(Verdict.WRONG, "data layout", f"{file} is damaged ({error}); restore it from a backup")
        else:
            same = known.layout == LAYOUT
            mend = "" if same else f"; this Nabd reads {LAYOUT}: use the Nabd that made it"
            yield Finding(
                Verdict.GOOD if same else Verdict.WRONG,
                "data layout",
                f"{known.layout}, clock speed {known.clock.speed:g}{mend}",
            )
    secrets = data / "secrets"
    if secrets.is_dir():
        names = sorted(path.name for path in secrets.iterdir() if path.is_file())
        yield from secrets_in(data, names)
    site = data / "site"
    if site.exists():
        yield _checked("sites", lambda: f"{len(read_sites(site / 'sites'))} sites are good")
        yield _checked("rules", lambda: _rules(site))


def _halves(data: Path) -> Iterator[Finding]:
    for refuse in (refuse_half_restored, refuse_lost_format):
        try:
            refuse(data)
        except Refused as fault:
            yield Finding(Verdict.WRONG, "data folder", str(fault))


def _plain_influxdb(chosen: settings.Settings) -> Iterator[Finding]:
    """Would the token go over a network for everybody to read?"""
    try:
        address = urlsplit(chosen.influxdb_url)
    except ValueError:  # no address at all, which the attempt to reach it says
        return
    if address.scheme == "http" and address.hostname not in LOOPBACK:
        yield Finding(
            Verdict.NOTE,
            "influxdb",
            f"[influxdb] url {chosen.influxdb_url} carries the token and the readings in plain text; https:// encrypts "
            "them, or leave that network to the servers alone, as docker-compose.yml does",
        )


def _influxdb(data: Path, chosen: settings.Settings) -> Iterator[Finding]:
    yield from _plain_influxdb(chosen)
    try:
        with closing(open_influxdb(chosen, data, load_kinds(), log_id="")) as store:
            keeps_s = store.check_access()
    except (Refused, StoreFault) as fault:
        yield Finding(Verdict.WRONG, "influxdb", str(fault))
        return
    yield Finding(Verdict.GOOD, "influxdb", f"{store.where} can be read and written")
    if 0 < keeps_s < chosen.log_days_max * DAY_S:
        yield Finding(
            Verdict.WRONG,
            "influxdb",
            f"the bucket keeps {keeps_s / DAY_S:.3g} days, and the log holds readings of up to {chosen.log_days_max}: "
            "older ones would be refused and go to quarantine; let the bucket keep for ever (influx bucket update)",
        )
    elif keeps_s:
        yield Finding(
            Verdict.NOTE,
            "influxdb",
            f"the bucket drops readings older than {keeps_s / DAY_S:.3g} days; those that devices bring later than "
            "that are refused and go to quarantine",
        )


def _rules(site: Path) -> str:
    files, _ = rule_texts([site / "rules"])
    ruleset = loader.load(files, load_kinds(), read_sites(site / "sites")[0])
    return f"{len(ruleset.rules)} rules are good"


def _running(running: Run) -> Iterator[Finding]:
    yield Finding(Verdict.GOOD, "platform", f"process {running.pid} at {running.url}")
    try:
        with closing(PlatformClient(running.url, timeout_s=5)) as client:
            health = client.health()
    except PlatformFault as fault:
        yield Finding(Verdict.WRONG, "platform", f"its process lives but {fault}")
        return
    reasons = health.get("reasons") or []
    if reasons:
        for reason in reasons:
            yield Finding(Verdict.WRONG, "platform", str(reason))
    else:
        yield Finding(Verdict.GOOD, "platform", "says it is well")


def _port(host: str, port: int, option: str) -> str:
    listen(host, port, option).close()
    return f"{host}:{port} is free"


def _checked(about: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(Verdict.GOOD, about, check())
    except (DocumentFault, Refused) as fault:
        return Finding(Verdict.WRONG, about, str(fault))
