"""What the user can mend ends a command with one clear message and exit code 2, and no traceback."""

import json
import socket
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from adapters.clock import real_ms
from adapters.log.sqlite_log import SqliteLog
from contract.records import Tick
from nabd.process import free_port
from tests.e2e.conftest import City
from tests.waiting import eventually

Nabd = Callable[..., "subprocess.CompletedProcess[str]"]


def up(nabd: Nabd, data: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    ports = ("--http-port", str(free_port()), "--mqtt-port", str(free_port()))
    return nabd("up", "--data", str(data), *ports, *options)


def refused(done: "subprocess.CompletedProcess[str]", *parts: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in done.stderr


@pytest.mark.parametrize("option", ["--http-port", "--mqtt-port"])
def test_a_port_in_use_is_named_with_the_option_that_chooses_another(nabd: Nabd, tmp_path: Path, option: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused(up(nabd, tmp_path / "data", option, port), port, option)


def test_a_data_folder_of_another_version_is_refused(nabd: Nabd, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    clock = {"city_origin_ms": 0, "real_origin_ms": 0, "speed": 1}
    (data / "format.json").write_text(json.dumps({"layout": 7, "clock": clock}))
    refused(up(nabd, data), "format.json", "data layout 7", "reads layout 1")


def test_a_data_folder_of_another_clock_is_refused(city: City, nabd: Nabd) -> None:
    platform = city.up("--speed", "10")
    assert platform.stop() == 0
    refused(up(nabd, city.data, "--speed", "20"), "runs at speed 10, not 20", "leave --speed out")


def test_a_data_folder_in_use_is_refused_with_its_process(city: City, nabd: Nabd) -> None:
    platform = city.up()
    refused(up(nabd, city.data), "is in use", str(platform.pid))


def test_a_broken_rule_file_is_named_with_line_and_column(city: City, nabd: Nabd) -> None:
    assert city.up().stop() == 0
    broken = city.data / "site" / "rules" / "broken.yaml"
    broken.write_text(
        "group: x\nrules:\n  - name: a\n    kind: street_light\n    when: levle > 0.5\n", encoding="utf-8"
    )
    refused(up(nabd, city.data), "broken.yaml:5:11:", "levle", "'level'")


def test_a_broken_site_file_is_named_with_line_and_column(city: City, nabd: Nabd) -> None:
    assert city.up().stop() == 0
    for site in (city.data / "site" / "sites").glob("*.yaml"):
        text = site.read_text(encoding="utf-8")
        site.write_text(text.replace("latitude:", "latitud:", 1), encoding="utf-8")
    refused(up(nabd, city.data), "unknown key 'latitud'; did you mean 'latitude'?")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[log]\ndays_max = 'x'\n", ["[log] days_max", "'x' is not allowed"]),
        ("[http\n", ["nabd.toml:1:", "not readable as TOML"]),
        ("[fleet]\nlamps = 3\n", ["[fleet] lamps: unknown key"]),
    ],
)
def test_an_unreadable_config_is_named(nabd: Nabd, tmp_path: Path, text: str, parts: list[str]) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "nabd.toml").write_text(text)
    refused(up(nabd, data), *parts)


def test_a_damaged_log_or_state_is_refused_with_the_file(city: City, nabd: Nabd) -> None:
    assert city.up().stop() == 0
    for name in ("log.db", "state.db", "store.duckdb"):
        whole = (city.data / name).read_bytes()
        (city.data / name).write_bytes(b"this is no database" * 500)
        refused(up(nabd, city.data), name)
        (city.data / name).write_bytes(whole)


def test_a_log_that_is_younger_than_the_store_is_refused_instead_of_passed_over(city: City, nabd: Nabd) -> None:
    platform = city.up("--lights", "2", "--speed", "60")
    eventually(lambda: city.get("ledger")["accepted"] >= 2, "some readings")
    assert platform.stop() == 0
    for part in city.data.glob("log.db*"):
        part.unlink()
    refused(up(nabd, city.data), "store.duckdb", "has read the log up to", "restore all files")


def test_a_start_that_is_no_time_is_refused(nabd: Nabd, tmp_path: Path) -> None:
    refused(up(nabd, tmp_path / "data", "--start", "yesterday"), "--start 'yesterday'", "ISO 8601")


def test_devices_without_a_platform_says_what_to_do(nabd: Nabd, tmp_path: Path) -> None:
    refused(nabd("devices", "list", "--data", str(tmp_path)), "no platform runs on data folder", "--url")


def test_sigterm_stops_cleanly_and_the_next_start_goes_on(city: City) -> None:
    platform = city.up("--lights", "5", "--speed", "60")
    assert platform.stop() == 0
    log = city.platform_log()
    assert "event=stopped" in log
    assert "left_behind" not in log
    assert not (city.data / "run.json").exists()
    city.up()


@pytest.mark.parametrize("url", ["http://[::1", "notaurl", "http://127.0.0.1:1"])
def test_an_address_that_is_none_or_does_not_answer_is_named(nabd: Nabd, url: str) -> None:
    refused(nabd("devices", "list", "--url", url), url)
    refused(nabd("simulate", "--url", url), url)


@pytest.mark.parametrize("start", ["0001-01-01", "9999-12-31T23:59:59Z"])
def test_a_start_beyond_what_clocks_count_is_refused_before_it_is_written_down(
    nabd: Nabd, tmp_path: Path, start: str
) -> None:
    refused(up(nabd, tmp_path / "data", "--start", start), f"--start {start!r}", "1970 to 2199")
    assert not (tmp_path / "data").exists()


def test_an_embedded_broker_that_is_killed_alone_comes_back_and_nothing_is_lost(city: City) -> None:
    platform = city.up("--lights", "10", "--bins", "3", "--valves", "2", "--speed", "60")
    eventually(lambda: city.get("ledger")["accepted"] > 20, "the fleet's first readings")
    (broker,) = psutil.Process(platform.pid).children()
    broker.kill()
    eventually(lambda: "event=broker_started_again" in city.platform_log(), "it is started again")
    before = city.get("ledger")["accepted"]
    eventually(lambda: city.get("ledger")["accepted"] > before + 20, "devices come back and send")
    eventually(lambda: not platform.client.health()["reasons"], "the platform says that it is well")
    counts = city.get("ledger")
    assert (counts["gone"], counts["quarantined"]) == (0, 0)
    assert platform.stop() == 0


def test_a_data_folder_that_is_removed_while_in_use_stops_the_keeping_and_says_so(city: City) -> None:
    platform = city.up("--lights", "10", "--speed", "60")
    eventually(lambda: city.get("ledger")["accepted"] > 5, "the fleet's first readings")
    (city.data / "log.db").rename(city.folder / "log.db")
    reasons = eventually(lambda: platform.client.health()["reasons"], "the health page says it")
    assert "log.db was removed, moved or replaced while in use" in " ".join(reasons)
    held = city.get("ledger")["accepted"]
    (city.folder / "log.db").rename(city.data / "log.db")
    eventually(lambda: city.get("ledger")["accepted"] > held, "back in its place, it goes on")
    assert platform.stop() == 0
    assert "Traceback" not in city.platform_log()


def test_what_cannot_be_made_again_from_a_log_that_was_cut_is_refused_or_told_until_it_is_accepted(
    city: City, nabd: Nabd
) -> None:
    assert city.up().stop() == 0
    far_ms = real_ms() + 60 * 86_400_000
    with closing(SqliteLog(city.data / "log.db", bytes_max=50_000_000, days_max=30)) as log:
        log.append([Tick(listening=True)], real_ms())
        for consumer in log.consumers():
            log.consumed(consumer, log.last())
        assert log.cut(far_ms)
        first = log.last()
    (city.data / "store.duckdb").unlink()
    whole = (city.data / "state.db").read_bytes()
    (city.data / "state.db").unlink()
    refused(up(nabd, city.data), "state.db: is missing", f"log.db begins at {first}", "nabd data restore")
    assert not (city.data / "state.db").exists(), "no empty one takes its place"
    (city.data / "state.db").write_bytes(whole)
    platform = city.start()
    lacks = f"store: lacks what the log held from position 1 to {first - 1}"
    eventually(lambda: any(lacks in reason for reason in platform.client.health()["reasons"]), "it is told")
    assert platform.stop() == 0
    platform = city.start()
    eventually(lambda: any(lacks in reason for reason in platform.client.health()["reasons"]), "and told again")
    done = nabd("data", "accept-loss", "--data", str(city.data))
    assert (done.returncode, done.stdout) == (
        0, f"accepted: positions 1 to {first - 1} of the log are not in the store\n",
    )  # fmt: skip
    assert platform.client.health()["reasons"] == []
    assert "lacks nothing" in nabd("data", "accept-loss", "--data", str(city.data)).stdout
