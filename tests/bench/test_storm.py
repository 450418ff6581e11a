"""The storms' fleet keeps the wire's rules, and a small storm goes through the real platform without loss."""

import json
from pathlib import Path
from random import Random

import pytest

from bench import storm
from bench.storm_device import BACKLOG_MAX, LeanDevice, Tally
from contract.wire import messages
from contract.wire.messages import PAYLOAD_BYTES_MAX

NOW_MS = 1_795_457_855_400
DEVICES = 200


def lean(backlog: int = 700) -> tuple[LeanDevice, Tally]:
    tally = Tally()
    device = LeanDevice("storm-1", tally, Random(1), now_ms=NOW_MS, backlog=backlog, spacing_ms=664_000)
    device.reconnected(0.0)
    return device, tally


def say_kept(device: LeanDevice, upto: int, also: object = (), now_s: float = 1.0) -> None:
    device.received("nabd/1/storm-1/kept", messages.kept(device.stream, upto, also), now_s, NOW_MS)


def seqs(payload: bytes) -> list[int]:
    return [reading["seq"] for reading in json.loads(payload)["readings"]]


def test_at_most_four_messages_of_backlog_and_one_live_one_are_on_the_way() -> None:
    device, _ = lean()
    said = [seqs(payload) for _, payload, _, _ in device.take(0.0, 20)]
    assert said == [[700], *(list(range(first, first + 64)) for first in (1, 65, 129, 193))]
    assert len(said) == BACKLOG_MAX + 1
    assert device.take(0.0, 20) == []


def test_no_message_is_longer_than_the_wire_allows() -> None:
    device, _ = lean()
    for _, payload, _, _ in device.take(0.0, 20):
        assert len(payload) <= PAYLOAD_BYTES_MAX


def test_what_is_kept_is_forgotten_and_makes_room_and_the_rest_is_sent_again_after_a_minute() -> None:
    device, tally = lean()
    device.take(0.0, 20)
    say_kept(device, 64, [[700, 700]])
    assert (tally.kept, tally.live_s) == (65, [1.0])
    assert [seqs(payload)[0] for _, payload, _, _ in device.take(1.0, 20)] == [257]
    assert device.take(40.0, 20) == []
    assert [seqs(payload)[0] for _, payload, _, _ in device.take(80.0, 20)] == [65, 129, 193, 257]
    assert tally.resent == 4 * 64


def test_all_of_a_backlog_is_sent_once_where_everything_is_kept() -> None:
    device, tally = lean()
    device.take(0.0, 20)
    for now_s in range(1, 10):
        say_kept(device, min(700, 256 * now_s), [[700, 700]], float(now_s))
        device.take(float(now_s), 20)
    assert (device.held, tally.kept, tally.sent, tally.measured) == (0, 700, 700, 700)


def test_a_small_city_comes_back_with_its_backlog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the real platform and its broker; what is lost or counted wrongly ends the bench."""
    monkeypatch.setattr(storm, "CONNECT_S", 1.0)
    lines = storm.backlog(tmp_path / "city", "embedded", DEVICES)
    assert f"{DEVICES} devices, 26," in lines[0]
    assert "none lost, 0 in quarantine" in lines[0]
    assert float(lines[0].split("sent ")[1].split()[0]) <= 1.1
    assert "connections refused 0" in lines[3]
    assert not any("ailing" in line for line in lines)


@pytest.mark.services
def test_a_small_quarter_boots_at_once_on_mosquitto_within_its_bounds(tmp_path: Path) -> None:
    lines = storm.power(tmp_path / "city", "mosquitto", DEVICES)
    assert "none lost" in lines[0]
    assert "connections refused 0" in lines[3]
