"""A site file is read whole or refused with every fault."""

import pytest

from contract.document import DocumentFault
from contract.site import read_site

GOOD = """\
commune: berkane
labels: {ar: بركان, fr: Berkane, en: Berkane}
latitude: 34.92
longitude: -2.32
timezone: Africa/Casablanca
zones:
  - zone: centre
    labels: {ar: وسط, fr: Centre, en: Centre}
    outline: [[34.9, -2.3], [34.91, -2.3], [34.91, -2.31]]
streets:
  - street: avenue-1
    zone: centre
    labels: {ar: شارع, fr: Avenue, en: Avenue}
    line: [[34.9, -2.3], [34.91, -2.31]]
"""


def test_a_good_site_is_read() -> None:
    site = read_site("berkane.yaml", GOOD)
    assert (site.commune, site.latitude, site.timezone) == ("berkane", 34.92, "Africa/Casablanca")
    assert site.zones[0].outline[0] == (34.9, -2.3)
    assert site.streets[0].labels["fr"] == "Avenue"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("latitude: 34.92", "latitude: 134.92", "latitude: 134.92 must be degrees from -90 to 90"),
        ("Africa/Casablanca", "Africa/Berkane", "timezone: 'Africa/Berkane' must be an IANA zone"),
        ("    zone: centre", "    zone: center", "zone: 'center' is not one of centre"),
        ("[[34.9, -2.3], [34.91, -2.31]]", "[[34.9, -2.3]]", "must be at least 2 points"),
        ("streets:", "street:", "unknown key 'street'; did you mean 'streets'?"),
        ("fr: Centre, ", "", "labels: no text for fr"),
    ],
)
def test_each_fault_is_named(old: str, new: str, message: str) -> None:
    with pytest.raises(DocumentFault) as refused:
        read_site("berkane.yaml", GOOD.replace(old, new))
    assert message in str(refused.value)
