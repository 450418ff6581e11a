"""Metrics that devices send and their kinds do not have: which, and how often since the start. Bounded."""

from collections.abc import Iterable, Mapping

DEVICES_MAX = 1_000  # remembered; the one first heard so is forgotten first
NAMES_MAX = 16  # of one device; further ones are counted in the log's counter `unknown_metrics` only
LENGTH_MAX = 40  # of a name, as long as a metric of a kind may have


class UnknownMetrics:
    """Written by the pipeline's thread; any thread may ask."""

    def __init__(self) -> None:
        self._devices: dict[str, dict[str, int]] = {}

    def note(self, device: str, names: Iterable[str]) -> None:
        known = self._devices.get(device)
        if known is None:
            if len(self._devices) >= DEVICES_MAX:
                del self._devices[next(iter(self._devices))]
            known = self._devices[device] = {}
        for name in names:
            short = name[:LENGTH_MAX].encode("utf-8", "backslashreplace").decode()
            if short in known or len(known) < NAMES_MAX:
                known[short] = known.get(short, 0) + 1

    def of(self, device: str) -> Mapping[str, int]:
        """Name → how often it came since the start."""
        return dict(self._devices.get(device, {}))
