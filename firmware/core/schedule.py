"""The node's own schedule: what a light does when nobody tells it anything.

Theory of operation. A schedule is a list of (event, value): an event is `sunset` or `sunrise`, also with minutes
(`sunset-10`), or a local time `22:30`. The value holds from its event to the next. Where a schedule names both sunset
and sunrise, a local time that falls in daylight is passed over: a dimming step of the winter morning must not light
the street in June. Values and the moment of the next change are computed once a change, not at every step.

Without a clock (or a place) there is no schedule; the photocell rules if there is one (on below `ON_LX`, off above
`OFF_LX`, so that the lamp's own light does not make it blink), else the safe value does.
"""

from contract.wire.sun import sunrise_sunset_ms
from firmware.core.constants import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DAY_MS = const(86_400_000)
MINUTE_MS = const(60_000)
ENTRIES_MAX = const(16)
ON_LX = const(30)  # a usual photocell of street lighting closes at some 20 to 50 lx (ANSI C136.10) …
OFF_LX = const(60)  # … and opens at up to twice that


class ScheduleFault(ValueError):
    """A schedule that cannot be read; the sentence names the entry and what is allowed."""


class Schedule:
    """Values over the local day, from sun and clock."""

    def __init__(
        self,
        entries: "list[Any]",
        latitude: "float | None",
        longitude: "float | None",
        utc_offset_min: int,
    ) -> None:
        """`entries`: [event, value] each. Raises ScheduleFault with the first bad one."""
        if not 1 <= len(entries) <= ENTRIES_MAX:
            raise ScheduleFault("schedule: %d entries; 1 to %d are possible" % (len(entries), ENTRIES_MAX))
        self._entries = [(_event(entry[0]), float(entry[1])) for entry in entries]  # ((sun or "", minutes), value)
        suns = [event[0] for event, _ in self._entries if event[0]]
        if suns and (latitude is None or longitude is None):
            raise ScheduleFault("schedule: %s needs lat and lon in the configuration" % suns[0])
        self._latitude = latitude
        self._longitude = longitude
        self._offset_ms = utc_offset_min * MINUTE_MS
        self._nights_only = "sunset" in suns and "sunrise" in suns

    def at(self, unix_ms: int) -> "tuple[float | None, int]":
        """(value now, Unix ms of the next change). The value is None when nothing happened since yesterday."""
        today = (unix_ms + self._offset_ms) // DAY_MS
        changes = []  # type: list[tuple[int, float]]
        for day in (today - 1, today, today + 1):
            changes += self._changes(day * DAY_MS - self._offset_ms)
        changes.sort()
        value = None  # type: float | None
        for moment, to in changes:
            if moment > unix_ms:
                return value, moment
            value = to
        return value, (today + 1) * DAY_MS - self._offset_ms

    def _changes(self, day_start_ms: int) -> "list[tuple[int, float]]":
        rise = down = None  # type: int | None
        if self._latitude is not None and self._longitude is not None:
            rise, down = sunrise_sunset_ms(day_start_ms, self._latitude, self._longitude)
        changes = []
        for (sun, minutes), value in self._entries:
            base = day_start_ms if not sun else rise if sun == "sunrise" else down
            if base is None:
                continue
            moment = base + minutes * MINUTE_MS
            daylight = rise is not None and down is not None and rise <= moment < down
            if not sun and self._nights_only and daylight:
                continue
            changes.append((moment, value))
        return changes


class Photocell:
    """Light or dark, with hysteresis."""

    def __init__(self) -> None:
        self.dark = None  # type: bool | None
        self._seen_up_ms = 0

    def saw(self, up_ms: int, lux: float) -> None:
        self._seen_up_ms = up_ms
        if lux < ON_LX:
            self.dark = True
        elif lux > OFF_LX or self.dark is None:
            self.dark = False

    def at(self, up_ms: int, fresh_ms: int) -> "bool | None":
        """Is it dark? None when nothing was seen within `fresh_ms`."""
        return None if self.dark is None or up_ms - self._seen_up_ms > fresh_ms else self.dark


def read_schedule(config: "dict[str, Any]", targets: "dict[str, Any]") -> "Schedule | None":
    """The schedule of a configuration; None when no target follows one, or it says neither schedule nor place.

    A place alone: lit from dusk to dawn. Raises ScheduleFault.
    """
    entries = config.get("schedule")
    latitude = config.get("lat")
    longitude = config.get("lon")
    for target in targets.values():
        if target.scheduled:
            if not entries and (latitude is None or longitude is None):
                return None
            entries = entries or [["sunset", target.maximum], ["sunrise", target.minimum]]
            return Schedule(entries, latitude, longitude, int(config.get("utc_offset_min", 0)))
    return None


def _event(text: str) -> "tuple[str, int]":
    """(sunset or sunrise, minutes after it), or ("", minutes after local midnight)."""
    for sun in ("sunset", "sunrise"):
        if text.startswith(sun):
            rest = text[len(sun) :]
            if not rest:
                return sun, 0
            if rest[0] in "+-" and rest[1:].isdigit() and len(rest) <= 4:
                return sun, int(rest)
    hours, colon, minutes = text.partition(":")
    if colon and hours.isdigit() and minutes.isdigit() and int(hours) < 24 and int(minutes) < 60:
        return "", int(hours) * 60 + int(minutes)
    raise ScheduleFault(
        "schedule: %r is neither sunset, sunrise (also with minutes: sunset-10) nor a time 22:30" % text
    )
