"""A weather station: the city's weather as instruments see it, rain as tips of a bucket."""

from collections.abc import Mapping

from simulators.chance import between
from simulators.weather import Weather

TIP_UM = 200  # a tipping bucket of 0.2 mm


class Station:
    """One weather station in the city. Implements world.Thing."""

    def __init__(self, asset: str, seed: int, weather: Weather, at_ms: int) -> None:
        self._weather = weather
        self._tips = round(between(0, 9_000, seed, "tips", asset))  # of the years before
        self._bucket_um = 0.0
        self._at_ms = at_ms

    def advance(self, at_ms: int, outputs: Mapping[str, float]) -> None:
        if at_ms > self._at_ms:
            self._bucket_um += 1000.0 * self._weather.rain_mm(self._at_ms, at_ms)
            tips = int(self._bucket_um / TIP_UM)
            self._bucket_um -= tips * TIP_UM
            self._tips += tips
            self._at_ms = at_ms

    def measure(self) -> dict[str, float | int | bool | None]:
        sky = self._weather.at(self._at_ms)
        return {
            "air_temperature_c": round(sky.air_temperature_c, 1),
            "humidity": round(sky.humidity, 2),
            "wind_m_s": round(sky.wind_m_s, 1),
            "rain_um": self._tips * TIP_UM,
            "radiation_w_m2": round(sky.radiation_w_m2),
        }

    def urgent(self) -> bool:
        return False
