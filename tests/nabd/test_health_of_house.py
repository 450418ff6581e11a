"""What the rooms of a running platform count is told: a number that nobody can read is a loss in silence."""

from unittest.mock import MagicMock

from adapters.mqtt.receiver import Receiver
from adapters.mqtt.sender import Sender
from console.metrics import LEFT_OUT, MQTT
from nabd.health_of_house import HealthOfHouse


def test_whatever_the_wire_refuses_or_loses_is_told_under_a_name_that_metrics_explain() -> None:
    rooms = MagicMock(receiver=Receiver("127.0.0.1", 1), sender=Sender("127.0.0.1", 1), recorder=None, guard=None)
    rooms.ingest.status.return_value = {}
    rooms.writer.lost = None
    rooms.receiver.publish("nabd/1/lamp-1/kept", b"{}")  # neither is connected
    for _ in range(2):
        rooms.sender.publish("nabd/1/lamp-1/lease", b"{}")
    rooms.receiver.dropped = 3
    told = HealthOfHouse(rooms).told()
    nothing = dict.fromkeys(MQTT, 0)
    assert told["mqtt"] == nothing | {"answers_lost": 1, "commands_lost": 2}
    left_out = told["left_out"]
    assert isinstance(left_out, dict)
    assert left_out["mqtt_dropped"] == 3
    assert left_out.keys() <= LEFT_OUT.keys()
