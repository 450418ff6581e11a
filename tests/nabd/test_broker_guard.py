"""An embedded broker that ends alone, or answers nobody, is started again; until then the platform says so."""

import asyncio

from adapters.mqtt.broker import PortInUse
from nabd.broker_guard import LOOK_S, RETRY_S, RETRY_S_MAX, SILENT_S, BrokerGuard


class StandIn:
    """A broker that does what a test says."""

    def __init__(self) -> None:
        self.running = True
        self.answering = True
        self.refusing = False
        self.did: list[str] = []

    def start(self) -> None:
        self.did.append("start")
        if self.refusing:
            raise PortInUse("MQTT port 1883 on 127.0.0.1 is in use by another program")
        self.running = self.answering = True

    def stop(self) -> None:
        self.did.append("stop")
        self.running = False

    def answers(self) -> bool:
        self.did.append("ask")
        return self.answering


class House:
    def __init__(self) -> None:
        self.broker, self.connected, self.now_s = StandIn(), True, 0.0
        self.guard = BrokerGuard(self.broker, lambda: self.connected, lambda: self.now_s)

    def look(self, after_s: float = 0.0) -> float:
        self.now_s += after_s
        return asyncio.run(self.guard.look())


def test_a_broker_that_is_well_is_left_alone() -> None:
    house = House()
    assert house.look(1000.0) == LOOK_S
    assert house.broker.did == []
    assert house.guard.fault == ""


def test_one_that_ended_by_itself_is_started_again_at_once() -> None:
    house = House()
    house.broker.running = False
    house.look()
    assert house.broker.did == ["stop", "start"]
    assert (house.guard.fault, house.guard.restarts) == ("", 1)


def test_one_that_runs_and_answers_nobody_is_started_again_when_it_was_silent_for_long() -> None:
    house = House()
    house.connected = house.broker.answering = False
    house.look(SILENT_S - 0.1)
    assert house.broker.did == []
    house.look(0.1)
    assert house.broker.did == ["ask", "stop", "start"]


def test_one_that_answers_is_not_started_again_though_the_platform_is_not_connected() -> None:
    house = House()
    house.connected = False
    for _ in range(3):
        house.look(SILENT_S)
    assert house.broker.did == ["ask"] * 3


def test_while_it_cannot_be_started_the_fault_is_told_and_the_pauses_grow() -> None:
    house = House()
    house.broker.running, house.broker.refusing = False, True
    pauses = [house.look() for _ in range(7)]
    assert pauses[:3] == [RETRY_S, 2 * RETRY_S, 4 * RETRY_S]
    assert max(pauses) == RETRY_S_MAX
    assert "in use by another program" in house.guard.fault
    house.broker.refusing = False
    house.look()
    assert (house.guard.fault, house.guard.restarts) == ("", 1)
