"""The doctor names everything a deployment lacks before anything is started, each with the command that mends it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from adapters import certificates
from adapters.clock import real_ms
from nabd.doctoring_secrets import FILES, examine
from nabd.fault import Refused
from nabd.finding import Finding, Verdict
from nabd.founding import DAY_MS, establish, secret


@pytest.fixture
def city(tmp_path: Path) -> Path:
    establish(tmp_path / "city", ("broker.berkane.ma", "localhost", "mosquitto"), real_ms())
    return tmp_path / "city"


def wrong(city: Path) -> dict[str, str]:
    return {finding.about: finding.sentence for finding in examine(city) if finding.verdict is Verdict.WRONG}


def test_a_certificate_that_lacks_the_names_its_own_platform_uses_is_found(city: Path) -> None:
    sign(city, 0, hosts=("broker.berkane.ma",))
    said = wrong(city)["mosquitto.crt"]
    assert "is not good for localhost and mosquitto" in said
    assert "--host broker.berkane.ma --host localhost --host mosquitto" in said


def of(city: Path, about: str) -> Finding:
    (found,) = (finding for finding in examine(city) if finding.about == about)
    return found


def test_what_nabd_init_made_is_good(city: Path) -> None:
    assert wrong(city) == {}
    assert "broker.berkane.ma" in of(city, "mosquitto.crt").sentence


def test_a_city_never_founded_is_told_the_one_command(tmp_path: Path) -> None:
    (said,) = wrong(tmp_path / "city").values()
    assert said.endswith(f"make all of it with: nabd init --data {tmp_path / 'city'}")


def test_every_missing_secret_is_named_at_once_with_the_command_that_makes_it(city: Path) -> None:
    for name in FILES:
        secret(city, name).unlink()
    (city / "mosquitto" / "dynamic-security.json").unlink()
    found = wrong(city)
    assert set(found) == {*FILES, "mosquitto users"}
    assert all(f"nabd init --data {city} makes it" in sentence for sentence in found.values())


def test_a_secret_that_others_can_read_is_named_with_its_mode(city: Path) -> None:
    secret(city, "influxdb_token").chmod(0o644)
    (city / "secrets").chmod(0o755)
    found = wrong(city)
    assert "mode 644" in found["influxdb_token"]
    assert f"chmod 600 {secret(city, 'influxdb_token')}" in found["influxdb_token"]
    assert f"chmod 700 {city / 'secrets'}" in found["secrets"]


def test_an_empty_secret_is_no_secret(city: Path) -> None:
    secret(city, "influxdb_token").write_text("\n")
    assert "is empty; remove it, then nabd init" in wrong(city)["influxdb_token"]


def sign(city: Path, days_ago: int, days: int = 100, hosts: tuple[str, ...] = ("localhost", "mosquitto")) -> None:
    now_ms = real_ms() - days_ago * DAY_MS
    secret(city, "mosquitto.crt").write_bytes(
        certificates.server(
            secret(city, "mosquitto.key").read_bytes(), hosts, secret(city, "ca.key").read_bytes(),
            secret(city, "ca.crt").read_bytes(), now_ms, days,
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("days_ago", "verdict", "said"),
    [
        (0, Verdict.GOOD, "good for"),
        (80, Verdict.NOTE, "good for"),
        (120, Verdict.WRONG, "expired"),
        (-5, Verdict.WRONG, "not valid yet"),
    ],
)
def test_a_certificate_is_judged_by_todays_date_and_the_remedy_named(
    city: Path, days_ago: int, verdict: Verdict, said: str
) -> None:
    sign(city, days_ago)
    found = of(city, "mosquitto.crt")
    assert found.verdict is verdict
    assert said in found.sentence
    assert ("nabd init --renew-certificate" in found.sentence) is (verdict is not Verdict.GOOD)


def test_a_certificate_of_another_authority_or_key_is_found(city: Path, tmp_path: Path) -> None:
    establish(tmp_path / "other", (), real_ms())
    secret(city, "ca.crt").write_bytes(secret(tmp_path / "other", "ca.crt").read_bytes())
    secret(city, "mosquitto.key").write_bytes(secret(tmp_path / "other", "mosquitto.key").read_bytes())
    found = wrong(city)
    assert "was not signed by" in found["mosquitto.crt"]
    assert "Mosquitto will not start" in found["mosquitto.key"]


def test_what_is_no_certificate_or_no_list_of_users_is_said_so(city: Path) -> None:
    secret(city, "ca.crt").write_text("hello")
    (city / "mosquitto" / "dynamic-security.json").write_text("[")
    found = wrong(city)
    assert "is no certificate" in found["ca.crt"]
    assert "cannot be used" in found["mosquitto users"]


def test_the_command_ends_with_1_when_something_is_wrong_and_never_prints_a_secret(city: Path) -> None:
    def run() -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "nabd", "doctor", "--deploy", str(city)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    good = run()
    assert (good.returncode, good.stderr) == (0, "")
    for name in FILES:
        assert secret(city, name).read_text().strip() not in good.stdout
    users = json.loads((city / "mosquitto" / "dynamic-security.json").read_text())["clients"]
    assert not any(user["password"] in good.stdout for user in users)
    secret(city, "grafana_admin_password").unlink()
    bad = run()
    assert bad.returncode == 1
    assert "1 wrong" in bad.stdout


@pytest.mark.parametrize("name", [name for name in FILES if name != "mosquitto.crt"])
@pytest.mark.parametrize("content", [None, ""])
def test_the_remedy_that_is_named_is_one_that_init_takes(city: Path, name: str, content: str | None) -> None:
    """Where the doctor says that init makes it, it does; where init refuses, the doctor says what init says."""
    path = secret(city, name)
    path.unlink()
    if content is not None:
        path.write_text(content)
        path.chmod(0o600)
    said = wrong(city)[name]
    path.unlink(missing_ok=True)
    if said.endswith(f"nabd init --data {city} makes it"):
        establish(city, (), real_ms())
        assert wrong(city) == {}
    else:
        assert "restore it from a backup" in said
        with pytest.raises(Refused) as refused:
            establish(city, (), real_ms())
        assert str(refused.value).partition(", and ")[2] == said.partition(", and ")[2]


def test_without_the_authoritys_key_the_brokers_certificate_is_not_promised(city: Path) -> None:
    secret(city, "ca.key").unlink()
    secret(city, "mosquitto.crt").unlink()
    said = wrong(city)["mosquitto.crt"]
    assert "ca.key, which signs a new one, is not here; bring that back, then repeat nabd init" in said
