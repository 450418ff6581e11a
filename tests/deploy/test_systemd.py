"""The units are what systemd takes without a complaint, shut as far as the programs in them bear it."""

import re
import shutil
from pathlib import Path

import pytest

from nabd import lifetimes, settings
from tests.deploy import units

pytestmark = pytest.mark.services

EXPOSURE_MAX = {"nabd": 1.2, "nabd-backup": 1.2, "mosquitto": 1.3, "influxdb": 1.5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert shutil.which("systemd-analyze"), "install systemd"
    made = tmp_path_factory.mktemp("units")
    units.lay_out(made)
    return made


def directives(name: str) -> list[tuple[str, str]]:
    text = (units.SOURCE / name).read_text(encoding="utf-8")
    return re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE)


def test_systemd_has_no_complaint(folder: Path) -> None:
    files = [str(folder / f"{service}.service") for service in units.SERVICES]
    verified = units.analyze(folder, "verify", *files, str(folder / "nabd-backup.timer"))
    said = [line for line in (verified.stdout + verified.stderr).splitlines() if str(folder) in line or "nabd" in line]
    assert (verified.returncode, said) == (0, [])


@pytest.mark.parametrize("service", units.SERVICES)
def test_what_is_left_open_stays_small(folder: Path, service: str) -> None:
    assert units.exposure(folder, service) <= EXPOSURE_MAX[service]


def test_an_open_unit_is_told_apart(folder: Path) -> None:
    (folder / "open.service").write_text("[Service]\nExecStart=/bin/true\n", encoding="utf-8")
    assert units.exposure(folder, "open") > 9


def test_nabd_is_given_more_time_to_end_than_it_takes() -> None:
    (seconds,) = [int(value) for key, value in directives("nabd.service") if key == "TimeoutStopSec"]
    assert seconds > lifetimes.STOP_S * 2


def test_the_settings_in_the_unit_are_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pairs = [
        pair.split("=", 1)
        for key, value in directives("nabd.service")
        if key == "Environment"
        for pair in value.split()
    ]
    for name, value in pairs:
        monkeypatch.setenv(name, value)
    chosen = settings.load(tmp_path, None, {})
    assert (chosen.store_kind, chosen.mqtt_embedded, chosen.mqtt_port) == ("influxdb", False, 8883)
    assert chosen.mqtt_ca_file.endswith("/ca.crt")


def test_every_secret_a_setting_names_is_a_credential_of_the_service() -> None:
    loaded = {value.split(":")[0] for key, value in directives("nabd.service") if key == "LoadCredential"}
    named = set(re.findall(r"%d/(\S+)", (units.SOURCE / "nabd.service").read_text(encoding="utf-8")))
    assert loaded == named
    for name in ("nabd.service", "mosquitto.service.d/nabd.conf"):
        for key, value in directives(name):
            if key == "LoadCredential":
                credential, file = value.split(":")
                assert file == f"/etc/nabd/secrets/{credential}"


def test_no_secret_stands_in_a_unit() -> None:
    for path in units.SOURCE.rglob("*"):
        if path.is_file():
            assert "SetCredential=" not in path.read_text(encoding="utf-8"), path
