"""What all assets of a commune share: the hour, the sun and the weather. A function of time and of the log."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from contract.site import Site
from contract.wire.sun import elevation_deg
from rules import tree
from rules.asset import Asset

MINUTE_MS = 60_000
DAY_MS = 86_400_000
EPOCH_WEEKDAY = 3  # 1 January 1970 was a Thursday; Monday is 0
_OFFSET_STEP_MS = 900_000  # zones change their offset on a quarter of an hour


class Surroundings:
    """Answers for every shared input. Readings of weather stations reach it through ``changed``."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.zone = ZoneInfo(site.timezone)
        self.stations: dict[str, list[Asset]] = {}  # by commune, in order of asset id
        self.listened_ms = 0
        self._sun_s = -1
        self._sun_deg = 0.0
        self._offset_step = -1
        self._offset_ms = 0
        self._weather: dict[tuple[str, tree.SharedInput], tuple[tree.Value, int, int]] = {}

    def changed(self) -> None:
        """A weather station came, went or reported: what was remembered of the weather no longer holds."""
        self._weather.clear()

    def read(self, wanted: tree.SharedInput, commune: str, now_ms: int) -> tree.Value:
        """The value of a shared input in this commune."""
        match wanted:
            case tree.Now():
                return float(now_ms)
            case tree.Listened():
                return float(self.listened_ms)
            case tree.SunElevation():
                return self._sun_elevation_deg(now_ms)
            case tree.Between():
                minute = self.local_ms(now_ms) % DAY_MS // MINUTE_MS
                start, end = wanted.from_minute, wanted.to_minute
                return start <= minute < end if start < end else minute >= start or minute < end
            case tree.Weekday():
                return (self.local_ms(now_ms) // DAY_MS + EPOCH_WEEKDAY) % 7 in wanted.days
        return self._read_weather(wanted, commune, now_ms)

    def _sun_elevation_deg(self, now_ms: int) -> float:
        """At the beginning of this second: it is asked for every reading, and moves by less than 0.005 degrees."""
        now_s = now_ms // 1000
        if now_s != self._sun_s:
            self._sun_s = now_s
            self._sun_deg = elevation_deg(now_s * 1000, self.site.latitude, self.site.longitude)
        return self._sun_deg

    def local_ms(self, now_ms: int) -> int:
        """Unix ms shifted by the zone's offset: its remainder by a day is the local time of day."""
        step = now_ms // _OFFSET_STEP_MS
        if step != self._offset_step:
            offset = datetime.fromtimestamp(step * _OFFSET_STEP_MS / 1000, UTC).astimezone(self.zone).utcoffset()
            assert offset is not None
            self._offset_step = step
            self._offset_ms = round(offset.total_seconds() * 1000)
        return now_ms + self._offset_ms

    def _read_weather(self, wanted: tree.Weather | tree.WeatherRain, commune: str, now_ms: int) -> tree.Value:
        key = (commune, wanted)
        if known := self._weather.get(key):
            value, from_ms, until_ms = known
            if from_ms <= now_ms < until_ms:
                return value
        stations = self.stations.get(commune)
        if not stations:
            return None
        station = max(stations, key=lambda asset: asset.memory.newest_ms(wanted.fresh))
        asked = (
            tree.Current(wanted.metric, wanted.fresh, wanted.doubtful) if isinstance(wanted, tree.Weather) else wanted
        )
        value, until_ms = station.memory.read(asked, now_ms, station.period_ms)
        self._weather[key] = (value, now_ms, until_ms)
        return value
