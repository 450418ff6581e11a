"""Wi-Fi of the ESP32 with deadlines of its own: its status is not to be trusted, so only an address counts.

A join that takes too long is given up; after three of them the radio is switched off and on, for it has been seen to
stay in "connecting" for ever. The node is never reset for want of a network. Not run on hardware yet (see README).
"""

import asyncio

import network

JOIN_MS = 15000
POLL_MS = 200
JOINS_BEFORE_CYCLE = 3
RADIO_OFF_MS = 1000


class Wifi:
    """One access point. `hostname`: what the router shows."""

    def __init__(self, ssid: str, password: str, hostname: str) -> None:
        self._ssid = ssid
        self._password = password
        network.hostname(hostname)
        self._radio = network.WLAN(network.STA_IF)
        self._failed = 0

    async def ready(self) -> bool:
        """Have an address, joining if needed; False when it did not come within the deadline."""
        radio = self._radio
        if radio.active() and radio.isconnected():
            return True
        if self._failed and self._failed % JOINS_BEFORE_CYCLE == 0:
            radio.active(False)
            await asyncio.sleep(RADIO_OFF_MS / 1000)
        radio.active(True)
        try:
            radio.disconnect()
            radio.config(reconnects=0)  # we reconnect; two who do it disturb each other
            radio.connect(self._ssid, self._password)
            for _ in range(JOIN_MS // POLL_MS):
                if radio.isconnected():
                    self._failed = 0
                    return True
                await asyncio.sleep(POLL_MS / 1000)
        except OSError:
            pass  # the driver is in a state of its own: the next cycle of the radio mends it
        self._failed += 1
        return False
