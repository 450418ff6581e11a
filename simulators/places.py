"""Where things stand: points along a site's streets and inside its zones.

Distances in metres on a plane that touches the site's centre: exact enough for a town of a few kilometres.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import cos, hypot, radians

from contract.site import Point, Site, Street, Zone

M_PER_DEGREE = 111_195.0  # of latitude, on a sphere of 6,371 km


@dataclass(frozen=True, slots=True)
class Place:
    """A spot in the city and what people call it."""

    latitude: float
    longitude: float
    zone: str
    name: str


class Plan:
    """A site drawn on a plane."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._east_m = M_PER_DEGREE * cos(radians(site.latitude))

    def along_streets(self, count: int, side_m: float, streets: Sequence[Street] | None = None) -> list[Place]:
        """`count` places spread evenly over the streets, on both sides by turns, `side_m` from the middle.

        House numbers rise along each street. Empty when the site has no street.
        """
        streets = self._site.streets if streets is None else streets
        lengths = [self._length_m(street) for street in streets]
        total_m = sum(lengths)
        if total_m <= 0.0 or count <= 0:
            return []
        gap_m = total_m / count
        places: list[Place] = []
        begun_m = 0.0
        for street, length_m in zip(streets, lengths, strict=True):
            number = 0
            while len(places) < count and (len(places) + 0.5) * gap_m < begun_m + length_m:
                number += 1
                side = side_m if len(places) % 2 else -side_m
                latitude, longitude = self._at(street, (len(places) + 0.5) * gap_m - begun_m, side)
                zone = self.zone_at(latitude, longitude) or street.zone
                places.append(Place(latitude, longitude, zone, f"{street.labels['fr']} {number}"))
            begun_m += length_m
        while len(places) < count:  # the last gap may be lost to rounding
            latitude, longitude = streets[-1].line[-1]
            places.append(Place(latitude, longitude, streets[-1].zone, f"{streets[-1].labels['fr']} {len(places)}"))
        return places

    def inside(self, zone: Zone, count: int) -> list[Place]:
        """`count` places on a square lattice inside a zone's outline."""
        latitudes = [latitude for latitude, _ in zone.outline]
        longitudes = [longitude for _, longitude in zone.outline]
        steps = 2
        while True:
            found = [
                (latitude, longitude)
                for latitude in _spread(min(latitudes), max(latitudes), steps)
                for longitude in _spread(min(longitudes), max(longitudes), steps)
                if _contains(zone.outline, latitude, longitude)
            ]
            if len(found) >= count or steps > 4 * count + 16:
                break
            steps += 1
        if not found and count:
            found = [(sum(latitudes) / len(latitudes), sum(longitudes) / len(longitudes))]
        chosen = [found[index * len(found) // count] for index in range(count)]
        return [
            Place(round(latitude, 6), round(longitude, 6), zone.zone, f"{zone.labels['fr']} {index + 1}")
            for index, (latitude, longitude) in enumerate(chosen)
        ]

    def zone_at(self, latitude: float, longitude: float) -> str:
        """The zone that holds this point; empty outside of all."""
        for zone in self._site.zones:
            if _contains(zone.outline, latitude, longitude):
                return zone.zone
        return ""

    def area_m2(self, zone: Zone) -> float:
        """By the shoelace formula."""
        twice = 0.0
        for (lat_a, lon_a), (lat_b, lon_b) in _edges(zone.outline):
            twice += (lon_a * lat_b - lon_b * lat_a) * self._east_m * M_PER_DEGREE
        return abs(twice) / 2

    def _length_m(self, street: Street) -> float:
        return sum(self._distance_m(start, end) for start, end in pairwise(street.line))

    def _distance_m(self, start: Point, end: Point) -> float:
        return hypot((end[0] - start[0]) * M_PER_DEGREE, (end[1] - start[1]) * self._east_m)

    def _at(self, street: Street, way_m: float, side_m: float) -> Point:
        """The point `way_m` along a street and `side_m` to the left of it."""
        for start, end in pairwise(street.line):
            length_m = self._distance_m(start, end)
            if way_m <= length_m and length_m > 0.0:
                north_m = (end[0] - start[0]) * M_PER_DEGREE / length_m
                east_m = (end[1] - start[1]) * self._east_m / length_m
                latitude = start[0] + (north_m * way_m + east_m * side_m) / M_PER_DEGREE
                longitude = start[1] + (east_m * way_m - north_m * side_m) / self._east_m
                return round(latitude, 6), round(longitude, 6)
            way_m -= length_m
        return street.line[-1]


def _spread(low: float, high: float, steps: int) -> Iterator[float]:
    return (low + (high - low) * (index + 0.5) / steps for index in range(steps))


def _edges(outline: Sequence[Point]) -> Iterator[tuple[Point, Point]]:
    return zip(outline, (*outline[1:], outline[0]), strict=True)


def _contains(outline: Sequence[Point], latitude: float, longitude: float) -> bool:
    """Even-odd rule."""
    inside = False
    for (lat_a, lon_a), (lat_b, lon_b) in _edges(outline):
        if (lat_a > latitude) != (lat_b > latitude):
            crossing = lon_a + (latitude - lat_a) / (lat_b - lat_a) * (lon_b - lon_a)
            if longitude < crossing:
                inside = not inside
    return inside
