"""What the boards do: safe outputs first, physics on the unix port, pins and flash on the ESP32 (against stand-ins)."""

from firmware.hal.unix import Bin, Light, Valve
from tests.firmware.behaviour import fake_esp32
from tests.firmware.behaviour.driven import HOUR, NOON

LIGHT = {
    "pwm": {"pin": 18},
    "relay": 19,
    "power": {"pin": 21, "mw_per_hz": 12000},
    "ldr": {"pin": 34, "lx_per_uv_micro": 500},
}
VALVE = {
    "latch": {"forward": 25, "backward": 26, "pulse_ms": 10},
    "flow": {"pin": 27, "pulses_per_l": 450},
    "soil": {"pin": 35, "dry_uv": 2400000, "wet_uv": 1300000, "wet": 0.4},
    "battery": {"pin": 32, "upper_ohm": 100000, "lower_ohm": 15000, "cells": 4},
}
BIN = {"level": {"uart": 1, "rx": 16, "tx": 17, "empty_mm": 1400, "full_mm": 300}, "lid": 23}


def test_a_light_draws_power_by_its_level_and_counts_its_energy() -> None:
    light = Light({"settings": {"rated_power_w": 100}})
    first = light.sample(HOUR, None)
    assert (first["power_w"], first["energy_wh"]) == (100.0, 100), "lit until told otherwise"
    assert first["illuminance_lx"] is None, "no clock and no place: nothing seen"
    light.drive("level", 0.5)
    half = light.sample(2 * HOUR, None)
    assert 50 < half["power_w"] < 60
    light.drive("level", 0.0)
    assert light.sample(3 * HOUR, None)["power_w"] < 1
    again = Light({"settings": {"rated_power_w": 100}})
    again.recall(light.remember())
    assert again.sample(0, None)["energy_wh"] == light.sample(3 * HOUR, None)["energy_wh"], "meters survive a reset"


def test_its_photocell_sees_day_and_night() -> None:
    light = Light({"lat": 34.92, "lon": -2.32})
    noon = light.illuminance(NOON)
    night = light.illuminance(NOON + 10 * HOUR)
    assert noon is not None
    assert noon > 30000
    assert night is not None
    assert night < 1


def test_a_valve_lets_water_through_only_while_open_and_the_soil_takes_it() -> None:
    valve = Valve({"settings": {"design_flow_l_min": 60, "area_m2": 400}})
    dry = valve.sample(HOUR, None)
    assert (dry["flow_l_min"], dry["volume_ml"]) == (0.0, 0)
    valve.drive("open", 1.0)
    wet = valve.sample(HOUR + HOUR // 2, None)
    assert (wet["flow_l_min"], wet["volume_ml"]) == (60.0, 1800000)
    assert wet["soil_moisture"] > dry["soil_moisture"] + 0.01
    valve.drive("open", 0.0)
    assert valve.sample(9 * HOUR, None)["soil_moisture"] < wet["soil_moisture"]


def test_a_bin_fills_and_is_emptied() -> None:
    waste = Bin({})
    levels = [waste.sample(hour * HOUR, None)["fill_level"] for hour in range(60)]
    assert 0.019 < levels[1] - levels[0] < 0.021
    assert max(levels) <= 1.0
    assert min(levels[30:]) < 0.05


def test_an_esp32_light_is_lit_before_anything_else() -> None:
    fake_esp32.flash.clear()
    fake_esp32.board({"device": "lamp-1", "kind": "street_light", "board": LIGHT})
    # PWM and relay begin at off for an instant; then the lamp is on before flash is read and the watchdog started.
    assert fake_esp32.log[:4] == [("pwm", 18, 0), ("pin", 19, 0), ("pwm", 18, 65535), ("pin", 19, 1)]
    assert fake_esp32.log[-1][0] == "watchdog"


def test_an_esp32_light_measures_power_and_daylight() -> None:
    board = fake_esp32.board({"device": "lamp-1", "kind": "street_light", "board": LIGHT})
    fake_esp32.inputs.update({21: 1000, 34: 200000})
    values = board.sample(0, None)
    assert (values["power_w"], values["energy_wh"], values["illuminance_lx"]) == (0.0, 0, 100.0)
    fake_esp32.inputs[21] += 3000
    assert board.sample(0, None)["energy_wh"] == 9, "3000 pulses of 12 W s"
    assert board.illuminance(None) == 100.0


def test_an_esp32_valve_is_shut_first_and_measures() -> None:
    board = fake_esp32.board({"device": "valve-1", "kind": "irrigation_valve", "board": VALVE})
    pins = [entry[1:] for entry in fake_esp32.log if entry[0] == "pin"]
    assert pins == [(25, 0), (26, 0), (25, 0), (26, 0), (26, 1), (26, 0)], "low, then one pulse shut"
    board.drive("open", 1.0)
    assert [entry[1:] for entry in fake_esp32.log if entry[0] == "pin"][-4:] == [(25, 0), (26, 0), (25, 1), (25, 0)]
    fake_esp32.inputs.update({27: 0, 35: 1850000, 32: 1700000})
    board.sample(0, None)
    fake_esp32.inputs[27] = 900
    values = board.sample(0, None)
    assert values["volume_ml"] == 1999
    assert abs(values["soil_moisture"] - 0.2) < 1e-6
    assert values["soil_temperature_c"] is None
    assert 0.1 < values["battery_level"] < 0.5


def test_an_esp32_bin_reads_its_sonar_and_lid() -> None:
    board = fake_esp32.board({"device": "bin-1", "kind": "waste_bin", "board": BIN})
    fake_esp32.inputs.update({16: b"\xff\x03\x52\x54", 23: 1})
    values = board.sample(0, None)
    assert abs(values["fill_level"] - 0.5) < 1e-6
    assert values["lid_open"] is True
    board.up_ms = lambda: 6000
    assert board.sample(0, None)["fill_level"] is None, "no echo since: unknown, not the old value"
    fake_esp32.inputs[16] = b"\xff\x03"
    board.interlocks()
    fake_esp32.inputs[16] = b"\x52\x54"
    assert board.sample(0, None)["fill_level"] is not None, "listened to between readings"
    assert values["battery_level"] is None


def test_boots_are_counted_and_what_must_survive_is_in_flash() -> None:
    fake_esp32.flash.clear()
    config = {"device": "valve-1", "kind": "irrigation_valve", "board": VALVE}
    first = fake_esp32.board(config)
    assert (first.boot, first.carry, first.reset) == (1, {}, "watchdog")
    first.save({"open": {"day": 20000, "used_ms": 60000}})
    second = fake_esp32.board(config)
    assert (second.boot, second.carry) == (2, {"open": {"day": 20000, "used_ms": 60000}})
    assert first.stream() != second.stream()
    assert len(first.stream()) == 8


def test_a_board_that_is_not_described_is_told_in_a_sentence() -> None:
    for config, word in (
        ({"device": "v", "kind": "irrigation_valve"}, "board: missing in node.json"),
        ({"device": "v", "kind": "irrigation_valve", "board": {}}, "latch"),
    ):
        try:
            fake_esp32.board(config)
            sentence = ""
        except ValueError as fault:
            sentence = str(fault)
        assert word in sentence


def test_the_esp32_is_given_the_date_that_tls_judges_by() -> None:
    described = fake_esp32.board({"device": "x", "kind": "waste_bin", "board": BIN})
    described.set_date(1795527062)
    assert fake_esp32.log[-1] == ("date", (2026, 11, 24, 1, 13, 31, 2, 0)), "a Tuesday is 1"
