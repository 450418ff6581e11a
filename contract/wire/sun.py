"""Where the sun stands, to 0.3 degrees, from integer milliseconds. Runs on MicroPython too.

The low-precision formulas of the Astronomical Almanac (page C5; good to 0.01 degrees until 2050), without refraction.
Floats on the ESP32 have 24 bits: everything that grows with the date is computed in integers (units of 1e-7 degrees)
and only angles and the time within a day become floats, so the error there stays below 0.01 degrees too.
"""

import math

DAY_MS = 86400000
_J2000_MS = 946728000000  # 2000-01-01 12:00 UTC
_TURN = 3600000000  # 360 degrees in units of 1e-7 degrees
_MEAN_LONGITUDE = (2804600000, 9856474)  # at J2000, a day
_MEAN_ANOMALY = (3575280000, 9856003)
_SIDEREAL = (2804606184, 9856474)  # Greenwich mean sidereal time beyond one turn a day
_OBLIQUITY_DEG = 23.439
_ROUNDS = 4  # of refining an event; each leaves less than a hundredth of the error of the one before


def elevation_deg(unix_ms: int, latitude: float, longitude: float) -> float:
    """Degrees of the sun's centre above the horizon, without refraction, at a place in degrees (north, east > 0)."""
    declination, hour_angle = _place(unix_ms, longitude)
    phi = math.radians(latitude)
    height = math.sin(phi) * math.sin(declination) + math.cos(phi) * math.cos(declination) * math.cos(hour_angle)
    return math.degrees(math.asin(max(-1.0, min(1.0, height))))


def sunrise_sunset_ms(
    day_start_unix_ms: int, latitude: float, longitude: float, elevation_deg: float = -0.833
) -> "tuple[int | None, int | None]":
    """When the sun rises and sets through `elevation_deg` in the 24 h from `day_start_unix_ms` (Unix ms).

    None for what does not happen in them (polar day or night, or it falls just outside). The default elevation
    is the upper limb with usual refraction; the civil twilight's is -6.
    """
    _, hour_angle = _place(day_start_unix_ms, longitude)
    noon = day_start_unix_ms - int(hour_angle / (2 * math.pi) * DAY_MS)
    found = [None, None]  # type: list[int | None]
    for side in (0, 1):
        for days in (-1, 0, 1):
            event = _event(noon + days * DAY_MS, latitude, longitude, elevation_deg, -1.0 if side == 0 else 1.0)
            if event is not None and day_start_unix_ms <= event < day_start_unix_ms + DAY_MS:
                found[side] = event
                break
    return found[0], found[1]


def _event(noon: int, latitude: float, longitude: float, elevation: float, side: float) -> "int | None":
    """When the sun stands at `elevation` before (side -1) or after (side 1) this noon, or None."""
    phi = math.radians(latitude)
    moment = noon
    for _ in range(_ROUNDS):
        declination, hour_angle = _place(moment, longitude)
        across = math.cos(phi) * math.cos(declination)
        if abs(across) < 1e-6:  # at a pole the sun neither rises nor sets within a day
            return None
        cosine = (math.sin(math.radians(elevation)) - math.sin(phi) * math.sin(declination)) / across
        if not -1.0 <= cosine <= 1.0:
            return None
        turn = (side * math.acos(cosine) - hour_angle) / (2 * math.pi)
        turn -= math.floor(turn + 0.5)  # the nearest one, whatever the day
        moment += int(turn * DAY_MS)
    return moment


def _place(unix_ms: int, longitude: float) -> "tuple[float, float]":
    """(declination, local hour angle within -pi and pi), radians."""
    since = unix_ms - _J2000_MS
    days = since // DAY_MS
    fraction = (since - days * DAY_MS) / DAY_MS
    anomaly = math.radians(_angle(_MEAN_ANOMALY, days, fraction))
    ecliptic = math.radians(
        _angle(_MEAN_LONGITUDE, days, fraction) + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly)
    )
    # The obliquity shrinks by 0.013 degrees a century: nothing at this precision.
    tilt = math.radians(_OBLIQUITY_DEG)
    declination = math.asin(math.sin(tilt) * math.sin(ecliptic))
    ascension = math.atan2(math.cos(tilt) * math.sin(ecliptic), math.cos(ecliptic))
    sidereal = _angle(_SIDEREAL, days, fraction) + 360.0 * fraction + longitude
    hour_angle = math.radians(sidereal) - ascension
    return declination, hour_angle - 2 * math.pi * math.floor(hour_angle / (2 * math.pi) + 0.5)


def _angle(line: "tuple[int, int]", days: int, fraction: float) -> float:
    """Degrees of an angle that grows evenly; whole days are counted in integers."""
    return ((line[0] + line[1] * days) % _TURN) / 1e7 + line[1] / 1e7 * fraction
