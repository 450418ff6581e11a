"""Lamps: what they draw, how they warm up, what the meter counts, how light the street is.

Physics functions are pure; powers in W, energies in Wh, times in seconds, levels as ratio of luminous flux (0 to 1).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import exp

from simulators.chance import between, wave
from simulators.faults import FaultName, FaultPlan
from simulators.weather import HOUR_MS, Sky, Weather, clear_radiation_w_m2, cloud_shade

STANDBY_W = 0.9  # controller and driver with the light off
DEAD_W = 1.4  # a driver that finds no load
COLD_EXTRA = 0.04  # a cold LED's forward voltage is higher: some percent more power until it is warm
WARM_UP_S = 600.0  # time constant of that
CYCLE_LIT_MS = 420_000
CYCLE_DARK_MS = 180_000
DAYLIGHT_LM_W = 105.0  # luminous efficacy of daylight, 100 to 120 lm/W (Littlefair 1985)
# Clear-sky illuminance of twilight by sun elevation (Explanatory Supplement to the Astronomical Almanac, 1992).
TWILIGHT_LX = ((-18.0, 0.00065), (-12.0, 0.00836), (-6.0, 3.41), (-0.8, 453.0), (0.0, 732.0))


@dataclass(frozen=True, slots=True)
class Lamp:
    """How warm (0 cold, 1 at its steady temperature), and the meter."""

    warmth: float = 0.0
    energy_wh: float = 0.0


def steady_power_w(level: float, rated_power_w: float) -> float:
    """Mains power of a warm LED lamp at `level`.

    Driver losses are nearly constant and LEDs get less efficient with current, so power is not proportional to
    light: half the light takes about half the power, a tenth of it takes 14 %. At level 1 it is the rated power.
    """
    if level <= 0.0:
        return STANDBY_W
    return rated_power_w * (0.06 + 0.80 * level + 0.14 * level * level)


def power_w(lamp: Lamp, level: float, rated_power_w: float) -> float:
    """Mains power now: the steady one, and a little more while the lamp is cold."""
    steady = steady_power_w(level, rated_power_w)
    return steady * (1.0 + COLD_EXTRA * (1.0 - lamp.warmth)) if level > 0.0 else steady


def burn(lamp: Lamp, dt_s: float, level: float, rated_power_w: float) -> Lamp:
    """The lamp after `dt_s` at a constant level. The energy is the exact integral of `power_w` over that time."""
    goal = 1.0 if level > 0.0 else 0.0
    fading = exp(-dt_s / WARM_UP_S)
    warmth = goal + (lamp.warmth - goal) * fading
    steady = steady_power_w(level, rated_power_w)
    watt_seconds = steady * dt_s
    if level > 0.0:
        coldness_seconds = (1.0 - lamp.warmth) * WARM_UP_S * (1.0 - fading)
        watt_seconds += steady * COLD_EXTRA * coldness_seconds
    return Lamp(warmth, lamp.energy_wh + watt_seconds / 3600.0)


def daylight_lx(sky: Sky) -> float:
    """Illuminance of the open street by sun and sky, by day and in twilight."""
    elevation = sky.sun_elevation_deg
    shade = cloud_shade(sky.cloudiness)
    if elevation >= 5.0:
        return DAYLIGHT_LM_W * sky.radiation_w_m2
    known = (*TWILIGHT_LX, (5.0, DAYLIGHT_LM_W * clear_radiation_w_m2(5.0)))
    if elevation <= known[0][0]:
        return known[0][1] * shade
    for (low, low_lx), (high, high_lx) in pairwise(known):
        if elevation <= high:
            part = (elevation - low) / (high - low)
            return low_lx * float((high_lx / low_lx) ** part) * shade
    raise AssertionError("the last step of the table is at 5 degrees")


def voltage_v(seed: int, circuit: str, at_ms: int, solar_hour: float) -> float:
    """Mains at the pole: 230 V nominal, sagging some volts in the evening when the town cooks and watches."""
    evening = max(0.0, 1.0 - abs(solar_hour - 20.5) / 2.5)
    return 232.0 - 5.0 * evening + 1.6 * wave(at_ms / (20 * 60_000), seed, "mains", circuit)


class LampPost:
    """One street light in the city: a lamp, its meter and sensors. Implements world.Thing."""

    def __init__(
        self,
        asset: str,
        settings: Mapping[str, float | str],
        seed: int,
        weather: Weather,
        faults: FaultPlan,
        at_ms: int,
    ) -> None:
        self._asset = asset
        self._seed = seed
        self._weather = weather
        self._faults = faults
        self._rated_w = float(settings["rated_power_w"])
        self._circuit = str(settings["circuit"])
        self._tilt_deg = between(0.1, 1.2, seed, "tilt", asset)
        self._glow_lx = between(2.0, 8.0, seed, "glow", asset)  # of the lamp itself in the sensor that looks up
        # Meters of lamps that have been there for a while: up to three years of nights.
        self.lamp = Lamp(energy_wh=between(0.0, 3 * 4_100.0, seed, "meter", asset) * self._rated_w)
        self._level = 0.0
        self._at_ms = at_ms

    def advance(self, at_ms: int, outputs: Mapping[str, float]) -> None:
        level = outputs.get("level", 0.0)
        while self._at_ms < at_ms:
            shining, power, change_ms = self._electrical(level, self._at_ms)
            until_ms = min(at_ms, change_ms)
            dt_s = (until_ms - self._at_ms) / 1000.0
            if power is None:
                self.lamp = burn(self.lamp, dt_s, shining, self._rated_w)
            else:
                self.lamp = Lamp(0.0, self.lamp.energy_wh + power * dt_s / 3600.0)
            self._at_ms = until_ms
        self._level = level

    def measure(self) -> dict[str, float | int | bool | None]:
        shining, power, _ = self._electrical(self._level, self._at_ms)
        drawn = power if power is not None else power_w(self.lamp, shining, self._rated_w)
        sky = self._weather.at(self._at_ms)
        solar_hour = self._weather.solar_hour(self._at_ms)
        warmed_c = 14.0 * self.lamp.warmth * min(drawn / self._rated_w, 1.1)
        jitter = wave(self._at_ms / HOUR_MS, self._seed, "power", self._asset)
        return {
            "power_w": round(drawn * (1.0 + 0.004 * jitter), 1),
            "energy_wh": int(self.lamp.energy_wh),
            "voltage_v": round(voltage_v(self._seed, self._circuit, self._at_ms, solar_hour), 1),
            "illuminance_lx": round(daylight_lx(sky) + self._glow_lx * shining),
            "temperature_c": round(sky.air_temperature_c + 1.5 + warmed_c + 0.008 * sky.radiation_w_m2, 1),
            "tilt_deg": round(self._tilt_deg + 0.02 * jitter, 1),
        }

    def urgent(self) -> bool:
        return False

    def _electrical(self, level: float, at_ms: int) -> tuple[float, float | None, int]:
        """(level that really shines, power in W when it is not the lamp's own, when this may change by itself)."""
        period = self._faults.active(self._asset, at_ms)
        look_again_ms = at_ms - at_ms % HOUR_MS + HOUR_MS
        if period is None:
            return level, None, look_again_ms
        look_again_ms = min(look_again_ms, period.until_ms)
        if period.fault is FaultName.DAY_BURNER:
            return 1.0, None, look_again_ms
        if level <= 0.0:
            return level, None, look_again_ms
        if period.fault is FaultName.LAMP_DEAD:
            return 0.0, DEAD_W, look_again_ms
        into_ms = (at_ms - period.from_ms) % (CYCLE_LIT_MS + CYCLE_DARK_MS)
        if into_ms < CYCLE_LIT_MS:
            return level, None, min(look_again_ms, at_ms + CYCLE_LIT_MS - into_ms)
        return 0.0, STANDBY_W, min(look_again_ms, at_ms + CYCLE_LIT_MS + CYCLE_DARK_MS - into_ms)
