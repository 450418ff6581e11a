"""The shipped Berkane looks like a town on a map."""

from itertools import combinations, pairwise
from math import dist

from contract.site import Point
from simulators.places import M_PER_DEGREE, Plan
from tests.simulators.city import berkane


def crosses(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Do the insides of two straight lines cross?"""

    def side(p: Point, q: Point, r: Point) -> float:
        turn = (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])
        return 0.0 if abs(turn) < 1e-12 else turn

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


def test_it_has_zones_and_streets_named_in_three_languages() -> None:
    site = berkane()
    assert 6 <= len(site.zones) <= 8
    assert 20 <= len(site.streets) <= 30
    for labels in [site.labels, *(zone.labels for zone in site.zones), *(street.labels for street in site.streets)]:
        assert all("\u0600" <= letter <= "\u06ff" or letter == " " for letter in labels["ar"]), labels
        assert labels["fr"].isprintable()
        assert labels["en"].isascii()
    assert len({street.labels["fr"] for street in site.streets}) == len(site.streets)


def test_it_lies_around_its_centre_and_is_a_few_kilometres_wide() -> None:
    site = berkane()
    points = [point for zone in site.zones for point in zone.outline]
    points += [point for street in site.streets for point in street.line]
    assert all(dist(point, (site.latitude, site.longitude)) * M_PER_DEGREE < 3_000 for point in points)


def test_one_can_walk_from_every_street_to_every_other() -> None:
    streets = [set(street.line) for street in berkane().streets]
    reached = streets.pop(0)
    while near := [street for street in streets if street & reached]:
        for street in near:
            reached |= street
            streets.remove(street)
    assert not streets


def test_streets_that_cross_share_the_point() -> None:
    for one, other in combinations(berkane().streets, 2):
        for a, b in pairwise(one.line):
            for c, d in pairwise(other.line):
                shared = {a, b} & {c, d}
                assert shared or not crosses(a, b, c, d), (one.street, other.street)


def test_zones_do_not_overlap() -> None:
    site = berkane()
    plan = Plan(site)
    for one, other in combinations(site.zones, 2):
        for a, b in zip(one.outline, (*one.outline[1:], one.outline[0]), strict=True):
            for c, d in zip(other.outline, (*other.outline[1:], other.outline[0]), strict=True):
                assert not crosses(a, b, c, d), (one.zone, other.zone)
    for zone in site.zones:
        assert 10e4 < plan.area_m2(zone) < 200e4
        assert all(place.zone == plan.zone_at(place.latitude, place.longitude) for place in plan.inside(zone, 50))


def test_streets_run_through_their_zone() -> None:
    site = berkane()
    plan = Plan(site)
    for street in site.streets:
        places = plan.along_streets(9, 0.0, [street])
        assert sum(place.zone == street.zone for place in places) >= 8, street.street
