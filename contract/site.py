"""The place itself: where it lies, its time zone, and the outlines a map shows without the internet."""

import re
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from contract.document import Document, is_list, is_mapping, is_number, is_text
from contract.kind import LANGUAGES, Labels

Point = tuple[float, float]
"""(latitude, longitude) in degrees, WGS 84."""


class Zone(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a commune that people speak of: a quarter, a park."""

    zone: str
    labels: Labels
    outline: tuple[Point, ...]


class Street(msgspec.Struct, frozen=True, kw_only=True):
    street: str
    zone: str
    labels: Labels
    line: tuple[Point, ...]


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """One commune."""

    commune: str
    labels: Labels
    latitude: float
    longitude: float
    timezone: str
    zones: tuple[Zone, ...]
    streets: tuple[Street, ...]


def read_site(file: str, text: str) -> Site:
    """A site file. Raises DocumentFault with all that is wrong in it."""
    document = Document(file, text)
    document.finish()  # what is no YAML has no keys to judge
    root = document.root
    document.check_keys(root, ("commune", "labels", "latitude", "longitude", "timezone", "zones", "streets"), "site")
    zones = tuple(
        Zone(
            zone=document.take(node, "zone", "a name like old-town", _is_name, required=True, default=""),
            labels=document.take_labels(node, "labels", LANGUAGES),
            outline=_take_points(document, node, "outline", 3),
        )
        for node in _items(document, root, "zones", ("zone", "labels", "outline"))
    )
    streets = tuple(
        Street(
            street=document.take(node, "street", "a name like avenue-1", _is_name, required=True, default=""),
            zone=document.take(node, "zone", "the name of a zone", _is_name, required=True, default=""),
            labels=document.take_labels(node, "labels", LANGUAGES),
            line=_take_points(document, node, "line", 2),
        )
        for node in _items(document, root, "streets", ("street", "zone", "labels", "line"))
    )
    known = {zone.zone for zone in zones}
    for index, street in enumerate(streets):
        if street.zone and street.zone not in known:
            document.fault(root["streets"], index, f"zone: {street.zone!r} is not one of {', '.join(sorted(known))}")
    site = Site(
        commune=document.take(root, "commune", "a name like berkane", _is_name, required=True, default=""),
        labels=document.take_labels(root, "labels", LANGUAGES),
        latitude=document.take(root, "latitude", "degrees from -90 to 90", _within(90), required=True, default=0.0),
        longitude=document.take(
            root, "longitude", "degrees from -180 to 180", _within(180), required=True, default=0.0
        ),
        timezone=document.take(root, "timezone", "an IANA zone", _is_timezone, default="Africa/Casablanca"),
        zones=zones,
        streets=streets,
    )
    document.finish()
    return site


def _items(document: Document, root: Any, name: str, keys: tuple[str, ...]) -> list[Any]:
    items = document.take(root, name, "a list", is_list, required=True, default=[])
    good = []
    for index, node in enumerate(items):
        if is_mapping(node):
            document.check_keys(node, keys, name)
            good.append(node)
        else:
            document.fault(items, index, f"{name}: each entry is a mapping")
    return good


def _take_points(document: Document, node: Any, key: str, least: int) -> tuple[Point, ...]:
    def is_line(value: Any) -> bool:
        return (
            is_list(value)
            and len(value) >= least
            and all(is_list(point) and len(point) == 2 and all(map(is_number, point)) for point in value)
        )

    points = document.take(
        node, key, f"at least {least} points [latitude, longitude]", is_line, required=True, default=()
    )
    return tuple((float(latitude), float(longitude)) for latitude, longitude in points)


def _within(limit: float) -> Any:
    return lambda value: is_number(value) and -limit <= value <= limit


def _is_name(value: Any) -> bool:
    return is_text(value) and re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", value) is not None


def _is_timezone(value: Any) -> bool:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        return False
    return True
