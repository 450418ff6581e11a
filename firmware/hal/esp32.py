"""The ESP32: pins by a board description, watchdog, boot counter and what must survive a reset in NVS.

`config["board"]` names the pins; docs/quickstart-installer.md shows one for each kind. The first lines of a boot bring
the output to its safe state: a light on, a valve shut. Not run on hardware yet (see firmware/README.md): checked
against the port's type stubs, and its arithmetic by tests of the drivers.
"""

import json
import os
import time

import esp32
import machine

from firmware.drivers import analog, ds18b20
from firmware.drivers.dimmer import Dimmer
from firmware.drivers.latch import Latch
from firmware.drivers.pulses import PulseMeter, flow_l_min, power_w
from firmware.drivers.ultrasonic import FrameParser, TextParser, fill_level
from firmware.hal.uptime import Uptime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WATCHDOG_MS = 60000  # longer than a blocking name look-up; a valve's limit does not depend on it
CARRY_BYTES_MAX = 512
EPOCH_S = 946684800 if time.gmtime(0)[0] == 2000 else 0  # the port counts from 2000-01-01
RESETS = {
    machine.PWRON_RESET: "power_on",
    machine.HARD_RESET: "hard",
    machine.WDT_RESET: "watchdog",
    machine.DEEPSLEEP_RESET: "deep_sleep",
    machine.SOFT_RESET: "soft",
}
ECHO_MS = 5000  # an echo older than this says nothing
CONVERSION_MS = 750  # of a DS18B20 at 12 bits


class Board:
    """See firmware/hal."""

    def __init__(self, config: "dict[str, Any]") -> None:
        if "board" not in config:
            raise ValueError("board: missing in node.json; it names the pins (docs/quickstart-installer.md)")
        try:
            self._thing = THINGS[config["kind"]](config["board"])  # first of all: safe outputs
        except KeyError as fault:
            raise ValueError("board: %s is missing in node.json" % fault)  # noqa: B904 - MicroPython
        self._uptime = Uptime()
        self._led = _output(config["board"].get("led"), 0)
        self._nvs = esp32.NVS("nabd")
        self.boot = self._count_boot()
        self.reset = RESETS.get(machine.reset_cause(), "hard")
        self.carry = self._recall()
        self.network = None  # type: Any
        if "wifi" in config:
            from firmware.net.wifi import Wifi

            wifi = config["wifi"]
            self.network = Wifi(wifi["ssid"], wifi["password"], config["device"])
        self._watchdog = machine.WDT(timeout=WATCHDOG_MS)

    def up_ms(self) -> int:
        return self._uptime.ms()

    def stream(self) -> str:
        return "".join(["%02x" % byte for byte in os.urandom(4)])

    def drive(self, target: str, value: float) -> None:
        self._thing.drive(value)

    def sample(self, up_ms: int, unix_ms: "int | None") -> "dict[str, Any]":
        return self._thing.sample(self.up_ms())

    def illuminance(self, unix_ms: "int | None") -> "float | None":
        return self._thing.illuminance()

    def interlocks(self) -> "list[tuple[str, bool, str]]":
        self._thing.look(self.up_ms())  # once a second, between readings
        return self._thing.interlocks()

    def hands(self) -> "list[tuple[str, float | None]]":
        return self._thing.hands()

    def identify(self, on: bool) -> None:
        if self._led is not None:
            self._led.value(1 if on else 0)

    def save(self, carry: "dict[str, Any]") -> None:
        blob = json.dumps(carry).encode()
        if len(blob) <= CARRY_BYTES_MAX:
            self._nvs.set_blob("carry", blob)
            self._nvs.commit()

    def set_date(self, unix_s: int) -> None:
        year, month, day, hour, minute, second, weekday = time.gmtime(unix_s - EPOCH_S)[:7]
        machine.RTC().datetime((year, month, day, weekday, hour, minute, second, 0))

    def feed(self) -> None:
        self._watchdog.feed()

    def stop(self) -> None:
        pass  # the chip itself knows a soft reset from another

    def _count_boot(self) -> int:
        try:
            boot = self._nvs.get_i32("boot") + 1
        except OSError:  # never written
            boot = 1
        self._nvs.set_i32("boot", boot)
        self._nvs.commit()
        return boot

    def _recall(self) -> "dict[str, Any]":
        buffer = bytearray(CARRY_BYTES_MAX)
        try:
            length = self._nvs.get_blob("carry", buffer)
            carry = json.loads(bytes(buffer[:length]))
        except (OSError, ValueError):
            return {}
        return carry if type(carry) is dict else {}


class Thing:
    """Common to all: battery and a temperature probe, both optional."""

    def __init__(self, board: "dict[str, Any]") -> None:
        self._battery = board.get("battery")  # {"pin": 34, "upper_ohm": …, "lower_ohm": …, "cells": 4}
        self._battery_adc = _adc(self._battery)
        self._probe = None  # type: Any
        if "ds18b20" in board:
            import ds18x20
            import onewire

            self._probe = ds18x20.DS18X20(onewire.OneWire(machine.Pin(board["ds18b20"])))
            roms = self._probe.scan()
            self._rom = roms[0] if roms else None
            self._asked_ms = time.ticks_ms()
            self._asking = False

    def drive(self, value: float) -> None:
        pass

    def sample(self, up_ms: int) -> "dict[str, Any]":
        raise NotImplementedError  # each kind's own class says it; MicroPython has no abc

    def look(self, up_ms: int) -> None:
        """Listen to what does not wait for the next reading."""

    def illuminance(self) -> "float | None":
        return None

    def interlocks(self) -> "list[tuple[str, bool, str]]":
        return []

    def hands(self) -> "list[tuple[str, float | None]]":
        return []

    def battery_level(self) -> "float | None":
        if self._battery is None:
            return None
        mv = analog.divided_mv(self._battery_adc.read_uv(), self._battery["upper_ohm"], self._battery["lower_ohm"])
        return analog.battery_level(mv, self._battery["cells"])

    def temperature_c(self) -> "float | None":
        """The last conversion, asked for at the reading before: nobody waits 750 ms for it."""
        if self._probe is None or self._rom is None:
            return None
        found = None
        try:
            if self._asking and time.ticks_diff(time.ticks_ms(), self._asked_ms) >= CONVERSION_MS:
                found = ds18b20.celsius(self._probe.read_scratch(self._rom))
            self._probe.convert_temp()
            self._asking = True
            self._asked_ms = time.ticks_ms()
        except Exception:  # the built-in driver raises whatever comes to it when the wire is broken
            self._asking = False
        return found


class Light(Thing):
    """`board`: pwm {pin, freq, inverted, lowest}, relay, power {pin, mw_per_hz}, ldr {pin, lx_per_uv_micro}."""

    def __init__(self, board: "dict[str, Any]") -> None:
        pwm = board["pwm"]
        self._dimmer = Dimmer(
            machine.PWM(machine.Pin(pwm["pin"]), freq=pwm.get("freq", 1000), duty_u16=0),
            _output(board.get("relay"), 0),
            pwm.get("lowest", 0.1),
            pwm.get("inverted", False),
        )
        self._dimmer.set(1.0)
        Thing.__init__(self, board)
        self._counter = _counter(board.get("power"), 0)
        self._meter = PulseMeter(board.get("power", {}).get("mw_per_hz", 12000) * 1000 // 3600, 5000)
        self._ldr = board.get("ldr")  # type: Any
        self._ldr_adc = _adc(self._ldr)

    def drive(self, value: float) -> None:
        self._dimmer.set(value)

    def look(self, up_ms: int) -> None:
        if self._counter is not None:
            self._meter.update(self._counter.value(), up_ms)

    def sample(self, up_ms: int) -> "dict[str, Any]":
        self.look(up_ms)
        values = {"temperature_c": self.temperature_c(), "illuminance_lx": self.illuminance()}  # type: dict[str, Any]
        if self._counter is not None:
            values["power_w"] = power_w(self._meter.rate_per_s)
            values["energy_wh"] = self._meter.total
        return values

    def illuminance(self) -> "float | None":
        if self._ldr_adc is None:
            return None
        return self._ldr_adc.read_uv() * self._ldr["lx_per_uv_micro"] / 1000000


class Bin(Thing):
    """`board`: level {uart, rx, tx, empty_mm, full_mm, text_unit_mm}, lid (closed to ground while shut)."""

    def __init__(self, board: "dict[str, Any]") -> None:
        Thing.__init__(self, board)
        level = board["level"]
        self._empty_mm = level["empty_mm"]
        self._full_mm = level["full_mm"]
        self._uart = machine.UART(level["uart"], 9600, rx=level["rx"], tx=level["tx"])
        self._parser = TextParser(level["text_unit_mm"]) if "text_unit_mm" in level else FrameParser()  # type: Any
        self._distance_mm = None  # type: int | None
        self._heard_up_ms = 0
        self._lid = None if "lid" not in board else machine.Pin(board["lid"], machine.Pin.IN, machine.Pin.PULL_UP)

    def look(self, up_ms: int) -> None:
        # The sensor talks ten times a second and the buffer keeps the oldest: unread for long, it tells of an hour ago.
        while self._uart.any():
            distance_mm = self._parser.feed(self._uart.read() or b"")
            if distance_mm is not None:
                self._distance_mm = distance_mm
                self._heard_up_ms = up_ms

    def sample(self, up_ms: int) -> "dict[str, Any]":
        self.look(up_ms)
        distance_mm = self._distance_mm if up_ms - self._heard_up_ms <= ECHO_MS else None
        return {
            "fill_level": fill_level(distance_mm, self._empty_mm, self._full_mm),
            "temperature_c": self.temperature_c(),
            "lid_open": None if self._lid is None else self._lid.value() == 1,
            "battery_level": self.battery_level(),
        }


class Valve(Thing):
    """`board`: latch {forward, backward, pulse_ms}, flow {pin, pulses_per_l}, soil {pin, dry_uv, wet_uv, wet}."""

    def __init__(self, board: "dict[str, Any]") -> None:
        latch = board["latch"]
        self._latch = Latch(
            _output(latch["forward"], 0), _output(latch["backward"], 0), time.sleep_ms, latch.get("pulse_ms", 50)
        )
        Thing.__init__(self, board)
        self._counter = _counter(board.get("flow"), 0)
        self._meter = PulseMeter(1000000000 // board.get("flow", {}).get("pulses_per_l", 450), 5000)
        self._soil = board.get("soil")
        self._soil_adc = _adc(self._soil)

    def drive(self, value: float) -> None:
        self._latch.set(value != 0.0)

    def look(self, up_ms: int) -> None:
        if self._counter is not None:
            self._meter.update(self._counter.value(), up_ms)

    def sample(self, up_ms: int) -> "dict[str, Any]":
        self.look(up_ms)
        values = {
            "soil_temperature_c": self.temperature_c(),
            "battery_level": self.battery_level(),
        }  # type: dict[str, Any]
        if self._soil is not None:
            soil = self._soil
            values["soil_moisture"] = analog.between(
                self._soil_adc.read_uv(), soil["dry_uv"], soil["wet_uv"], soil["wet"]
            )
        if self._counter is not None:
            values["flow_l_min"] = flow_l_min(self._meter.rate_per_s)
            values["volume_ml"] = self._meter.total
        return values


THINGS = {"street_light": Light, "waste_bin": Bin, "irrigation_valve": Valve}


def _output(pin: "int | None", value: int) -> "Any":
    return None if pin is None else machine.Pin(pin, machine.Pin.OUT, value=value)


def _adc(described: "dict[str, Any] | None") -> "Any":
    return None if described is None else machine.ADC(machine.Pin(described["pin"]), atten=machine.ADC.ATTN_11DB)


def _counter(described: "dict[str, Any] | None", unit: int) -> "Any":
    # The hardware filter ends at 12.8 us: a reed switch needs an RC at the pin.
    return None if described is None else machine.Counter(unit, machine.Pin(described["pin"], machine.Pin.IN))
