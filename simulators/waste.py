"""Waste bins: how they fill and are emptied, their lid, their temperature, and fire.

Physics functions are pure; fill as ratio of the volume (may exceed 1: it overflows), temperatures in degC.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import exp
from zoneinfo import ZoneInfo

from simulators.chance import between, share, wave
from simulators.faults import FaultName, FaultPlan
from simulators.weather import HOUR_MS, Weather

# Share of a day's waste by local hour: a small peak in the morning, one after lunch, the largest after supper.
HOURS = (
    0.020, 0.010, 0.005, 0.005, 0.005, 0.010, 0.025, 0.045, 0.055, 0.050, 0.045, 0.045,
    0.055, 0.070, 0.065, 0.045, 0.035, 0.035, 0.045, 0.060, 0.080, 0.085, 0.065, 0.040,
)  # fmt: skip
WEEKDAYS = (0.95, 1.05, 0.90, 0.95, 1.05, 1.15, 0.95)  # Monday first; Saturday's shopping shows
FILL_MAX = 1.3  # bags beside the bin
COOLING_S = 2_400.0  # time constant of bin and air
SUN_K_PER_W_M2 = 0.018  # a dark lid in full sun is some 15 K above the air
FIRE_C = 260.0
FIRE_S = 700.0  # time constant of heating while it burns
FIRE_FILL_PER_H = 0.35  # of the volume
ROUND_HOUR = 5  # trucks start at 05:00 local
ROUND_EVERY_DAYS = 2
ROUND_SKIPPED = 0.04  # share of collections that do not happen


def filled(fill: float, dt_s: float, per_day: float, hour: int, weekday: int, busy: float) -> float:
    """Fill after `dt_s` within one local hour of a weekday (0 Monday); `per_day` is the mean growth in a day.

    `busy` is the hour's own factor (mean about 1).
    """
    per_hour = per_day * HOURS[hour] / sum(HOURS) * WEEKDAYS[weekday] * busy
    return min(fill + per_hour * dt_s / 3600.0, FILL_MAX)


def warmed(temperature_c: float, dt_s: float, air_c: float, radiation_w_m2: float, burning: bool) -> float:
    """Temperature under the lid after `dt_s`: it follows air and sun, or the flames."""
    goal, constant_s = (FIRE_C, FIRE_S) if burning else (air_c + SUN_K_PER_W_M2 * radiation_w_m2, COOLING_S)
    return goal + (temperature_c - goal) * exp(-dt_s / constant_s)


class Bin:
    """One waste bin in the city with its sensor. Implements world.Thing."""

    def __init__(
        self, asset: str, order: float, zone_index: int, timezone: str, seed: int, weather: Weather,
        faults: FaultPlan, at_ms: int,
    ) -> None:  # fmt: skip
        """`order` (0 to 1) is the bin's place on the truck's way, `zone_index` decides the day of its round."""
        self._asset = asset
        self._seed = seed
        self._weather = weather
        self._faults = faults
        self._zone_s = ZoneInfo(timezone)
        self._per_day = between(0.22, 0.6, seed, "waste", asset)
        self._battery = between(0.55, 1.0, seed, "battery", asset)
        self._round_day = zone_index % ROUND_EVERY_DAYS
        self._round_minute = round(150 * order)
        self.fill = between(0.05, 0.95, seed, "fill", asset)
        self.collections = 0
        self._at_ms = self._started_ms = at_ms
        sky = weather.at(at_ms)
        self.temperature_c = sky.air_temperature_c + SUN_K_PER_W_M2 * sky.radiation_w_m2
        self._before_c = self.temperature_c
        self._collection_ms = self._next_collection_ms(at_ms)

    def advance(self, at_ms: int, outputs: Mapping[str, float]) -> None:
        self._before_c = self.temperature_c
        while self._at_ms < at_ms:
            quarter_ms = self._at_ms - self._at_ms % (HOUR_MS // 4) + HOUR_MS // 4
            until_ms = min(at_ms, quarter_ms, self._collection_ms)
            self._advance_piece(until_ms)
            self._at_ms = until_ms
            if until_ms == self._collection_ms:
                self._collect()

    def measure(self) -> dict[str, float | int | bool | None]:
        period = self._faults.active(self._asset, self._at_ms)
        tipped = period is not None and period.fault is FaultName.TIPPED
        minute = self._at_ms // 60_000
        noise = 0.008 * wave(self._at_ms / (HOUR_MS / 2), self._seed, "echo", self._asset)
        years = (self._at_ms - self._started_ms) / (365.25 * 24 * HOUR_MS)
        return {
            "fill_level": round(min(max(self.fill + noise, 0.0), 1.0), 2),
            "temperature_c": round(self.temperature_c, 1),
            "tilt_deg": round(84.0 if tipped else 1.5 + abs(noise) * 60, 1),
            "lid_open": tipped or share(self._seed, "lid", self._asset, minute) < self._lid_share(),
            "battery_level": round(max(self._battery - 0.12 * years, 0.05), 2),
        }

    def urgent(self) -> bool:
        """Hot, or getting hot fast: a reading that does not wait for its hour."""
        return self.temperature_c >= 60.0 or self.temperature_c - self._before_c >= 8.0

    def _advance_piece(self, until_ms: int) -> None:
        dt_s = (until_ms - self._at_ms) / 1000.0
        local = datetime.fromtimestamp(self._at_ms / 1000.0, self._zone_s)
        busy = 2.0 * share(self._seed, "busy", self._asset, self._at_ms // HOUR_MS)
        sky = self._weather.at(self._at_ms)
        period = self._faults.active(self._asset, self._at_ms)
        burning = period is not None and period.fault is FaultName.FIRE
        if burning:
            self.fill = max(self.fill - FIRE_FILL_PER_H * dt_s / 3600.0, 0.03)
        else:
            self.fill = filled(self.fill, dt_s, self._per_day, local.hour, local.weekday(), busy)
        self.temperature_c = warmed(self.temperature_c, dt_s, sky.air_temperature_c, sky.radiation_w_m2, burning)

    def _lid_share(self) -> float:
        """Share of the time that somebody holds the lid open."""
        local = datetime.fromtimestamp(self._at_ms / 1000.0, self._zone_s)
        return 0.25 * HOURS[local.hour] / max(HOURS)

    def _collect(self) -> None:
        if share(self._seed, "round", self._asset, self._collection_ms) >= ROUND_SKIPPED:
            self.fill = between(0.01, 0.05, self._seed, "rest", self._asset, self._collection_ms)
            self.collections += 1
        self._collection_ms = self._next_collection_ms(self._at_ms)

    def _next_collection_ms(self, after_ms: int) -> int:
        """The first collection after `after_ms`: every other day, minutes after the trucks have started."""
        local = datetime.fromtimestamp(after_ms / 1000.0, self._zone_s)
        for days in range(ROUND_EVERY_DAYS + 1):
            date = local.date() + timedelta(days=days)
            if date.toordinal() % ROUND_EVERY_DAYS != self._round_day:
                continue
            start = datetime(date.year, date.month, date.day, ROUND_HOUR, tzinfo=self._zone_s)
            moment_ms = round(start.timestamp() * 1000) + self._round_minute * 60_000
            if moment_ms > after_ms:
                return moment_ms
        raise AssertionError("a round comes within its period")
