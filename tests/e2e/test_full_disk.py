"""A disk that is full, of the log, the state, the store or a start: told apart, waited for, nothing lost or twice."""

import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from console.language import languages
from nabd.process import Child, free_port
from tests.e2e.conftest import City, Nabd
from tests.e2e.test_three_nodes import stored_names
from tests.e2e.test_trouble import refused
from tests.small_disk import SmallDisk, small_disk_or_skip
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)  # devices send again after a minute

CLOCK = ("--speed", "60", "--start", "2026-11-24T18:00:00Z")
DISK_BYTES = 24_000_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk_or_skip(tmp_path / "disk", DISK_BYTES) as disk:
        yield disk


def fleet(city: City) -> Child:
    command = [sys.executable, "-m", "nabd", "simulate", "--url", f"http://127.0.0.1:{city.http_port}", "--mqtt-port"]
    return city.run([*command, str(city.mqtt_port), "--lights", "25", "--bins", "5", "--valves", "3"])


def put_on(city: City, disk: SmallDisk, name: str) -> None:
    """The file of the data folder lives on that disk."""
    city.data.mkdir(exist_ok=True)
    (city.data / name).symlink_to(disk.folder / name)


def put_all_but_the_store_elsewhere(city: City, disk: SmallDisk) -> None:
    """DuckDB writes beside its file."""
    elsewhere = city.folder / "elsewhere"
    elsewhere.mkdir()
    city.data.symlink_to(disk.folder)
    for name in ("log.db", "state.db"):
        (disk.folder / name).symlink_to(elsewhere / name)


def accepted(city: City) -> int:
    return int(city.get("ledger")["accepted"])


def reasons(city: City) -> str:
    return " | ".join(city.running.client.health()["reasons"])


def metric(city: City, name: str) -> float:
    [line] = [line for line in city.ask("/metrics").text.splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


def all_is_there_once(city: City, devices: Child) -> None:
    """Every gap is closed by what devices held; then each reading that was kept is stored, and once."""
    eventually(lambda: not reasons(city), "it is well again, without a restart", 90)
    before = accepted(city)
    eventually(lambda: accepted(city) > before + 50, "life goes on", 90)
    eventually(lambda: city.get("ledger")["missing"] == 0, "every gap is closed", 90)
    counts = city.get("ledger")
    assert (counts["gone"], counts["quarantined"]) == (0, 0)
    kept = {
        (device["id"], stream["stream"], seq)
        for device in city.get("devices", limit=100)["items"]
        for stream in city.get(f"devices/{device['id']}/ledger")["streams"]
        for first, last in stream["have"]
        for seq in range(first, last + 1)
    }
    devices.stop()
    assert city.running.stop() == 0
    said = city.platform_log()
    assert "Traceback" not in said, said[max(0, said.find("Traceback") - 500) :][:4000]
    stored = stored_names(city.data)
    assert len(stored) == len(set(stored)), "no reading is stored twice"
    assert kept <= set(stored), "no reading that was kept is missing"


def says_in_three_languages(city: City, disk: SmallDisk, key: str) -> None:
    """It stays full meanwhile: what a checkpoint frees would end the fault for a moment."""
    for code, language in languages().items():
        beginning = language.text(key).split(":")[0].split("\u00a0")[0]

        def is_shown(code: str = code, beginning: str = beginning) -> bool:
            disk.fill()
            return beginning in unescape(unescape(city.ask(f"/{code}/health").text))

        eventually(is_shown, f"the page in {code} says: {beginning}")


def test_while_the_logs_disk_is_full_nothing_is_kept_devices_hold_and_it_goes_on_by_itself(
    city: City, disk: SmallDisk
) -> None:
    put_on(city, disk, "log.db")
    city.up(*CLOCK)
    devices = fleet(city)
    eventually(lambda: accepted(city) > 50, "the fleet's first readings")

    def is_holding() -> bool:
        disk.fill()  # the log frees what it can
        return "log.db: its disk is full" in reasons(city) and bool(city.running.client.health()["holding"])

    eventually(is_holding, "it says that it keeps nothing, and why", 120)
    eventually(lambda: metric(city, "nabd_log_ticks_missed_total") > 0, "missed ticks are counted")
    assert "make room on it" in reasons(city)
    assert metric(city, "nabd_holding") == 1
    says_in_three_languages(city, disk, "reason.log_disk_full")
    held = accepted(city)
    eventually(lambda: metric(city, "nabd_ingest_retries_total") > 2, "it tries again")
    assert accepted(city) == held, "nothing is called kept"
    disk.free()
    all_is_there_once(city, devices)


@pytest.mark.slow
def test_while_the_states_disk_is_full_readings_are_kept_and_stored(city: City, disk: SmallDisk) -> None:
    put_on(city, disk, "state.db")
    city.up(*CLOCK)
    devices = fleet(city)
    eventually(lambda: accepted(city) > 50, "the fleet's first readings")

    def stands() -> bool:
        disk.fill()
        return "decider: " in reasons(city)

    eventually(stands, "rules say that they stand still, and why", 120)
    assert "state.db: its disk is full" in reasons(city)
    assert "ingest is holding" not in reasons(city)
    says_in_three_languages(city, disk, "fault.decider_disk_full")
    before = accepted(city)
    eventually(lambda: accepted(city) > before + 20, "readings are kept meanwhile", 90)
    disk.free()
    all_is_there_once(city, devices)


def test_while_the_stores_disk_is_full_readings_are_kept_and_shown_and_it_catches_up(
    city: City, disk: SmallDisk
) -> None:
    put_all_but_the_store_elsewhere(city, disk)
    city.up(*CLOCK)
    devices = fleet(city)
    eventually(lambda: accepted(city) > 50, "the fleet's first readings")

    def stands() -> bool:
        disk.fill()
        return "store.duckdb: its disk is full" in reasons(city)

    eventually(stands, "the store says that it stands still, and why", 120)
    says_in_three_languages(city, disk, "fault.store_disk_full")
    before = accepted(city)
    eventually(lambda: accepted(city) > before, "readings are kept meanwhile", 60)
    lamp = city.get("devices", limit=1, kind="street_light")["items"][0]["id"]
    seen = city.get(f"devices/{lamp}")["latest"]
    eventually(lambda: city.get(f"devices/{lamp}")["latest"] != seen, "the live view goes on", 60)
    disk.free()
    all_is_there_once(city, devices)


@pytest.mark.slow
def test_a_log_that_is_full_because_the_store_stands_still_frees_itself_when_that_reads_on(
    city: City, disk: SmallDisk
) -> None:
    put_all_but_the_store_elsewhere(city, disk)
    (disk.folder / "nabd.toml").write_text("[log]\nbytes_max = 1000000\n", encoding="utf-8")
    city.up("--speed", "600", "--start", "2026-11-24T18:00:00Z")
    devices = fleet(city)
    eventually(lambda: accepted(city) > 50, "the fleet's first readings")

    def is_full() -> bool:
        disk.fill()
        return "([log] bytes_max), and consumer store has read up to" in reasons(city)

    eventually(is_full, "the log is full, and the store is named", 150)
    held = accepted(city)
    disk.free()
    eventually(lambda: "ingest is holding" not in reasons(city), "it keeps again", 90)
    eventually(lambda: accepted(city) > held, "readings come in")
    all_is_there_once(city, devices)


@pytest.mark.parametrize("is_new", [True, False])
def test_a_start_on_a_full_disk_is_refused_with_the_file_and_the_remedy_and_harms_nothing(
    city: City, nabd: Nabd, disk: SmallDisk, is_new: bool
) -> None:
    city.data.symlink_to(disk.folder)
    before = 0
    if not is_new:
        city.up("--lights", "5", *CLOCK)
        eventually(lambda: accepted(city) > 5, "some readings")
        before = accepted(city)
        city.running.kill()
    disk.fill()
    ports = ("--http-port", str(free_port()), "--mqtt-port", str(free_port()))
    done = nabd("up", "--data", str(city.data), *ports, within_s=120)
    said = ("No space left on device",) if is_new else (": its disk is full", "make room on it, then start again")
    refused(done, str(city.data), *said)
    disk.free()
    city.up()
    assert accepted(city) >= before
