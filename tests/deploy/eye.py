"""A client on paho that shares no code with Nabd: it connects over TLS and writes down all that happens to it."""

import json
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from stand.city_broker import CityBroker
from tests.waiting import eventually

CONTROL = "$CONTROL/dynamic-security/v1"


class Eye:
    """Connected when it is made, or `refused` says how the broker refused it."""

    def __init__(
        self,
        broker: CityBroker,
        username: str,
        password: str,
        client_id: str = "",
        *,
        will: tuple[str, bytes] | None = None,
        clean: bool = True,
    ) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.answers: list[str] = []  # to CONNECT: "Success" or why not
        self.lost = 0  # connections that ended
        self._subscribed: dict[int | None, bool] = {}
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id or username, clean_session=clean, protocol=paho.MQTTv311
        )
        self._client.username_pw_set(username, password)
        self._client.tls_set_context(broker.tls())
        if will is not None:
            self._client.will_set(will[0], will[1], 1, retain=True)
        self._client.on_connect = lambda client, data, flags, reason, _: self.answers.append(str(reason))
        self._client.on_disconnect = self._disconnected
        self._client.on_message = self._hear
        self._client.on_subscribe = self._granted
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("localhost", broker.port)
        self._client.loop_start()
        eventually(lambda: self.answers, "an answer to CONNECT")

    def subscribe(self, name: str) -> bool:
        """Was it granted?"""
        _, packet = self._client.subscribe(name, 1)
        eventually(lambda: packet in self._subscribed, f"an answer to the subscription {name}")
        return self._subscribed[packet]

    def publish(self, topic: str, payload: bytes = b"x", *, retain: bool = False) -> None:
        """Returns when the broker has answered, as it does whether the topic was allowed or not."""
        self._client.publish(topic, payload, 1, retain).wait_for_publish(10)

    def control(self, *commands: dict[str, Any]) -> list[dict[str, Any]]:
        """Dynamic security's answers, for who may ask."""
        assert self.subscribe(CONTROL + "/response")
        before = len(self.heard)
        self.publish(CONTROL, json.dumps({"commands": commands}).encode())
        eventually(lambda: len(self.heard) > before, "an answer of dynamic security")
        return list(json.loads(self.heard[before][1])["responses"])

    def die(self) -> None:
        """End without a good-bye, so that the broker publishes the will."""
        self._client.on_disconnect = None
        self._client._sock_close()
        self._client.loop_stop()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _granted(self, client: paho.Client, data: Any, packet: int, reasons: list[Any], _: Any) -> None:
        self._subscribed[packet] = not reasons[0].is_failure

    def _hear(self, client: paho.Client, data: Any, message: paho.MQTTMessage) -> None:
        self.heard.append((message.topic, bytes(message.payload)))

    def _disconnected(self, *_: Any) -> None:
        self.lost += 1
