"""A Mediterranean year, for any moment: weather is a function of (seed, place, time) and keeps no state.

Theory of operation. One slow noise, the *front*, decides each day: where it is high the day is wet, cloudy and mild,
where it is low clear and dry. Its threshold comes from the month, so wet days fall mostly between October and April.
A second slow noise moves the temperature. Within a day, air temperature runs on half cosines from the minimum at
dawn to the maximum in the afternoon and on to the next day's minimum; rain falls in one to three showers of constant
rate. Days are days of the local mean sun. Everything is drawn by key (`chance`), so nothing has to be stepped.

Monthly means are rounded from public climate tables of the lower Moulouya plain (hot-summer Mediterranean, about
330 mm of rain a year); they set the scene and are no record of any particular year.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from math import cos, exp, log, pi, radians, sin

from contract.wire.sun import elevation_deg
from simulators.chance import between, quantile, share, wave

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000

MIN_C = (6.0, 7.0, 8.5, 10.5, 13.5, 17.0, 19.5, 20.5, 18.0, 14.5, 10.5, 7.5)
MAX_C = (16.5, 17.5, 19.0, 21.0, 24.0, 27.5, 31.0, 31.5, 28.5, 24.5, 20.0, 17.0)
RAIN_MM = (44.0, 45.0, 43.0, 36.0, 26.0, 7.0, 2.0, 3.5, 15.0, 28.0, 44.0, 40.0)
WET_DAY_MM = 6.5  # mean depth of a wet day
WIND_M_S = (2.1, 2.3, 2.4, 2.4, 2.2, 2.2, 2.1, 2.0, 1.9, 1.8, 2.0, 2.1)  # at 2 m

DAWN_H = 6.0  # of the day's minimum, local mean solar time
AFTERNOON_H = 15.0  # of its maximum
CACHED_MAX = 1_024


@dataclass(frozen=True, slots=True)
class Shower:
    """Rain of constant rate."""

    from_ms: int
    until_ms: int
    depth_mm: float


@dataclass(frozen=True, slots=True)
class Day:
    """What is decided once a day."""

    min_c: float
    max_c: float
    dew_c: float
    cloudiness: float  # 0 clear to 1 overcast
    wind_m_s: float
    showers: tuple[Shower, ...]

    @property
    def rain_mm(self) -> float:
        return sum(shower.depth_mm for shower in self.showers)


@dataclass(frozen=True, slots=True)
class Sky:
    """The weather of one minute."""

    air_temperature_c: float
    humidity: float  # ratio
    wind_m_s: float  # at 2 m
    radiation_w_m2: float  # global, on the level
    cloudiness: float
    sun_elevation_deg: float


class Weather:
    """The weather of one place. Same seed and place, same weather; any time may be asked in any order."""

    def __init__(self, seed: int, latitude: float, longitude: float) -> None:
        self._seed = seed
        self._latitude = latitude
        self._longitude = longitude
        self._sun_ms = round(longitude * 240_000)  # the mean sun passes one degree in four minutes
        self._days: dict[int, Day] = {}
        self._skies: dict[int, Sky] = {}

    def day_number(self, at_ms: int) -> int:
        """Days of the local mean sun since 1970."""
        return (at_ms + self._sun_ms) // DAY_MS

    def solar_hour(self, at_ms: int) -> float:
        """Hour of the local mean sun, 0 to 24."""
        return (at_ms + self._sun_ms) % DAY_MS / HOUR_MS

    def day(self, number: int) -> Day:
        """The day `number` (see `day_number`)."""
        known = self._days.get(number)
        if known is None:
            if len(self._days) >= CACHED_MAX:
                self._days.clear()
            known = self._days[number] = self._draw_day(number)
        return known

    def at(self, at_ms: int) -> Sky:
        """The weather of the minute that holds `at_ms`."""
        minute = at_ms // MINUTE_MS
        known = self._skies.get(minute)
        if known is None:
            if len(self._skies) >= CACHED_MAX:
                self._skies.clear()
            known = self._skies[minute] = self._draw_sky(minute * MINUTE_MS)
        return known

    def rain_mm(self, from_ms: int, until_ms: int) -> float:
        """Rain that falls in [from_ms, until_ms)."""
        total = 0.0
        for number in range(self.day_number(from_ms), self.day_number(until_ms) + 1):
            for shower in self.day(number).showers:
                overlap_ms = min(until_ms, shower.until_ms) - max(from_ms, shower.from_ms)
                if overlap_ms > 0:
                    total += shower.depth_mm * overlap_ms / (shower.until_ms - shower.from_ms)
        return total

    def soil_temperature_c(self, at_ms: int) -> float:
        """At a depth of some 10 cm: the mean of the last days, and the day's swing damped to a third, 3 h late."""
        number = self.day_number(at_ms)
        days = [self.day(number - back) for back in range(4)]
        mean = sum((day.min_c + day.max_c) / 2 for day in days) / len(days)
        swing = self._air_c(at_ms - 3 * HOUR_MS) - (days[0].min_c + days[0].max_c) / 2
        return mean + 1.0 + swing / 3

    def _front(self, number: int) -> float:
        """Normal noise of days that remembers about two days: high is wet."""
        return self._slow("front", number)

    def _slow(self, name: str, number: int) -> float:
        """A moving average of three independent days, scaled to standard deviation 1."""
        return (
            0.8 * wave(number, self._seed, name)
            + 0.5 * wave(number - 1, self._seed, name)
            + 0.332 * wave(number - 2, self._seed, name)
        )

    def _draw_day(self, number: int) -> Day:
        midnight_ms = number * DAY_MS - self._sun_ms
        year_day = datetime.fromtimestamp(midnight_ms / 1000, UTC).timetuple().tm_yday
        front = self._front(number)
        wet_share = _seasonal(RAIN_MM, year_day) / 30.4 / WET_DAY_MM
        wet = front > quantile(1.0 - wet_share)
        drift = 2.2 * self._slow("warmth", number)
        dry_wind = not wet and 120 < year_day < 280 and share(self._seed, "chergui", number) < 0.03
        min_c = _seasonal(MIN_C, year_day) + 0.7 * drift + (1.5 if wet else 0.0) + (3.0 if dry_wind else 0.0)
        max_c = _seasonal(MAX_C, year_day) + drift - (2.5 if wet else 0.0) + (7.0 if dry_wind else 0.0)
        summer = max(0.0, cos(2 * pi * (year_day - 205) / 365.25))
        cloudiness = 0.42 + 0.2 * front - 0.2 * summer
        dew_c = min_c - 0.8 + 1.5 * self._slow("dew", number) - (9.0 if dry_wind else 0.0)
        wind = _seasonal(WIND_M_S, year_day) * exp(0.35 * self._slow("wind", number)) + (3.0 if dry_wind else 0.0)
        return Day(
            min_c=min(min_c, max_c - 2.0),
            max_c=max_c,
            dew_c=dew_c,
            cloudiness=between(0.7, 0.95, self._seed, "overcast", number) if wet else min(max(cloudiness, 0.02), 0.9),
            wind_m_s=wind,
            showers=self._draw_showers(number, midnight_ms) if wet else (),
        )

    def _draw_showers(self, number: int, midnight_ms: int) -> tuple[Shower, ...]:
        """One to three showers that share the day's depth; the depth of wet days is exponential."""
        depth_mm = -WET_DAY_MM * log(share(self._seed, "depth", number))
        count = 1 + int(3 * share(self._seed, "showers", number) ** 2)
        weights = [between(0.3, 1.0, self._seed, "weight", number, index) for index in range(count)]
        showers = []
        for index, weight in enumerate(weights):
            start = midnight_ms + round(between(0, 19.5 * HOUR_MS, self._seed, "start", number, index))
            length = round(between(0.5 * HOUR_MS, 4.5 * HOUR_MS, self._seed, "length", number, index))
            showers.append(Shower(start, start + length, depth_mm * weight / sum(weights)))
        return tuple(showers)

    def _draw_sky(self, at_ms: int) -> Sky:
        day = self.day(self.day_number(at_ms))
        raining = any(shower.from_ms <= at_ms < shower.until_ms for shower in day.showers)
        air_c = self._air_c(at_ms)
        cloudiness = self._cloudiness(at_ms, raining)
        elevation = elevation_deg(at_ms, self._latitude, self._longitude)
        humidity = vapour_pressure_kpa(min(day.dew_c, air_c)) / vapour_pressure_kpa(air_c)
        breeze = 1.0 + 0.55 * cos(2 * pi * (self.solar_hour(at_ms) - AFTERNOON_H) / 24)
        gust = exp(0.25 * wave(at_ms / (10 * MINUTE_MS), self._seed, "gust"))
        return Sky(
            air_temperature_c=air_c,
            humidity=min(max(humidity, 0.93 if raining else 0.08), 1.0),
            wind_m_s=min(max(day.wind_m_s * breeze * gust, 0.1), 30.0),
            radiation_w_m2=clear_radiation_w_m2(elevation) * cloud_shade(cloudiness),
            cloudiness=cloudiness,
            sun_elevation_deg=elevation,
        )

    def _air_c(self, at_ms: int) -> float:
        """Half cosines between the turning points: maximum yesterday, minimum at dawn, maximum, minimum tomorrow."""
        number, hour = self.day_number(at_ms), self.solar_hour(at_ms)
        day = self.day(number)
        night_h = 24.0 - AFTERNOON_H + DAWN_H
        if hour < DAWN_H:
            return _ease(self.day(number - 1).max_c, day.min_c, (hour + 24.0 - AFTERNOON_H) / night_h)
        if hour < AFTERNOON_H:
            return _ease(day.min_c, day.max_c, (hour - DAWN_H) / (AFTERNOON_H - DAWN_H))
        return _ease(day.max_c, self.day(number + 1).min_c, (hour - AFTERNOON_H) / night_h)

    def _cloudiness(self, at_ms: int, raining: bool) -> float:
        """The days' values joined noon to noon, with clouds that pass in an hour or two."""
        noon = (at_ms + self._sun_ms - DAY_MS // 2) / DAY_MS
        before = int(noon // 1)
        part = noon - before
        base = (1.0 - part) * self.day(before).cloudiness + part * self.day(before + 1).cloudiness
        passing = 0.15 * wave(at_ms / (1.5 * HOUR_MS), self._seed, "cloud")
        return min(max(base + passing, 0.85 if raining else 0.0), 1.0)


def clear_radiation_w_m2(elevation_deg: float) -> float:
    """Global radiation under a clear sky (Haurwitz 1945); 0 when the sun is down."""
    height = sin(radians(elevation_deg))
    return 1098.0 * height * exp(-0.059 / height) if height > 0.001 else 0.0


def cloud_shade(cloudiness: float) -> float:
    """Share of the clear sky's light that clouds let through (Kasten and Czeplak 1980)."""
    return 1.0 - 0.75 * float(cloudiness**3.4)


def vapour_pressure_kpa(temperature_c: float) -> float:
    """Saturation vapour pressure (FAO-56 equation 11)."""
    return 0.6108 * exp(17.27 * temperature_c / (temperature_c + 237.3))


def _seasonal(months: tuple[float, ...], year_day: int) -> float:
    """Monthly means joined from mid-month to mid-month."""
    place = (year_day - 15.2) / 30.44
    before = int(place // 1)
    part = place - before
    return (1.0 - part) * months[before % 12] + part * months[(before + 1) % 12]


def _ease(start: float, end: float, part: float) -> float:
    return start + (end - start) * (1.0 - cos(pi * part)) / 2
