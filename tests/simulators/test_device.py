"""A simulated device is the firmware's core on an asset: it says what a node says."""

import json
from typing import Any

from contract.wire import messages
from tests.simulators.city import HOUR_MS, Bench, local_ms, small_world

START_MS = local_ms(2026, 11, 23, 17)


def said(bench: Bench, channel: str) -> list[dict[str, Any]]:
    return [json.loads(payload) for topic, payload, _, _ in bench.said if topic.endswith(f"/{channel}")]


def test_it_is_born_and_reads_at_once() -> None:
    bench = Bench(small_world(START_MS), "street_light")
    bench.run(1_000)
    birth = said(bench, "status")[0]
    assert (birth["online"], birth["kind"], birth["stream"], birth["boot"]) == (True, "street_light", "0a1b2c3d", 1)
    telemetry = said(bench, "telemetry")[0]
    assert telemetry["clock"] == "synced"
    reading = telemetry["readings"][0]
    assert reading["seq"] == 1
    assert abs(reading["at"] - START_MS) < 1_000
    assert {"level", "level_by", "power_w", "energy_wh"} <= set(reading["v"])


def test_a_device_without_ntp_asks_for_the_time_and_dates_by_it_afterwards() -> None:
    bench = Bench(small_world(START_MS), "street_light", ntp=False)
    bench.run(1_000)
    first = said(bench, "telemetry")[0]
    assert first["clock"] == "none"
    assert "up" in first["readings"][0]
    nonce = said(bench, "time")[0]["nonce"]
    bench.receive("now", messages.now(nonce, START_MS + bench.up_ms))
    bench.said.clear()
    bench.run(HOUR_MS)
    dated = [reading for telemetry in said(bench, "telemetry") for reading in telemetry["readings"] if "at" in reading]
    assert dated
    assert all(START_MS <= reading["at"] <= START_MS + 2 * HOUR_MS for reading in dated)


def test_ntp_keeps_a_clock_synced_for_days() -> None:
    bench = Bench(small_world(START_MS), "waste_bin")
    bench.run(30 * HOUR_MS)
    bench.said.clear()
    bench.receive("kept", messages.kept("0a1b2c3d", bench.device.measured))
    bench.run(2 * HOUR_MS)
    assert {telemetry["clock"] for telemetry in said(bench, "telemetry")} == {"synced"}


def test_without_a_connection_it_keeps_measuring_and_holds_everything() -> None:
    bench = Bench(small_world(START_MS), "irrigation_valve", online=False)
    bench.run(10 * HOUR_MS)
    assert bench.said == []
    assert bench.device.measured >= 40
    assert bench.device.agent.outbox_count == bench.device.measured


def test_a_lease_moves_the_lamp_and_the_change_is_a_reading_of_the_new_power() -> None:
    night = local_ms(2026, 11, 23, 20)
    bench = Bench(small_world(night), "street_light")
    bench.run(HOUR_MS)
    bench.receive("kept", messages.kept("0a1b2c3d", bench.device.measured))
    now = night + bench.up_ms
    wish = {"level": {"to": 0.3, "until": now + HOUR_MS, "reason": "operator"}}
    bench.receive("lease", messages.lease(now, now, wish))
    bench.said.clear()
    bench.run(2_000)
    values = said(bench, "telemetry")[0]["readings"][0]["v"]
    assert (values["level"], values["level_by"]) == (0.3, "lease")
    rated_w = float(bench.device.asset.settings["rated_power_w"])
    assert 0.2 * rated_w < values["power_w"] < 0.4 * rated_w
    assert said(bench, "reported")[0]["result"] == "applied"


def test_it_never_says_more_than_there_is_room_for() -> None:
    bench = Bench(small_world(START_MS), "irrigation_valve", online=False)
    bench.run(10 * HOUR_MS)
    bench.device.agent.connected(bench.up_ms)
    sizes = []
    for _ in range(12):
        sizes.append(len(bench.device.work(bench.up_ms, START_MS + bench.up_ms, 2)))
        bench.up_ms += 300
    assert max(sizes) == 2
    assert sum(sizes) >= 4  # birth, state, newest reading, the others
