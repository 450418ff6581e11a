"""One round: a city of virtual devices, so many strokes, and the verdict."""

from dataclasses import dataclass

from tests.crash.chaos import Chaos
from tests.crash.house import House
from tests.crash.street import Street
from tests.crash.verdict import Verdict, judge
from tests.waiting import eventually

DEVICES = 16
PER_S = 6_000.0
SETTLED_S = 120.0


@dataclass(frozen=True)
class Round:
    kills: int
    strokes: list[str]
    verdict: Verdict


def play(house: House, *, seed: str, strokes: int, readings: int) -> Round:
    """At least so many readings are measured while the strokes fall, and all of them are judged."""
    print(f"seed {seed} in {house.folder}")
    street = Street(house.mqtt_port, DEVICES, PER_S, seed)
    chaos = Chaos(house, street, seed)
    try:
        house.start()
        house.wait_until_up()
        house.register(street.journals)
        with street:
            for n in range(1, strokes + 1):
                street.target = max(street.target, readings * n // strokes)
                chaos.strike()
            eventually(lambda: street.measured >= readings, "all is measured", SETTLED_S)
            eventually(lambda: not street.held and street.forgotten, "every reading is kept", SETTLED_S)
            eventually(house.is_stored, lambda: f"the store has all; {house.log()[-3000:]}", SETTLED_S)
            return Round(chaos.kills, chaos.told, judge(house.client, street.journals))
    finally:
        house.stop()
