"""docker-compose.yml is what Docker's own reader takes, and keeps what docs/deploy.md promises of every service."""

import os
import re
import stat
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from nabd import settings
from tests.deploy import composed
from tests.deploy.dockerfile import ROOT

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]  # the first run builds the reader

ONCE = {"volumes", "influxdb-tokens"}
"""Services that do one thing and end."""
SECRETS = {
    "ca.crt", "mosquitto.crt", "mosquitto.key", "mosquitto_users", "mqtt_platform_password", "mqtt_admin_password",
    "influxdb_admin_password", "influxdb_token", "grafana_admin_password", "grafana_influxdb_token",
}  # fmt: skip


def services() -> dict[str, Any]:
    found: dict[str, Any] = composed.model()["services"]
    return found


def test_docker_takes_the_file_without_a_complaint() -> None:
    checked = composed.config("-q")
    assert (checked.returncode, checked.stderr, checked.stdout) == (0, "", "")


def test_the_city_is_mosquitto_influxdb_grafana_and_nabd() -> None:
    assert set(services()) - ONCE == {"mosquitto", "influxdb", "grafana", "nabd"}


def test_every_image_has_an_exact_version() -> None:
    for name, service in services().items():
        assert re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+", service["image"]), name


def test_the_image_is_that_of_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ours = {service["image"] for service in services().values() if service["image"].startswith("nabd")}
    assert ours == {f"nabd:{project['version']}"}


def test_only_mqtt_over_tls_is_heard_outside_this_machine() -> None:
    ports = {
        (name, port.get("host_ip", "0.0.0.0"), port["target"])
        for name, service in services().items()
        for port in service.get("ports", ())
    }
    assert ports == {
        ("mosquitto", "0.0.0.0", 8883),
        ("nabd", "127.0.0.1", 8080),
        ("grafana", "127.0.0.1", 3000),
    }


def test_no_service_can_write_its_image_gain_rights_or_take_the_whole_machine() -> None:
    for name, service in services().items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
        assert not {"pid", "ipc", "devices"} & set(service), name
        limits = service["deploy"]["resources"]["limits"]
        assert float(limits["cpus"]) > 0, name
        assert int(limits["memory"]) > 0, name
        assert limits["pids"] > 0, name
        assert service["logging"]["options"]["max-size"], name


def test_nobody_is_root_but_the_one_that_hands_out_the_volumes_and_it_has_no_network() -> None:
    for name, service in services().items():
        if name == "volumes":
            assert service["user"] == "0:0"
            assert service["cap_add"] == ["CHOWN", "DAC_OVERRIDE", "FOWNER"]
            assert service["network_mode"] == "none"
        else:
            assert service["user"] == "10001:10001", name
            assert "cap_add" not in service, name


def test_every_lasting_service_restarts_and_says_whether_it_is_well() -> None:
    for name, service in services().items():
        if name in ONCE:
            assert service["restart"] == "no"
            assert service["healthcheck"] == {"disable": True}
        else:
            assert service["restart"] == "unless-stopped", name
            check = service["healthcheck"]
            assert {"test", "interval", "timeout", "retries", "start_period"} <= set(check), name


def test_secrets_are_files_of_the_city_and_each_is_used_only_where_it_is_named() -> None:
    declared = composed.model()["secrets"]
    assert set(declared) == SECRETS
    used = set()
    for service in services().values():
        used |= {secret["source"] for secret in service.get("secrets", ())}
        assert not service.get("env_file")
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|TOKEN|SECRET", key):
                assert str(value).startswith("/run/secrets/"), f"{key} must name a file"
    written_in_place = {
        Path(mount["source"]).name
        for mount in services()["influxdb-tokens"]["volumes"]
        if mount["source"].startswith("/")
    }
    assert used | written_in_place == SECRETS
    for name, secret in declared.items():
        assert secret["file"].startswith(str(ROOT / "city")), name


def test_the_key_of_the_authority_is_in_no_container() -> None:
    assert "ca.key" not in composed.config("--format", "json").stdout


def test_nobody_starts_before_what_it_needs_is_there() -> None:
    waits = {
        name: {other: how["condition"] for other, how in service.get("depends_on", {}).items()}
        for name, service in services().items()
    }
    done, well = "service_completed_successfully", "service_healthy"
    assert waits == {
        "volumes": {},
        "mosquitto": {"volumes": done},
        "influxdb": {"volumes": done},
        "influxdb-tokens": {"influxdb": well},
        "nabd": {"mosquitto": well, "influxdb-tokens": done},
        "grafana": {"influxdb-tokens": done},
    }


def test_every_named_volume_is_used_and_handed_to_the_one_user() -> None:
    declared = set(composed.model()["volumes"])
    handed = {mount["source"] for mount in services()["volumes"]["volumes"]}
    used = {
        mount["source"]
        for name, service in services().items()
        if name != "volumes"
        for mount in service.get("volumes", ())
        if mount["type"] == "volume"
    }
    assert declared == handed == used


def test_another_folder_and_another_user_can_be_named() -> None:
    given = composed.config("--format", "json", NABD_CITY="/srv/berkane", NABD_UID="1234", NABD_GID="1235").stdout
    assert "/srv/berkane/secrets/ca.crt" in given
    assert '"user": "1234:1235"' in given
    assert "/city/" not in given


def test_every_file_that_is_mounted_from_the_source_is_there() -> None:
    for name, service in services().items():
        for mount in service.get("volumes", ()):
            if mount["type"] == "bind" and not mount["source"].startswith(str(ROOT / "city")):
                assert Path(mount["source"]).exists(), f"{name}: {mount['source']}"
                assert mount["read_only"] is True, name


def test_nabd_takes_the_settings_it_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for service in ("nabd", "influxdb-tokens"):
        for key, value in services()[service]["environment"].items():
            monkeypatch.setenv(key, str(value))
        chosen = settings.load(tmp_path, None, {})
        assert chosen.http_host


def test_the_volumes_are_handed_over_and_mosquittos_users_are_never_written_over(tmp_path: Path) -> None:
    """The one script of the file, run with its places moved here."""
    (script,) = services()["volumes"]["command"]
    volumes = tmp_path / "volumes"
    for mount in services()["volumes"]["volumes"]:
        (tmp_path / mount["target"].strip("/")).mkdir(parents=True)
    (tmp_path / "users").write_text("first")
    script = (
        script.replace("$$", "$")
        .replace("/volumes", str(volumes))
        .replace("/run/secrets/mosquitto_users", str(tmp_path / "users"))
    )
    uid, gid = (10001, 10001) if os.geteuid() == 0 else (os.geteuid(), os.getegid())

    def run() -> None:
        environment = os.environ | {"OWNER": f"{uid}:{gid}"}
        done = subprocess.run(["/bin/sh", "-euc", script], env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")

    run()
    users = volumes / "mosquitto" / "dynamic-security.json"
    assert users.read_text() == "first"
    for path in (users, *volumes.iterdir()):
        assert (path.stat().st_uid, path.stat().st_gid) == (uid, gid), path
        assert path.is_file() or stat.S_IMODE(path.stat().st_mode) == 0o700, path
    users.write_text("what Mosquitto made of it")
    run()
    assert users.read_text() == "what Mosquitto made of it"


def test_every_variable_of_the_file_is_a_setting_or_stops_no_platform() -> None:
    """Whoever exports what the file asks for in a shell can still start `nabd up` there."""
    named = set(re.findall(r"NABD_[A-Z_]+", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
    assert {"NABD_CITY", "NABD_STORE_KIND"} <= named
    known = {f"NABD_{key.upper()}" for key in settings.FIELDS}
    assert named <= known | set(settings.NO_SETTINGS)
