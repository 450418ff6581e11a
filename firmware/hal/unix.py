"""The unix port: no pins, but simple physics behind them, so that a node on a PC behaves like one in the street.

A light draws power by its level, a valve lets water through when it is open and the soil takes it up, a bin fills and
is emptied. Counters, levels and the boot counter live in one small file, written whole and renamed.
"""

import json
import math
import os

from contract.wire.sun import elevation_deg
from firmware.hal.uptime import Uptime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HOUR_MS = 3600000
SAVE_MS = 60000  # real ms between writes of the counters


class Board:
    """See firmware/hal. `config`: device, kind, data (folder), lat, lon, settings."""

    network = None

    def __init__(self, config: "dict[str, Any]") -> None:
        self._things = THINGS[config["kind"]](config)
        self._uptime = Uptime()
        self._path = config["data"] + "/" + config["device"] + ".node.json"
        self._saved_ms = 0
        kept = _read(self._path)
        self.boot = int(kept.get("boot", 0)) + 1
        # Ended by a signal or the power: as a node whose power was cut.
        self.reset = "soft" if kept.get("stopped") else "power_on"
        self.carry = kept.get("carry", {})  # type: dict[str, Any]
        self._things.recall(kept.get("counters", {}))
        try:
            self._write(False)
        except OSError as fault:
            raise ValueError("data: %s cannot be written (%s)" % (config["data"], fault))  # noqa: B904 - MicroPython

    def up_ms(self) -> int:
        return self._uptime.ms()

    def stream(self) -> str:
        return "".join(["%02x" % byte for byte in os.urandom(4)])

    def drive(self, target: str, value: float) -> None:
        self._things.drive(target, value)

    def sample(self, up_ms: int, unix_ms: "int | None") -> "dict[str, Any]":
        values = self._things.sample(up_ms, unix_ms)
        if self.up_ms() - self._saved_ms > SAVE_MS:
            try:
                self._write(False)
            except OSError:
                pass  # the values are good, and a minute later it is tried again
        return values

    def illuminance(self, unix_ms: "int | None") -> "float | None":
        return self._things.illuminance(unix_ms)

    def interlocks(self) -> "list[tuple[str, bool, str]]":
        return []

    def hands(self) -> "list[tuple[str, float | None]]":
        return []

    def identify(self, on: bool) -> None:
        pass  # the node prints it; there is no lamp to blink

    def save(self, carry: "dict[str, Any]") -> None:
        self.carry = carry
        self._write(False)

    def set_date(self, unix_s: int) -> None:
        pass  # the system's clock is not a node's to set

    def feed(self) -> None:
        pass  # no watchdog here

    def stop(self) -> None:
        self._write(True)

    def _write(self, stopped: bool) -> None:
        self._saved_ms = self.up_ms()
        document = {
            "boot": self.boot,
            "stopped": stopped,
            "carry": self.carry,
            "counters": self._things.remember(),
        }
        with open(self._path + ".new", "w") as file:
            json.dump(document, file)
        os.rename(self._path + ".new", self._path)


class Thing:
    """What the pins would be connected to. City time moves it, whenever it is looked at."""

    def __init__(self, config: "dict[str, Any]") -> None:
        self._config = config
        self._settings = config.get("settings") or {}
        self._up_ms = 0

    def drive(self, target: str, value: float) -> None:
        pass

    def sample(self, up_ms: int, unix_ms: "int | None") -> "dict[str, Any]":
        took_ms = up_ms - self._up_ms
        self._up_ms = up_ms
        return self.after(took_ms, unix_ms)

    def after(self, took_ms: int, unix_ms: "int | None") -> "dict[str, Any]":
        raise NotImplementedError  # each kind's own class says it; MicroPython has no abc

    def illuminance(self, unix_ms: "int | None") -> "float | None":
        return None

    def recall(self, counters: "dict[str, Any]") -> None:
        pass

    def remember(self) -> "dict[str, Any]":
        return {}


class Light(Thing):
    """A 60 W LED lantern. Energy is summed in mW·ms, in integers."""

    def __init__(self, config: "dict[str, Any]") -> None:
        Thing.__init__(self, config)
        self._level = 1.0  # safe: lit
        self._rated_w = float(self._settings.get("rated_power_w", 60))
        self._energy = 0

    def drive(self, target: str, value: float) -> None:
        self._level = value

    def _power_w(self) -> float:
        # An LED driver's own loss is some 8 % of its rating, whatever the level.
        return self._rated_w * (0.08 + 0.92 * self._level) if self._level > 0 else 0.3

    def after(self, took_ms: int, unix_ms: "int | None") -> "dict[str, Any]":
        power_w = self._power_w()
        self._energy += int(power_w * 1000) * took_ms
        return {
            "power_w": power_w,
            "energy_wh": self._energy // (HOUR_MS * 1000),
            "voltage_v": 230.0,
            "illuminance_lx": self.illuminance(unix_ms),
            "temperature_c": 22.0 + power_w / 4,
            "tilt_deg": 0.5,
        }

    def illuminance(self, unix_ms: "int | None") -> "float | None":
        """Clear sky: some 110 klx times the sine of the sun's height, and a twilight that falls tenfold each 3 deg."""
        if unix_ms is None or "lat" not in self._config:
            return None
        height = elevation_deg(unix_ms, self._config["lat"], self._config["lon"])
        if height > 0:
            return 400.0 + 110000.0 * math.sin(math.radians(height))
        return float(400.0 * 10.0 ** (max(height, -18.0) / 3.0))

    def recall(self, counters: "dict[str, Any]") -> None:
        self._energy = int(counters.get("energy", 0))

    def remember(self) -> "dict[str, Any]":
        return {"energy": self._energy}


class Bin(Thing):
    """Fills by 2 % an hour and is emptied when it is full."""

    def __init__(self, config: "dict[str, Any]") -> None:
        Thing.__init__(self, config)
        self._fill = 0.35

    def after(self, took_ms: int, unix_ms: "int | None") -> "dict[str, Any]":
        self._fill += 0.02 * took_ms / HOUR_MS
        if self._fill >= 1.0:
            self._fill = 0.02
        return {
            "fill_level": self._fill,
            "temperature_c": 24.0,
            "tilt_deg": 1.0,
            "lid_open": False,
            "battery_level": 0.92,
        }

    def recall(self, counters: "dict[str, Any]") -> None:
        self._fill = float(counters.get("fill", self._fill))

    def remember(self) -> "dict[str, Any]":
        return {"fill": self._fill}


class Valve(Thing):
    """Full flow while open; the soil (30 cm of it) takes the water up and dries by 4 mm a day."""

    def __init__(self, config: "dict[str, Any]") -> None:
        Thing.__init__(self, config)
        self._open = False  # safe
        self._flow_l_min = float(self._settings.get("design_flow_l_min", 60))
        self._area_m2 = float(self._settings.get("area_m2", 400))
        self._volume_ul = 0
        self._soil = 0.21

    def drive(self, target: str, value: float) -> None:
        self._open = value != 0.0

    def after(self, took_ms: int, unix_ms: "int | None") -> "dict[str, Any]":
        flow = self._flow_l_min if self._open else 0.0
        self._volume_ul += int(flow * 1000000 / 60000) * took_ms
        water_mm = flow * took_ms / 60000 / self._area_m2
        self._soil = min(0.42, max(0.05, self._soil + (water_mm - 4.0 * took_ms / (24 * HOUR_MS)) / 300.0))
        return {
            "flow_l_min": flow,
            "volume_ml": self._volume_ul // 1000,
            "pressure_bar": 2.4 if self._open else 3.1,
            "soil_moisture": self._soil,
            "soil_temperature_c": 17.0,
            "battery_level": 0.88,
        }

    def recall(self, counters: "dict[str, Any]") -> None:
        self._volume_ul = int(counters.get("volume_ul", 0))
        self._soil = float(counters.get("soil", self._soil))

    def remember(self) -> "dict[str, Any]":
        return {"volume_ul": self._volume_ul, "soil": self._soil}


THINGS = {"street_light": Light, "waste_bin": Bin, "irrigation_valve": Valve}


def _read(path: str) -> "dict[str, Any]":
    """The node's file, or nothing: a file that cannot be read is a node that was never here."""
    try:
        with open(path) as file:
            document = json.load(file)
    except (OSError, ValueError):
        return {}
    return document if type(document) is dict else {}
