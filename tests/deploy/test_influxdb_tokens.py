"""`nabd init-influxdb` on a real InfluxDB: each token may do what it must and nothing else."""

import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from adapters.clock import real_ms
from nabd import founding_influxdb
from nabd.fault import Refused
from nabd.founding import establish
from nabd.process import free_port
from nabd.settings import Settings
from stand.influxdb import InfluxServer, never_set_up

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxServer]:
    """Running, and never set up."""
    running = never_set_up(tmp_path_factory.mktemp("influxdb"))
    yield running
    running.end()


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory, server: InfluxServer) -> Path:
    """What `nabd init` made, and `nabd init-influxdb` filled once."""
    data = tmp_path_factory.mktemp("city")
    establish(data, (), real_ms())
    found(server, data / "secrets")
    return data / "secrets"


def found(server: InfluxServer, secrets: Path, **settings: str) -> None:
    chosen = Settings(influxdb_url=server.url, **settings)  # type: ignore[arg-type]
    assert founding_influxdb.run(chosen, secrets, wait_s=5) == 0


def tokens(secrets: Path) -> dict[str, str]:
    return {name: (secrets / name).read_text() for name in ("influxdb_token", "grafana_influxdb_token")}


def write(server: InfluxServer, token: str, bucket: str = "nabd") -> int:
    return httpx.post(
        f"{server.url}/api/v2/write",
        params={"org": "nabd", "bucket": bucket},
        content=b"probe value=1",
        headers={"Authorization": f"Token {token}"},
    ).status_code


def seen(server: InfluxServer, token: str, path: str) -> int:
    """How many things of this kind the token may see; -1 when it is refused."""
    answer = httpx.get(server.url + path, headers={"Authorization": f"Token {token}"})
    return len(next(value for value in answer.json().values() if isinstance(value, list))) if answer.is_success else -1


def test_a_new_server_is_set_up_and_nabd_may_write_and_grafana_may_not(server: InfluxServer, secrets: Path) -> None:
    nabd, grafana = tokens(secrets).values()
    assert (write(server, nabd), write(server, grafana)) == (204, 403)
    for token in (nabd, grafana):
        rows = httpx.post(
            f"{server.url}/query",
            params={"db": "nabd"},
            data={"q": "SELECT value FROM probe"},
            headers={"Authorization": f"Token {token}"},
        ).json()["results"]
        assert rows[0]["series"][0]["name"] == "probe"


def test_neither_token_sees_other_buckets_tokens_or_users(server: InfluxServer, secrets: Path) -> None:
    for token in tokens(secrets).values():
        assert seen(server, token, "/api/v2/buckets") == 1
        assert seen(server, token, "/api/v2/authorizations") <= 0
        assert seen(server, token, "/api/v2/users") <= 0
        backup = httpx.get(f"{server.url}/api/v2/backup/metadata", headers={"Authorization": f"Token {token}"})
        assert backup.status_code == 401


def test_tokens_that_work_are_kept_and_nothing_is_said_of_them(
    server: InfluxServer, secrets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tokens(secrets)
    found(server, secrets)
    assert tokens(secrets) == before
    said = capsys.readouterr().out
    assert said.count("works, kept") == 2
    assert not any(token in said for token in before.values())


def test_a_token_that_was_lost_is_made_anew_and_the_old_one_taken_back(server: InfluxServer, secrets: Path) -> None:
    before = tokens(secrets)
    (secrets / "influxdb_token").write_text("something else")
    found(server, secrets)
    after = tokens(secrets)
    assert after["grafana_influxdb_token"] == before["grafana_influxdb_token"]
    assert (write(server, after["influxdb_token"]), write(server, before["influxdb_token"])) == (204, 401)


def test_it_writes_into_the_file_that_is_there_because_a_container_may_have_it_mounted(
    server: InfluxServer, secrets: Path
) -> None:
    file = secrets / "influxdb_token"
    before = file.stat()
    file.write_text("x" * 500)
    found(server, secrets)
    after = file.stat()
    assert (after.st_ino, stat.S_IMODE(after.st_mode)) == (before.st_ino, 0o600)
    assert write(server, file.read_text()) == 204


def test_another_bucket_is_made_with_a_token_of_its_own(server: InfluxServer, secrets: Path) -> None:
    found(server, secrets, influxdb_bucket="second")
    token = tokens(secrets)["influxdb_token"]
    assert (write(server, token, "second"), write(server, token, "nabd")) == (204, 403)
    found(server, secrets)


def test_a_wrong_password_is_said_with_the_remedy(server: InfluxServer, secrets: Path, tmp_path: Path) -> None:
    shutil.copytree(secrets, tmp_path / "secrets")
    (tmp_path / "secrets" / "influxdb_admin_password").write_text("not the password")
    (tmp_path / "secrets" / "influxdb_token").write_text("lost")
    with pytest.raises(Refused, match=r"does not take the password of user nabd-admin; .*influxdb_admin_password"):
        found(server, tmp_path / "secrets")


def test_a_server_that_does_not_answer_is_waited_for_and_then_named(tmp_path: Path) -> None:
    establish(tmp_path, (), real_ms())
    chosen = Settings(influxdb_url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Refused, match=r"http://127\.0\.0\.1:\d+: does not answer .*is it running"):
        founding_influxdb.run(chosen, tmp_path / "secrets", wait_s=0)


def test_without_nabd_init_the_missing_file_and_the_remedy_are_named(server: InfluxServer, tmp_path: Path) -> None:
    with pytest.raises(
        Refused, match=r"influxdb_admin_password: cannot be read .*: nabd init makes it where there is none"
    ):
        found(server, tmp_path)
