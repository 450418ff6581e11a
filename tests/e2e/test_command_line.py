"""The command line works on a running platform, on files alone, and tells what is wrong."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from nabd.generate import generated
from nabd.process import free_port
from tests.e2e.conftest import City
from tests.waiting import eventually

Nabd = Callable[..., "subprocess.CompletedProcess[str]"]


def test_devices_are_added_and_listed_over_the_running_platform(city: City, nabd: Nabd) -> None:
    city.up()
    data = ("--data", str(city.data))
    added = nabd(
        "devices", "add", "lamp-7", "--kind", "street_light", "--commune", "berkane", "--zone", "centre",
        "--set", "rated_power_w=90", *data,
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    assert "lamp-7 is registered as street_light on lamp-7 in berkane" in added.stdout
    listed = nabd("devices", "list", "--kind", "street_light", *data)
    assert listed.stdout.split() == ["lamp-7", "street_light", "berkane", "centre", "lamp-7"]
    assert city.get("devices/lamp-7")["settings"]["rated_power_w"] == 90.0


def test_what_the_kind_does_not_allow_is_refused_with_every_fault(city: City, nabd: Nabd) -> None:
    city.up()
    done = nabd(
        "devices", "add", "lamp-7", "--kind", "street_light", "--commune", "berkane", "--data", str(city.data),
        "--set", "rated_power_w=-1", "--set", "colour=red",
    )  # fmt: skip
    assert done.returncode == 2
    assert "rated_power_w" in done.stderr
    assert "colour" in done.stderr
    assert not city.get("devices")["items"]


def test_the_shipped_rules_are_good_and_their_tests_pass(nabd: Nabd) -> None:
    checked = nabd("rules", "check")
    assert checked.returncode == 0, checked.stdout
    assert checked.stderr == "nabd-data/site/rules is not there, so these are the rules that Nabd brings\n"
    tested = nabd("rules", "test")
    assert tested.returncode == 0, tested.stdout
    assert tested.stdout.rstrip().endswith("0 failed")


def test_rules_check_names_every_fault_of_every_file_and_ends_with_2(nabd: Nabd, tmp_path: Path) -> None:
    rules = "group: g\nrules:\n  - {name: a, kind: street_light, when: levle > 1}\n  - {name: a, kin: x}\n"
    (tmp_path / "one.yaml").write_text(rules, encoding="utf-8")
    (tmp_path / "two.yaml").write_text("group: [\n", encoding="utf-8")
    done = nabd("rules", "check", "one.yaml", "two.yaml")
    assert done.returncode == 2
    lines = done.stdout.splitlines()
    assert any(line.startswith("one.yaml:3:") and "levle" in line for line in lines)
    assert any(line.startswith("one.yaml:4:") for line in lines)
    assert any(line.startswith("two.yaml:") for line in lines)


def test_a_failing_rule_test_ends_with_1_and_says_what_was_there_instead(nabd: Nabd, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(
        "group: g\nrules:\n  - name: bright\n    kind: street_light\n    when: level > 0.5\n"
        "    alarm: {severity: minor, text: {en: Bright, fr: Vif, ar: ساطع}}\n",
        encoding="utf-8",
    )
    (tmp_path / "r.test.yaml").write_text(
        "tests:\n  - name: never bright\n    date: 2026-11-24\n    devices: {lamp-1: {kind: street_light}}\n"
        "    readings:\n      lamp-1: {from: 21:00, every: 1m, level: [1.0 x 3]}\n"
        "    expect:\n      - {at: 21:02, no_alarm: bright, device: lamp-1}\n",
        encoding="utf-8",
    )
    done = nabd("rules", "test", str(tmp_path))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED" in done.stdout
    assert "bright" in done.stdout


def test_doctor_finds_nothing_wrong_on_a_free_machine_and_a_taken_port_on_another(city: City, nabd: Nabd) -> None:
    city.data.mkdir()
    (city.data / "nabd.toml").write_text(f"[http]\nport = {free_port()}\n[mqtt]\nport = {free_port()}\n")
    good = nabd("doctor", "--data", str(city.data))
    assert good.returncode == 0, good.stdout
    (city.data / "nabd.toml").unlink()
    platform = city.up()
    running = nabd("doctor", "--data", str(city.data))
    assert running.returncode == 0, running.stdout
    assert f"process {platform.pid}" in running.stdout
    (city.folder / "other").mkdir()
    (city.folder / "other" / "nabd.toml").write_text(f"[http]\nport = {city.http_port}\n")
    taken = nabd("doctor", "--data", str(city.folder / "other"))
    assert taken.returncode == 1
    assert f"127.0.0.1:{city.http_port} is in use" in taken.stdout
    assert "--http-port" in taken.stdout


def test_a_fleet_in_its_own_process_registers_itself_and_reports(city: City, nabd: Nabd) -> None:
    city.up("--speed", "60")
    done = nabd(
        "simulate", "--url", f"http://127.0.0.1:{city.http_port}", "--mqtt-port", str(city.mqtt_port),
        "--lights", "4", "--bins", "2", "--valves", "1", "--for", "6",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    eventually(lambda: city.get("ledger")["accepted"] >= 8, "a reading of each device and the station")
    assert city.get("devices")["total"] == 8


def test_the_generated_files_are_fresh() -> None:
    for path, text in generated().items():
        assert path.read_text(encoding="utf-8") == text, f"{path} is out of date; run: make generate"
