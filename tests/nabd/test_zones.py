"""Zones are summed once a moment: exact means over several, no counter counted twice, unknown never zero."""

from contract.annals import Point
from contract.kind_file import load_kinds
from contract.ports import Device
from nabd.zones import Thing, Zones

KINDS = load_kinds()


def lamp(device: str, zone: str = "center", circuit: str = "C1") -> Device:
    return Device(
        device=device, kind="street_light", commune="berkane", zone=zone, asset=f"lamp-{device}", name="", lat=None,
        lon=None, settings={"circuit": circuit}, registered_at_ms=0,
    )  # fmt: skip


def by_zone(points: list[Point]) -> dict[str, Point]:
    return {point.tags["zone"]: point for point in points}


def test_values_are_summed_with_how_many_they_are_made_of() -> None:
    things = [
        Thing(lamp("a"), True, {"power_w": 60.0, "level": 1.0, "level_by": "lease"}, {}),
        Thing(lamp("b"), True, {"power_w": 30.0, "level": 0.5, "level_by": "schedule"}, {}),
        Thing(lamp("c"), False, {}, {}),
    ]
    (point,) = Zones(KINDS).points(things, 1_000)
    assert point.tags == {"kind": "street_light", "commune": "berkane", "zone": "center", "circuit": "C1"}
    assert point.fields == {
        "things": 3.0, "online": 2.0, "power_w": 90.0, "power_w_n": 2.0, "power_w_min": 30.0, "power_w_max": 60.0,
        "level": 1.5, "level_n": 2.0, "level_min": 0.5, "level_max": 1.0, "level_by_lease": 1.0,
        "level_by_schedule": 1.0,
    }  # fmt: skip


def test_what_nobody_knows_is_absent_and_not_zero() -> None:
    (point,) = Zones(KINDS).points([Thing(lamp("a"), False, {}, {})], 1_000)
    assert "power_w" not in point.fields


def test_a_counter_grows_by_device_and_never_backwards() -> None:
    zones = Zones(KINDS)

    def grown(**counts: float) -> object:
        things = [Thing(lamp(device), True, {}, {"energy_wh": count}) for device, count in counts.items()]
        return zones.points(things, 1_000)[0].fields["energy_wh"]

    assert grown(a=1_000.0, b=500.0) == 0.0, "seen first"
    assert grown(a=1_010.0, b=505.0) == 15.0
    assert grown(a=3.0, b=510.0, c=9_000.0) == 5.0, "one started anew, one is new"
    assert grown(a=5.0, b=510.0, c=9_001.0) == 3.0


def test_zones_and_groups_have_points_of_their_own() -> None:
    things = [
        Thing(lamp("a", "center"), True, {"power_w": 60.0}, {}),
        Thing(lamp("b", "north"), True, {"power_w": 20.0}, {}),
        Thing(lamp("c", "north", "C2"), True, {"power_w": 10.0}, {}),
    ]
    points = Zones(KINDS).points(things, 1_000)
    assert [(p.tags["zone"], p.tags["circuit"], p.fields["power_w"]) for p in points] == [
        ("center", "C1", 60.0), ("north", "C1", 20.0), ("north", "C2", 10.0),
    ]  # fmt: skip
    assert by_zone(points)["center"].at_ns == 1_000 * 10**6
