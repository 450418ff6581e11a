"""Irrigation valves: pressure, flow and meter, and the soil they water.

Pressures in bar, flows in l/min, volumes in ml. One litre on one square metre is one millimetre.
"""

from collections.abc import Mapping
from math import sqrt

from simulators.chance import between, share, wave
from simulators.faults import FaultName, FaultPlan
from simulators.soil import CROPS, Soil, balance, reference_et_mm_h
from simulators.weather import HOUR_MS, Weather

SUPPLY_BAR = 3.2
RUNNING_BAR = 2.4  # at the valve with its design flow: what designers reckon with
EFFICIENCY = 0.85  # share of the water that reaches the roots
STEP_MS = 15 * 60_000  # the soil changes slowly; the weather is looked at once a quarter of an hour
CLOGGED_SHARE = 0.5
DRY_SHARE = 0.35  # of the pieces of land that start below their refill point


def running_flow_l_min(design_flow_l_min: float, running_bar: float) -> float:
    """Flow of an open valve: it goes with the square root of the pressure (orifice equation)."""
    return design_flow_l_min * sqrt(max(running_bar, 0.0) / RUNNING_BAR)


def supply_bar(seed: int, zone: str, at_ms: int, solar_hour: float) -> float:
    """Static pressure of the network in a zone: lower in the evening when everybody draws."""
    evening = max(0.0, 1.0 - abs(solar_hour - 20.0) / 3.0)
    return SUPPLY_BAR - 0.35 * evening + 0.08 * wave(at_ms / HOUR_MS, seed, "supply", zone)


class Valve:
    """One valve in the city with flow meter and soil probe. Implements world.Thing."""

    def __init__(
        self, asset: str, zone: str, settings: Mapping[str, float | str], seed: int, weather: Weather,
        faults: FaultPlan, at_ms: int,
    ) -> None:  # fmt: skip
        self._asset = asset
        self._zone = zone
        self._seed = seed
        self._weather = weather
        self._faults = faults
        self._area_m2 = float(settings["area_m2"])
        self._design_l_min = float(settings["design_flow_l_min"])
        self.crop = CROPS[str(settings["crop"])]
        self.soil = self._starting_soil(float(settings["soil_refill_point"]))
        self.volume_ml = round(between(2e8, 4e9, seed, "meter", asset))
        self._volume_part_ml = 0.0
        self._battery = between(0.6, 1.0, seed, "battery", asset)
        self._leak_share = between(0.04, 0.12, seed, "leak", asset)
        self._open = False
        self._at_ms = self._started_ms = at_ms

    def advance(self, at_ms: int, outputs: Mapping[str, float]) -> None:
        self._open = outputs.get("open", 0.0) > 0.5
        while self._at_ms < at_ms:
            until_ms = min(at_ms, self._at_ms - self._at_ms % STEP_MS + STEP_MS)
            dt_s = (until_ms - self._at_ms) / 1000.0
            flow_l_min, _ = self._hydraulics(self._at_ms)
            litres = flow_l_min * dt_s / 60.0
            self._count(litres)
            self.soil = balance(
                self.soil,
                dt_s,
                self.crop,
                reference_et_mm_h(self._weather.at(self._at_ms)),
                self._weather.rain_mm(self._at_ms, until_ms),
                EFFICIENCY * litres / self._area_m2,
            )
            self._at_ms = until_ms

    def measure(self) -> dict[str, float | int | bool | None]:
        flow_l_min, pressure_bar = self._hydraulics(self._at_ms)
        noise = wave(self._at_ms / HOUR_MS, self._seed, "probe", self._asset)
        years = (self._at_ms - self._started_ms) / (365.25 * 24 * HOUR_MS)
        turbulence = 1.0 + 0.01 * wave(self._at_ms / 30_000, self._seed, "turbulence", self._asset)
        return {
            "flow_l_min": round(flow_l_min * turbulence, 1),
            "volume_ml": self.volume_ml,
            "pressure_bar": round(pressure_bar, 2),
            "soil_moisture": round(min(max(self.soil.content(self.crop) + 0.0008 * noise, 0.0), 1.0), 3),
            "soil_temperature_c": round(self._weather.soil_temperature_c(self._at_ms), 1),
            "battery_level": round(max(self._battery - 0.1 * years, 0.05), 2),
        }

    def urgent(self) -> bool:
        return False

    def _hydraulics(self, at_ms: int) -> tuple[float, float]:
        """(flow, pressure at the valve) now."""
        static = supply_bar(self._seed, self._zone, at_ms, self._weather.solar_hour(at_ms))
        period = self._faults.active(self._asset, at_ms)
        fault = period.fault if period is not None else None
        if self._open:
            running = static * RUNNING_BAR / SUPPLY_BAR
            clogged = CLOGGED_SHARE if fault is FaultName.CLOGGED else 1.0
            return clogged * running_flow_l_min(self._design_l_min, running), running
        if fault is FaultName.LEAK:
            return self._leak_share * self._design_l_min, static - 0.1
        return 0.0, static

    def _count(self, litres: float) -> None:
        """Add to the meter; what is less than a millilitre waits."""
        self._volume_part_ml += litres * 1000.0
        whole = int(self._volume_part_ml)
        self._volume_part_ml -= whole
        self.volume_ml += whole

    def _starting_soil(self, refill_point: float) -> Soil:
        """A good third of the land starts dry enough to be watered the first night, the rest anywhere above."""
        if share(self._seed, "dry", self._asset) < DRY_SHARE:
            content = refill_point - between(0.002, 0.012, self._seed, "soil", self._asset)
        else:
            content = between(refill_point + 0.002, self.crop.field_capacity, self._seed, "soil", self._asset)
        return Soil(water_mm=content * 1000.0 * self.crop.root_m)
