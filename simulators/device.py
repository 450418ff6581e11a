"""One simulated controller: the firmware's own core, with an asset's physics as its sensors and actuators.

No I/O and no clock: the fleet says what time it is, in the two ways a device knows it. `up_ms` is time since boot in
city scale, `city_ms` is the truth, which the physics follows and which a device with NTP can look up.
"""

from collections.abc import Mapping
from typing import Any

from firmware.core.agent import Agent
from firmware.core.kinds import KINDS
from simulators.world import Asset, Thing

NTP_EVERY_MS = 6 * 3_600_000
SENSE_MS = {"waste_bin": 300_000}  # kinds that look at their sensors between readings: a fire does not wait an hour
SCHEDULE = (("sunset", 1.0), ("22:30", 0.7), ("00:30", 0.5), ("05:30", 0.7), ("sunrise", 0.0))
MODEL = "nabd-sim"
FIRMWARE = "1.0.0"

Message = tuple[str, bytes, int, bool]
"""(topic, payload, qos, retain), as the agent wants it published."""


class Device:
    """A device from its boot on."""

    def __init__(
        self,
        asset: Asset,
        thing: Thing,
        *,
        stream: str,
        boot: int,
        ntp: bool,
        utc_offset_min: int,
        link_scale: int,
        city_ms: int,
    ) -> None:
        """Boot now: `up_ms` is 0. `stream` is 8 hex digits never used before by this device; `boot` grows."""
        self.asset = asset
        self.thing = thing
        self.ntp = ntp
        self.measured = 0
        self.published = 0
        config: dict[str, Any] = {
            "device": asset.asset,
            "model": MODEL,
            "firmware": FIRMWARE,
            "reset": "power_on",
            "lat": asset.place.latitude,
            "lon": asset.place.longitude,
            "utc_offset_min": utc_offset_min,
            "settings": dict(asset.settings),
            "link_scale": link_scale,
        }
        if asset.kind == "street_light":
            config["schedule"] = [list(entry) for entry in SCHEDULE]
        self.agent = Agent(config, KINDS[asset.kind], stream, boot, 0)
        self._targets = tuple(KINDS[asset.kind]["targets"])
        self._outputs: dict[str, float] = {target: self.agent.output(target) for target in self._targets}
        self._sense_every_ms = SENSE_MS.get(asset.kind, 0)
        self._sense_up_ms = self._sense_every_ms
        self._ntp_up_ms = 0
        if ntp:
            self._ask_ntp(0, city_ms)

    @property
    def outputs(self) -> Mapping[str, float]:
        """What the actuators do now: target → value."""
        return self._outputs

    def work(self, up_ms: int, city_ms: int, room: int) -> list[Message]:
        """Do what is due; return what to publish now, `room` messages at most. Safe to call at any time."""
        if self.ntp and up_ms >= self._ntp_up_ms:
            self._ask_ntp(up_ms, city_ms)
        messages = self.agent.step(up_ms, room)
        self._actuate(city_ms)
        if self.agent.reading_due(up_ms):
            self.measure(up_ms, city_ms)
        elif self._sense_every_ms and up_ms >= self._sense_up_ms:
            self._sense_up_ms = up_ms + self._sense_every_ms
            self.thing.advance(city_ms, self._outputs)
            if self.thing.urgent():
                self.measure(up_ms, city_ms)
        if len(messages) < room:
            messages += self.agent.step(up_ms, room - len(messages))
        self.published += len(messages)
        return messages

    def measure(self, up_ms: int, city_ms: int) -> None:
        """Make a reading now."""
        self.thing.advance(city_ms, self._outputs)
        self.agent.measure(up_ms, self.thing.measure())
        self.measured += 1

    def next_ms(self, up_ms: int) -> int:
        """City ms until `work` is next needed, if nothing happens before."""
        wait = self.agent.next_ms(up_ms)
        if self._sense_every_ms:
            wait = min(wait, self._sense_up_ms - up_ms)
        if self.ntp:
            wait = min(wait, self._ntp_up_ms - up_ms)
        return max(wait, 0)

    def _actuate(self, city_ms: int) -> None:
        """Set the actuators as the agent wants; until now they were as before."""
        wanted = {target: self.agent.output(target) for target in self._targets}
        if wanted != self._outputs:
            self.thing.advance(city_ms, self._outputs)
            self._outputs = wanted

    def _ask_ntp(self, up_ms: int, city_ms: int) -> None:
        self.agent.set_clock(up_ms, city_ms, "synced")
        self._ntp_up_ms = up_ms + NTP_EVERY_MS
