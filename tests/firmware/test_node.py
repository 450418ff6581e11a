"""Real MicroPython nodes on a real broker, with a platform that shares no code with them."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nabd.process import free_port
from tests.firmware.street import ROOT, Line, Node, Platform, compiled, start_broker
from tests.waiting import eventually

MINUTE = 60_000
HOUR = 3_600_000


@pytest.fixture(scope="module")
def broker_port() -> Iterator[int]:
    port = free_port()
    broker = start_broker(port)
    yield port
    broker.stop()


@pytest.fixture
def platform(broker_port: int) -> Iterator[Platform]:
    found = Platform(broker_port)
    yield found
    found.close()


@pytest.fixture
def line(broker_port: int) -> Iterator[Line]:
    found = Line(broker_port)
    yield found
    found.close()


def test_a_light_is_born_obeys_reports_and_returns_to_its_schedule(
    platform: Platform, broker_port: int, tmp_path: Path
) -> None:
    node = Node("lamp-a", "street_light", broker_port, tmp_path)
    try:
        birth = eventually(lambda: platform.of("lamp-a", "status"), "birth")[0]
        assert birth["online"] is True
        assert (birth["boot"], birth["kind"], birth["reset"]) == (1, "street_light", "power_on")
        first = eventually(lambda: platform.readings("lamp-a"), "telemetry")[0]
        assert (first["seq"], first["v"]["level"]) == (1, 1.0)
        node.says("event=clock quality=synced")
        platform.reported("lamp-a", 0, by={"level": "schedule"})

        heard = len(platform.heard)
        version = platform.lease("lamp-a", "level", 0.3, 2 * MINUTE)
        report = platform.reported("lamp-a", heard, version=version, result="applied")
        assert report["state"] == {"level": 0.3}
        node.says("event=output by=lease target=level value=0.3")
        eventually(
            lambda: [
                reading
                for reading in platform.readings("lamp-a", heard)
                if reading["v"]["level_by"] == "lease" and 20 < reading["v"]["power_w"] < 25
            ],
            "a reading of the dimmed lamp, at once",
        )
        ended = platform.reported("lamp-a", heard, version=version, result="expired")
        assert ended["state"] == {"level": 1.0}
        assert ended["by"] == {"level": "schedule"}
        assert 0 <= ended["at"] - (version + 2 * MINUTE) < MINUTE, "on time: within a real second"
        assert node.end(signal.SIGINT) == 0
        assert node.lines[-1] == "event=stopped"
        assert json.loads((tmp_path / "lamp-a.node.json").read_text())["stopped"] is True
    finally:
        node.close()


def test_what_is_not_kept_comes_again_over_a_mended_line_and_what_is_kept_does_not(
    platform: Platform, line: Line, tmp_path: Path
) -> None:
    node = Node("bin-a", "waste_bin", line.port, tmp_path, "--period-s", "100000")
    try:
        message = eventually(lambda: platform.of("bin-a", "telemetry"), "telemetry")[0]
        node.says("quality=synced")
        heard = len(platform.heard)
        line.cut()
        node.says("event=disconnected")
        will = eventually(lambda: platform.of("bin-a", "status", heard), "the will")[0]
        assert will["online"] is False
        line.mend()
        again = eventually(lambda: platform.of("bin-a", "telemetry", heard), "the same reading again")[0]
        assert again["readings"] == message["readings"]
        births = [status for status in platform.of("bin-a", "status") if status["online"]]
        assert births[-1]["n"] > will["n"] == births[0]["n"]

        platform.say("bin-a", "kept", {"stream": message["stream"], "upto": 1})
        heard = len(platform.heard)
        platform.say("bin-a", "call", {"id": "c", "do": "measure", "args": {}, "expires": platform.now_ms() + HOUR})
        eventually(lambda: platform.readings("bin-a", heard), "a reading that was called for")
        line.cut()
        eventually(lambda: platform.of("bin-a", "status", heard), "the second will")
        heard = len(platform.heard)
        line.mend()
        eventually(lambda: platform.readings("bin-a", heard), "only the second comes again")
        assert {reading["seq"] for reading in platform.readings("bin-a", heard)} == {2}
        assert platform.of("bin-a", "telemetry", heard)[-1]["oldest"] == 2
    finally:
        node.close()


def test_a_node_whose_memory_is_full_of_readings_drops_some_sends_the_others_and_goes_on(
    platform: Platform, line: Line, tmp_path: Path
) -> None:
    root = compiled(tmp_path)
    node = Node("lamp-c", "street_light", line.port, tmp_path, "--period-s", "1", root=root, heap="128wK")
    try:
        eventually(
            lambda: [remark for remark in platform.of("lamp-c", "log") if remark["event"] == "outbox_full"],
            lambda: f"nothing is kept, and memory ends before the 512 readings of the outbox; it printed {node.lines}",
        )
        line.cut()
        node.says("no broker")
        heard = len(platform.heard)
        line.mend()
        newest = eventually(lambda: platform.readings("lamp-c", heard), lambda: f"it printed {node.lines}")[0]["seq"]
        assert newest < 512
        answered = 0

        def drained() -> bool:
            nonlocal answered
            said = platform.of("lamp-c", "telemetry", heard)
            for message in said[answered:]:
                seqs = [reading["seq"] for reading in message["readings"]]
                kept = {"stream": message["stream"], "upto": 0, "also": [[seqs[0], seqs[-1]]]}
                platform.say("lamp-c", "kept", kept)
            answered = len(said)
            return bool(said) and said[-1]["oldest"] > newest

        eventually(drained, lambda: f"all that it held is kept; it printed {node.lines}")
        assert len(platform.readings("lamp-c", heard)) > 50
        assert node.lives
        assert not [text for text in node.lines if "memory" in text.lower()]
    finally:
        node.close()


def test_a_valve_killed_while_open_is_shut_at_boot_and_says_interrupted(
    platform: Platform, broker_port: int, tmp_path: Path
) -> None:
    node = Node("valve-a", "irrigation_valve", broker_port, tmp_path)
    try:
        node.says("quality=synced")
        version = platform.lease("valve-a", "open", True, 20 * MINUTE)
        platform.reported("valve-a", 0, version=version, result="applied", state={"open": True})
        eventually(
            lambda: [reading for reading in platform.readings("valve-a") if reading["v"]["flow_l_min"] > 0],
            "water flows",
        )
        assert node.end(signal.SIGKILL) == -signal.SIGKILL
        eventually(lambda: not platform.of("valve-a", "status")[-1]["online"], "the will")
        carry = json.loads((tmp_path / "valve-a.node.json").read_text())["carry"]["open"]
        assert 20 * MINUTE - 5000 < carry["used_ms"] <= 20 * MINUTE, "the whole planned run counts as used"
    finally:
        node.close()
    heard = len(platform.heard)
    again = Node("valve-a", "irrigation_valve", broker_port, tmp_path)
    try:
        report = platform.reported("valve-a", heard, version=version, result="interrupted")
        assert report["state"] == {"open": False}
        birth = platform.of("valve-a", "status", heard)[0]
        assert (birth["boot"], birth["reset"]) == (2, "power_on")
        assert not [line for line in again.lines if "target=open value=1.0" in line]
        heard = len(platform.heard)
        assert again.end(signal.SIGTERM) == -signal.SIGTERM
        eventually(lambda: platform.of("valve-a", "status", heard), "SIGTERM is a power cut: the will is published")
    finally:
        again.close()


def test_a_node_waits_for_its_broker(tmp_path: Path) -> None:
    port = free_port()
    node = Node("lamp-b", "street_light", port, tmp_path)
    try:
        node.says(f'event=disconnected why="no broker on port {port}')
        time.sleep(1.5)  # several tries
        assert len([line for line in node.lines if "disconnected" in line]) == 1, "told once, not at each try"
        broker = start_broker(port)
        try:
            node.says("event=connected")
        finally:
            broker.stop()
        eventually(lambda: len([line for line in node.lines if "disconnected" in line]) > 1, "it says that it is gone")
        broker = start_broker(port)
        try:
            eventually(lambda: len([line for line in node.lines if "event=connected" in line]) > 1, "it comes back")
        finally:
            broker.stop()
    finally:
        node.close()


def test_stopping_leaves_no_task_and_no_socket_and_the_heap_does_not_grow(broker_port: int) -> None:
    run = subprocess.run(
        [ROOT / ".venv/bin/micropython", "-m", "tests.firmware.link_on_micropython", str(broker_port), "50"],
        cwd=ROOT, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    lines = run.stdout.splitlines()
    assert lines[0] == "ups=50 heard=50", run.stdout + run.stderr
    found = re.fullmatch(r"left tasks=0 sockets=0 grew=(-?\d+)", lines[1])
    assert found, run.stdout
    assert int(found[1]) < 2048, run.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "device: missing"),
        (["--device", "lamp", "--kind", "lantern"], "kind: 'lantern' is unknown; known: irrigation_valve, street_li"),
        (["--device", "Lamp", "--kind", "street_light"], "device: 'Lamp' must be 1 to 32 lower-case letters"),
        (["--device", "lamp", "--kind", "street_light", "--port"], "--port: needs a value"),
        (["--device", "lamp", "--kind", "street_light", "--port", "x"], "--port: 'x' is not a number"),
        (["--device", "lamp", "--kind", "street_light", "--colour", "red"], "--colour: no such option"),
        (["--device", "lamp", "--kind", "street_light", "--speed", "0"], "speed: 0 is not within 1 and 3600"),
        (
            ["--device", "lamp", "--kind", "street_light", "--keepalive-s", "4"],
            "keepalive_s: 4 is not within 5 and 3600",
        ),
        (["--device", "w", "--kind", "weather_station"], "kind: weather_station has no driver here"),
        (["--config", "/nowhere/node.json"], "/nowhere/node.json: cannot be read"),
        (["--device", "lamp", "--kind", "street_light", "--data", "/nowhere"], "data: /nowhere cannot be written"),
    ],
)
def test_a_wrong_configuration_is_one_sentence_and_exit_code_2(arguments: list[str], sentence: str) -> None:
    run = subprocess.run(
        [ROOT / ".venv/bin/micropython", "-m", "firmware.main", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert run.returncode == 2, run.stdout + run.stderr
    assert sentence in run.stdout
    assert "Traceback" not in run.stdout + run.stderr
