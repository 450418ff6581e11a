"""nabd init makes a city's secrets once, whole, for its owner's eyes only."""

import json
import os
import signal
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from adapters import certificates
from adapters.clock import real_ms
from nabd import founding
from nabd.cli import cli
from nabd.fault import Refused

DAY_MS = 86_400_000
ROOT = Path(__file__).parents[2]
NAMES = {"ca.key", "ca.crt", "mosquitto.key", "mosquitto.crt", *founding.PASSWORDS}


def contents(data: Path) -> dict[str, bytes]:
    return {str(path.relative_to(data)): path.read_bytes() for path in data.rglob("*") if path.is_file()}


def test_everything_is_made_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["init", "--data", str(tmp_path)])
    assert result.exit_code == 0, result.output
    folder = tmp_path / "secrets"
    assert {path.name for path in folder.iterdir()} == NAMES
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in [*folder.iterdir(), tmp_path / "mosquitto" / "dynamic-security.json"]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for name in founding.PASSWORDS:
        assert (folder / name).read_text() not in result.output, "no secret is printed"


def test_no_two_secrets_and_no_two_cities_share_a_password(tmp_path: Path) -> None:
    passwords = set()
    for city in ("one", "two"):
        founding.establish(tmp_path / city, (), real_ms())
        passwords |= {founding.secret(tmp_path / city, name).read_text() for name in founding.PASSWORDS}
    assert len(passwords) == 2 * len(founding.PASSWORDS)
    assert all(len(password) >= 43 for password in passwords), "256 bits each"


def test_a_second_run_changes_nothing_and_says_so(tmp_path: Path) -> None:
    founding.establish(tmp_path, (), real_ms())
    before = contents(tmp_path)
    found = founding.establish(tmp_path, (), real_ms())
    assert not [piece for piece in found if piece.made]
    assert contents(tmp_path) == before


@pytest.mark.parametrize("gone", ["influxdb_token", "grafana_admin_password", "mosquitto/dynamic-security.json"])
def test_a_second_run_makes_what_is_missing_and_only_that(tmp_path: Path, gone: str) -> None:
    founding.establish(tmp_path, (), real_ms())
    before = contents(tmp_path)
    path = tmp_path / gone if "/" in gone else founding.secret(tmp_path, gone)
    path.unlink()
    assert [piece.path for piece in founding.establish(tmp_path, (), real_ms()) if piece.made] == [path]
    after = contents(tmp_path)
    assert {name for name in before if before[name] != after[name]} == {str(path.relative_to(tmp_path))}


@pytest.mark.parametrize("gone", ["mqtt_platform_password", "mqtt_admin_password", "ca.crt", "mosquitto.key"])
def test_what_would_not_fit_the_rest_is_refused_with_the_remedy(tmp_path: Path, gone: str) -> None:
    founding.establish(tmp_path, (), real_ms())
    founding.secret(tmp_path, gone).unlink()
    before = contents(tmp_path)
    with pytest.raises(Refused, match=rf"{gone}: is missing.*restore"):
        founding.establish(tmp_path, (), real_ms())
    assert contents(tmp_path) == before


def test_the_authoritys_key_may_be_kept_elsewhere(tmp_path: Path) -> None:
    founding.establish(tmp_path, (), real_ms())
    founding.secret(tmp_path, "ca.key").unlink()
    assert not [piece for piece in founding.establish(tmp_path, (), real_ms()) if piece.made]
    with pytest.raises(Refused, match=r"ca\.key: is missing"):
        founding.renew(tmp_path, (), real_ms())


def test_the_certificate_names_the_hosts_given_and_is_the_authoritys(tmp_path: Path) -> None:
    founding.establish(tmp_path, ("broker.berkane.ma", "10.1.2.3"), real_ms())
    pem = founding.secret(tmp_path, "mosquitto.crt").read_bytes()
    known = certificates.read(pem)
    assert set(known.hosts) == {"broker.berkane.ma", "10.1.2.3", *founding.HOSTS}
    assert "CN=broker.berkane.ma" in known.subject
    assert 824 * DAY_MS < known.not_after_ms - real_ms() <= 825 * DAY_MS
    authority = founding.secret(tmp_path, "ca.crt").read_bytes()
    assert certificates.is_signed_by(pem, authority)
    assert certificates.belongs(founding.secret(tmp_path, "mosquitto.key").read_bytes(), pem)
    ssl.create_default_context(cadata=authority.decode())


def hosts(data: Path) -> set[str]:
    return set(certificates.read(founding.secret(data, "mosquitto.crt").read_bytes()).hosts)


def test_renewing_keeps_authority_key_and_hosts(tmp_path: Path) -> None:
    founding.establish(tmp_path, ("broker.berkane.ma",), real_ms())
    before = contents(tmp_path)
    founding.renew(tmp_path, (), real_ms())
    after = contents(tmp_path)
    assert {name for name in before if before[name] != after[name]} == {"secrets/mosquitto.crt"}
    assert hosts(tmp_path) == {"broker.berkane.ma", *founding.HOSTS}
    assert stat.S_IMODE(founding.secret(tmp_path, "mosquitto.crt").stat().st_mode) == 0o600


def test_a_host_is_added_and_those_in_use_stay(tmp_path: Path) -> None:
    founding.establish(tmp_path, ("broker.berkane.ma",), real_ms())
    founding.renew(tmp_path, ("10.1.2.3",), real_ms())
    assert hosts(tmp_path) == {"broker.berkane.ma", "10.1.2.3", *founding.HOSTS}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--host", "two words"], "'two words' is neither a host name nor an address"),
        (["--host", ""], "'' is neither a host name nor an address"),
        (["--renew-certificate"], "mosquitto.crt: is missing; run nabd init first"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    result = CliRunner().invoke(cli, ["init", "--data", str(tmp_path), *arguments])
    assert result.exit_code == 2
    assert sentence in result.output


def test_a_host_that_the_certificate_lacks_is_not_passed_over(tmp_path: Path) -> None:
    founding.establish(tmp_path, ("localhost",), real_ms())
    with pytest.raises(Refused, match=r"not for broker\.berkane\.ma; add --renew-certificate"):
        founding.establish(tmp_path, ("broker.berkane.ma",), real_ms())


@pytest.mark.parametrize("name", ["ca.crt", "mosquitto.crt", "ca.key"])
@pytest.mark.parametrize("option", [[], ["--renew-certificate"]])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, option: list[str]) -> None:
    founding.establish(tmp_path, (), real_ms())
    founding.secret(tmp_path, name).write_text("not PEM")
    result = CliRunner().invoke(cli, ["init", "--data", str(tmp_path), *option])
    if name == "ca.key" and not option:
        assert result.exit_code == 0, "nothing had to be signed"
        return
    assert result.exit_code == 2
    assert "no certificate in PEM" in result.output or "no private key in PEM" in result.output


def test_renewing_with_the_hosts_named_mends_a_damaged_certificate(tmp_path: Path) -> None:
    founding.establish(tmp_path, (), real_ms())
    founding.secret(tmp_path, "mosquitto.crt").write_text("not PEM")
    founding.renew(tmp_path, ("broker.berkane.ma",), real_ms())
    assert hosts(tmp_path) == {"broker.berkane.ma", *founding.HOSTS}


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("a file where a folder belongs")
    result = CliRunner().invoke(cli, ["init", "--data", str(tmp_path)])
    assert result.exit_code == 2
    assert "secrets: cannot be used" in result.output


def test_no_password_stands_in_the_brokers_file(tmp_path: Path) -> None:
    founding.establish(tmp_path, (), real_ms())
    text = (tmp_path / "mosquitto" / "dynamic-security.json").read_text()
    for name in ("mqtt_platform_password", "mqtt_admin_password"):
        assert founding.secret(tmp_path, name).read_text() not in text
    assert {client["username"] for client in json.loads(text)["clients"]} == {"nabd-platform", "nabd-admin"}


def test_doctor_sees_a_secret_that_others_may_read(tmp_path: Path) -> None:
    founding.establish(tmp_path, (), real_ms())
    told = CliRunner().invoke(cli, ["doctor", "--data", str(tmp_path)]).output
    assert "ok    secrets: 10 files" in told
    file = founding.secret(tmp_path, "influxdb_token")
    file.chmod(0o640)
    told = CliRunner().invoke(cli, ["doctor", "--data", str(tmp_path)]).output
    assert f"WRONG influxdb_token: {file} is open to others (mode 640); chmod 600 {file}" in told


def test_what_a_killed_run_left_goes_with_the_next_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    founding.establish(tmp_path, (), real_ms())
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    dead, alive = int(ended.stdout), os.getppid()
    for folder in ("secrets", "mosquitto"):
        for process in (dead, alive):
            (tmp_path / folder / f".influxdb_token.{process}").write_text("half")
        (tmp_path / folder / ".profile").write_text("a hand's own")
    founding.establish(tmp_path, (), real_ms())
    for folder in ("secrets", "mosquitto"):
        hidden = {path.name for path in (tmp_path / folder).iterdir() if path.name.startswith(".")}
        assert hidden == {f".influxdb_token.{alive}", ".profile"}


def test_init_killed_at_its_worst_moment_leaves_what_the_next_one_clears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child is ended with -9 between the writing of a secret and its name."""
    script = (
        "import os, signal; from pathlib import Path; from nabd import founding\n"
        "os.link = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"founding.establish(Path({str(tmp_path)!r}), (), 1_795_457_855_000)"
    )
    killed = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [path.name[:8] for path in (tmp_path / "secrets").iterdir()] == [".ca.key."]
    founding.establish(tmp_path, (), real_ms())
    assert {path.name for path in (tmp_path / "secrets").iterdir()} == NAMES
