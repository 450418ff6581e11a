"""What happens to a house: seeded, so that a run can be had again (but for the moments, which the machine decides).

The strokes are a deck of cards, shuffled anew when it is used up, so that a round that is long enough has them all.
After every stroke life must go on: the devices are told `kept` of readings they held. So each kill hits a platform that
works, or one that is just starting.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from random import Random

import psutil

from tests.crash.house import House
from tests.crash.street import Street
from tests.waiting import eventually

GOES_ON = 200  # readings that are kept between one stroke and the next
GOES_ON_S = 60.0
START_S = 1.5  # a start takes about half a second: this hits before, within and behind it


class Chaos:
    def __init__(self, house: House, street: Street, seed: str) -> None:
        self._house, self._street = house, street
        self._chance = Random(f"{seed}/chaos")
        self.kills = 0  # strokes in which something was killed
        self.told: list[str] = []
        strokes: dict[str, tuple[Callable[[], None], int]] = {
            "platform": (self._platform, 2),
            "platform at its start": (self._platform_at_its_start, 1),
            "broker": (self._broker, 2),
            "broker at the platform's start": (self._broker_at_the_start, 1),
            "both": (self._both, 1),
            "disk full": (self._disk_full, 1),
            "disk full, then platform": (self._disk_full_then_platform, 1),
        }
        if house.influx is not None:
            strokes |= {
                "store killed": (self._store_killed, 1),
                "store frozen": (self._store_frozen, 1),
                "store and platform": (self._store_and_platform, 1),
            }
        self._strokes = {name: stroke for name, (stroke, _) in strokes.items()}
        self._deck = [name for name, (_, times) in strokes.items() for _ in range(times)]
        self._left: list[str] = []

    def strike(self) -> None:
        """The next thing happens; returns when life goes on. Fails when it does not."""
        if not self._left:
            self._left = self._chance.sample(self._deck, len(self._deck))
        name = self._left.pop()
        self.told.append(name)
        began_s = time.monotonic()
        self._strokes[name]()
        self._pause(0.1, 0.2)  # until the devices have heard all that was said before
        before = self._street.forgotten
        self._street.target = max(self._street.target, self._street.measured + GOES_ON)
        eventually(
            lambda: self._goes_on() and self._street.forgotten >= before + GOES_ON,
            lambda: f"life goes on after {self.told}; the log ends: {self._house.log()[-3000:]}",
            GOES_ON_S,
        )
        print(f"{time.monotonic() - began_s:6.1f} s  {name}")
        self._pause(0.0, 0.3)

    def _goes_on(self) -> bool:
        assert self._house.platform.alive(), f"it ended by itself after {self.told}: {self._house.log()[-3000:]}"
        return True

    def _pause(self, least_s: float, most_s: float) -> None:
        time.sleep(self._chance.uniform(least_s, most_s))

    # -- kills

    def _platform(self) -> None:
        self._house.platform.kill()
        self.kills += 1
        self._pause(0.0, 0.3)
        self._house.start()

    def _platform_at_its_start(self) -> None:
        self._platform()
        self._pause(0.0, START_S)
        self._platform()

    def _broker(self) -> None:
        self._kill_broker()
        self.kills += 1
        self._pause(0.0, 0.3)
        self._bring_broker()

    def _broker_at_the_start(self) -> None:
        self._platform()
        self._pause(0.0, START_S)
        self._broker()

    def _both(self) -> None:
        """One after the other, the broker with its memory first or last, with nothing in between."""
        broker_first = self._chance.random() < 0.5
        if broker_first:
            self._kill_broker()
        self._house.platform.kill()
        if not broker_first:
            self._kill_broker()
        self.kills += 1
        self._pause(0.0, 0.3)
        self._house.start()
        self._bring_broker()

    def _kill_broker(self) -> None:
        """The embedded one may be gone with its platform, or not be there yet."""
        if self._house.broker is not None:
            self._house.broker.kill()
            return
        with suppress(psutil.NoSuchProcess):
            eventually(self._house.kill_embedded_broker, "the platform has a broker")

    def _bring_broker(self) -> None:
        if self._house.broker is not None:
            self._house.broker.start()

    # -- the disk

    def _disk_full(self) -> None:
        self._house.disk.fill(self._chance)
        self._pause(0.2, 1.5)
        self._house.disk.free()

    def _disk_full_then_platform(self) -> None:
        self._house.disk.fill(self._chance)
        self._pause(0.2, 1.5)
        self._house.platform.kill()
        self.kills += 1
        self._house.disk.free()
        self._house.start()

    # -- the store

    def _store_killed(self) -> None:
        assert self._house.influx is not None
        self._house.influx.kill()
        self.kills += 1
        self._pause(0.0, 1.0)
        self._house.influx.start()

    def _store_frozen(self) -> None:
        assert self._house.influx is not None
        self._house.influx.freeze()
        self._pause(0.2, 3.0)  # the platform waits two seconds for it
        self._house.influx.thaw()

    def _store_and_platform(self) -> None:
        """The platform is killed while it waits for a store that does not answer."""
        assert self._house.influx is not None
        self._house.influx.freeze()
        self._pause(0.1, 0.5)
        self._platform()
        self._house.influx.thaw()
