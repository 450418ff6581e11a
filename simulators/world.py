"""The city: what stands where, how it behaves as time goes on, and what is true of it.

    site + seed ──▶ assets (pole, bin, valve, station; with place and settings)
                       │ each has a Thing: advance(to city time, outputs) → its physics;  measure() → what sensors say
                       └ weather (a function of time), faults (a plan known as ground truth)

Read on in weather.py (the sky), lighting.py, waste.py, soil.py and irrigation.py (the physics), faults.py (what goes
wrong), device.py (a controller on an asset) and fleet.py (all of them on a broker). The world knows city time only:
it is told how far to go, and never asks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from contract.kind import Kinds, check_settings
from contract.kind_file import load_kinds
from contract.site import Site, Zone
from simulators.chance import share
from simulators.faults import FaultOptions, FaultPeriod, FaultPlan
from simulators.irrigation import Valve
from simulators.lighting import LampPost
from simulators.places import Place, Plan
from simulators.soil import CROPS
from simulators.station import Station
from simulators.waste import Bin
from simulators.weather import Weather

LAMPS_PER_CIRCUIT_MAX = 40
ROADS = (("boulevard", 120.0, "m3"), ("avenue", 90.0, "m4"))  # first word of a street's name, lamp in W, class
LANE = (60.0, "p3")
# Words in a zone's English name → what grows there, area of one valve's piece in m2, its flow in l/min.
GREENS = {
    "orchards": ("citrus", 2_500.0, 375.0),
    "park": ("warm_turf", 400.0, 60.0),
    "garden": ("ornamental", 300.0, 40.0),
}
ROADSIDE = ("trees", 250.0, 30.0)


class Thing(Protocol):
    """The physics of one asset, with its sensors."""

    def advance(self, at_ms: int, outputs: Mapping[str, float]) -> None:
        """Go on to city time `at_ms` with the actuators at `outputs` (target → value) all the way."""

    def measure(self) -> dict[str, float | int | bool | None]:
        """What the sensors say at the time reached: metric → value, in the kind's units, without its targets."""

    def urgent(self) -> bool:
        """Has a sensor seen something that must not wait for the next period?"""


@dataclass(frozen=True, slots=True)
class Asset:
    """One thing in the street: its id is also its device's."""

    asset: str
    kind: str
    place: Place
    settings: Mapping[str, float | str]


class World:
    """A city of a given size. Same arguments, same city, for ever; another seed, another city."""

    def __init__(
        self,
        site: Site,
        seed: int,
        *,
        lights: int,
        bins: int,
        valves: int,
        stations: int = 1,
        start_ms: int,
        faults: FaultOptions | None = None,
    ) -> None:
        """Raises ValueError for a negative count or a site without streets."""
        counts = {"lights": lights, "bins": bins, "valves": valves, "stations": stations}
        for name, count in counts.items():
            if count < 0:
                raise ValueError(f"{name}: {count} is negative; give 0 or more")
        if any(counts.values()) and not site.streets:
            raise ValueError(f"site {site.commune}: has no street to place anything on; add streets to its file")
        self.site = site
        self.seed = seed
        self.start_ms = start_ms
        self.weather = Weather(seed, site.latitude, site.longitude)
        plan = Plan(site)
        self.assets: Sequence[Asset] = (
            *_place_lights(plan, lights),
            *_place_bins(plan, bins),
            *_place_valves(plan, site, valves),
            *_place_stations(site, plan, stations),
        )
        self.faults = FaultPlan(seed, {asset.asset: asset.kind for asset in self.assets}, start_ms, faults)

    def truth(self, from_ms: int, until_ms: int) -> Sequence[FaultPeriod]:
        """Every fault there is in [from_ms, until_ms): what a perfect set of rules would have found."""
        return self.faults.truth(from_ms, until_ms)

    def thing(self, asset: Asset, at_ms: int) -> Thing:
        """The physics of an asset from `at_ms` on. Its state lives in the thing: make one of each."""
        if asset.kind == "street_light":
            return LampPost(asset.asset, asset.settings, self.seed, self.weather, self.faults, at_ms)
        if asset.kind == "waste_bin":
            zones = [zone.zone for zone in self.site.zones]
            index = zones.index(asset.place.zone) if asset.place.zone in zones else 0
            order = share(self.seed, "order", asset.asset)
            return Bin(asset.asset, order, index, self.site.timezone, self.seed, self.weather, self.faults, at_ms)
        if asset.kind == "irrigation_valve":
            zone = asset.place.zone
            return Valve(asset.asset, zone, asset.settings, self.seed, self.weather, self.faults, at_ms)
        return Station(asset.asset, self.seed, self.weather, at_ms)


def _place_lights(plan: Plan, count: int) -> list[Asset]:
    """On both sides of all streets; lamps of one zone that follow each other hang on one circuit."""
    assets = []
    in_zone: dict[str, int] = {}
    for index, place in enumerate(plan.along_streets(count, 5.0)):
        before = in_zone.get(place.zone, 0)
        in_zone[place.zone] = before + 1
        rated_w, lighting_class = next(
            ((watt, name) for word, watt, name in ROADS if place.name.lower().startswith(word)), LANE
        )
        settings: dict[str, float | str] = {
            "rated_power_w": rated_w,
            "circuit": f"{place.zone}-{before // LAMPS_PER_CIRCUIT_MAX + 1}",
            "lighting_class": lighting_class,
        }
        assets.append(_asset("lamp", index, "street_light", place, settings))
    return assets


def _place_bins(plan: Plan, count: int) -> list[Asset]:
    types = ("household", "household", "recyclable")
    return [
        _asset("bin", index, "waste_bin", place, {"volume_l": 770.0, "waste_type": types[index % len(types)]})
        for index, place in enumerate(plan.along_streets(count, 8.0))
    ]


def _place_valves(plan: Plan, site: Site, count: int) -> list[Asset]:
    """A third along the streets (trees), the rest in green zones; all along the streets where no zone is green."""
    greens = [(zone, green) for zone in site.zones if (green := _green(zone)) is not None]
    inside = count - count // 3 if greens else 0
    placed: list[tuple[Place, tuple[str, float, float]]] = []
    for index, (zone, green) in enumerate(greens):
        part = inside // len(greens) + (1 if index < inside % len(greens) else 0)
        placed += [(place, green) for place in plan.inside(zone, part)]
    placed += [(place, ROADSIDE) for place in plan.along_streets(count - inside, 7.0)]
    return [
        _asset(
            "valve",
            index,
            "irrigation_valve",
            place,
            {
                "crop": crop,
                "area_m2": area_m2,
                "design_flow_l_min": flow_l_min,
                "soil_refill_point": round(CROPS[crop].refill_point, 3),
            },
        )
        for index, (place, (crop, area_m2, flow_l_min)) in enumerate(placed)
    ]


def _place_stations(site: Site, plan: Plan, count: int) -> list[Asset]:
    """The first on the town hall's roof, in the site's centre; more ones out along the streets."""
    centre = Place(site.latitude, site.longitude, plan.zone_at(site.latitude, site.longitude), site.labels["fr"])
    places = [centre, *plan.along_streets(count - 1, 12.0)][:count]
    return [
        Asset(f"weather-{index + 1}", "weather_station", place, check_settings(_kinds()["weather_station"], {}))
        for index, place in enumerate(places)
    ]


def _green(zone: Zone) -> tuple[str, float, float] | None:
    words = zone.labels["en"].lower().split()
    return next((green for word, green in GREENS.items() if word in words), None)


def _asset(prefix: str, index: int, kind: str, place: Place, settings: Mapping[str, float | str]) -> Asset:
    return Asset(f"{prefix}-{index + 1:04d}", kind, place, check_settings(_kinds()[kind], settings))


@cache
def _kinds() -> Kinds:
    return load_kinds()
