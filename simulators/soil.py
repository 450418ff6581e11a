"""Soil water: reference evapotranspiration and the balance of the root zone, after FAO-56.

FAO Irrigation and Drainage Paper 56 (Allen, Pereira, Raes, Smith 1998). Pure functions; water in mm of depth, water
content as volume of water in volume of soil, times in seconds. The root zone is one bucket.
"""

from dataclasses import dataclass, replace
from math import exp, sqrt

from simulators.weather import Sky, vapour_pressure_kpa

ALTITUDE_M = 150.0  # of the town; sets the air pressure
STEFAN_BOLTZMANN_MJ = 2.043e-10  # MJ m-2 h-1 K-4 (FAO-56 equation 39 by the hour)
ALBEDO = 0.23  # of the reference grass


@dataclass(frozen=True, slots=True)
class Crop:
    """What grows on a piece of loam, and what the loam holds."""

    kc: float  # crop coefficient, mid season (FAO-56 table 12)
    p: float  # share of the available water that is taken without stress at 5 mm/d (table 22)
    root_m: float  # effective depth of the irrigated root zone
    field_capacity: float = 0.28  # loam (table 19: 0.20 to 0.30)
    wilting_point: float = 0.12  # loam (table 19: 0.07 to 0.17)
    saturation: float = 0.43
    drain_s: float = 43_200.0  # time constant of drainage above field capacity

    @property
    def available_mm(self) -> float:
        """TAW, total available water (equation 82)."""
        return 1000.0 * (self.field_capacity - self.wilting_point) * self.root_m

    @property
    def refill_point(self) -> float:
        """Water content at which stress begins at 5 mm/d: RAW is used up."""
        return self.field_capacity - self.p * (self.field_capacity - self.wilting_point)


# Kc and p of FAO-56 tables 12 and 22 (citrus with 70 % canopy; ornamentals and street trees by judgement).
CROPS = {
    "citrus": Crop(kc=0.65, p=0.50, root_m=0.60),
    "olive": Crop(kc=0.70, p=0.65, root_m=0.70),
    "warm_turf": Crop(kc=0.85, p=0.50, root_m=0.30),
    "cool_turf": Crop(kc=0.95, p=0.40, root_m=0.30),
    "ornamental": Crop(kc=0.75, p=0.45, root_m=0.30),
    "trees": Crop(kc=0.70, p=0.55, root_m=0.60),
}


@dataclass(frozen=True, slots=True)
class Soil:
    """Water in the root zone, and where all water has gone since the beginning: the balance closes exactly.

    ``water_mm = start + irrigated_mm + rained_mm - evaporated_mm - drained_mm - ran_off_mm``
    """

    water_mm: float  # above dry
    irrigated_mm: float = 0.0
    rained_mm: float = 0.0
    evaporated_mm: float = 0.0
    drained_mm: float = 0.0
    ran_off_mm: float = 0.0

    def content(self, crop: Crop) -> float:
        """Volumetric water content."""
        return self.water_mm / (1000.0 * crop.root_m)


def reference_et_mm_h(sky: Sky) -> float:
    """ET0 of grass by the hourly Penman-Monteith equation (FAO-56 equation 53), mm/h, never negative.

    Net long-wave radiation uses the sky's own cloudiness in the place of Rs/Rso, so that it works at night too
    (chapter 4, hourly steps).
    """
    air_c = sky.air_temperature_c
    saturated = vapour_pressure_kpa(air_c)
    actual = saturated * sky.humidity
    slope = 4098.0 * saturated / (air_c + 237.3) ** 2  # equation 13
    pressure = 101.3 * float(((293.0 - 0.0065 * ALTITUDE_M) / 293.0) ** 5.26)  # equation 7
    psychrometric = 0.000665 * pressure  # equation 8
    short_wave = (1.0 - ALBEDO) * sky.radiation_w_m2 * 0.0036  # MJ m-2 h-1
    clearness = 1.35 * (1.0 - 0.65 * sky.cloudiness) - 0.35
    long_wave = STEFAN_BOLTZMANN_MJ * (air_c + 273.16) ** 4 * (0.34 - 0.14 * sqrt(actual)) * max(clearness, 0.05)
    net = short_wave - long_wave
    into_soil = net * (0.1 if net > 0.0 else 0.5)  # equations 45 and 46
    drying = psychrometric * 37.0 / (air_c + 273.0) * sky.wind_m_s * (saturated - actual)
    wet = 0.408 * slope * (net - into_soil) + drying
    return max(wet / (slope + psychrometric * (1.0 + 0.34 * sky.wind_m_s)), 0.0)


def stress(soil: Soil, crop: Crop, et_mm_d: float) -> float:
    """Ks, 0 to 1: how freely the crop still drinks (equation 84), p corrected for the day's demand (table 22)."""
    p = min(max(crop.p + 0.04 * (5.0 - et_mm_d), 0.1), 0.8)
    depleted = 1000.0 * crop.root_m * crop.field_capacity - soil.water_mm
    readily = p * crop.available_mm
    if depleted <= readily:
        return 1.0
    return max((crop.available_mm - depleted) / (crop.available_mm - readily), 0.0)


def balance(soil: Soil, dt_s: float, crop: Crop, et0_mm_h: float, rain_mm: float, irrigation_mm: float) -> Soil:
    """The root zone after `dt_s` (at most an hour) with this rain and irrigation in it (equation 85).

    Water above saturation runs off; above field capacity it drains in about half a day; the crop takes
    Kc · Ks · ET0.
    """
    hours = dt_s / 3600.0
    demand = crop.kc * et0_mm_h
    evaporated = min(demand * stress(soil, crop, demand * 24.0) * hours, soil.water_mm)
    water = soil.water_mm - evaporated + rain_mm + irrigation_mm
    ran_off = max(water - 1000.0 * crop.root_m * crop.saturation, 0.0)
    water -= ran_off
    above = max(water - 1000.0 * crop.root_m * crop.field_capacity, 0.0)
    drained = above * (1.0 - exp(-dt_s / crop.drain_s))
    return replace(
        soil,
        water_mm=water - drained,
        irrigated_mm=soil.irrigated_mm + irrigation_mm,
        rained_mm=soil.rained_mm + rain_mm,
        evaporated_mm=soil.evaporated_mm + evaporated,
        drained_mm=soil.drained_mm + drained,
        ran_off_mm=soil.ran_off_mm + ran_off,
    )
