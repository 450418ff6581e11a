"""The calm side of the broker: leases and calls out, at QoS 1, from any thread. paho-mqtt does the work.

What is published without a connection is not queued but counted in `lost`: who publishes wishes that grow old keeps
them and publishes again in `on_connect`. What the broker had not acknowledged when a connection broke is sent again by
paho on the next one. Callbacks run on a thread of their own, one after the other: paho calls back while it holds the
lock that `publish` needs, and a callback that waits for its caller's lock would hold up both for ever.
"""

import logging
import queue
import ssl
import sys
import threading
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from adapters.clock import real_ms
from adapters.mqtt.tls import explain

IN_FLIGHT_MAX = 100  # what rumqttd has room for on one connection
QUEUED_MAX = 20_000  # a city's lights may all be told something in one minute
DELAY_S_MAX = 5

logger = logging.getLogger("mqtt")


class Sender:
    """Its `publish` is a contract.ports.Publish. Thread-safe; callbacks come on the sender's own thread."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        client_id: str = "nabd-platform",
        username: str | None = None,
        password: str | None = None,
        tls: ssl.SSLContext | None = None,
        keepalive_s: int = 30,
        now_ms: Callable[[], int] = real_ms,
    ) -> None:
        self.host = host
        self.port = port
        self.lost = 0  # published without a connection
        self.refused = 0  # published with QUEUED_MAX waiting already
        self.on_connect: list[Callable[[], None]] = []  # called at each connection
        self._keepalive_s = keepalive_s
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._waiting: dict[int, Callable[[], None] | None] = {}  # packet id → on_ack
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._caller: threading.Thread | None = None
        self._told = ""  # the last reason for no connection: it is logged once, not at each try
        self._early: set[int] = set()  # acknowledged before `publish` had written it down
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id, clean_session=False, protocol=paho.MQTTv311)
        self._client.max_inflight_messages_set(IN_FLIGHT_MAX)
        self._client.max_queued_messages_set(QUEUED_MAX)
        self._client.reconnect_delay_set(1, DELAY_S_MAX)
        if username is not None:
            self._client.username_pw_set(username, password)
        if tls is not None:
            self._client.tls_set_context(tls)
        self._client.on_connect = self._connected
        self._client.on_connect_fail = self._unreachable
        self._client.on_disconnect = self._disconnected
        self._client.on_publish = self._published

    @property
    def connected(self) -> bool:
        return bool(self._client.is_connected())

    @property
    def unacknowledged(self) -> int:
        """Publishes of QoS 1 that the broker has not acknowledged."""
        return len(self._waiting)

    def start(self) -> None:
        """Begin to connect, and connect again until stopped; return at once."""
        if self._caller is not None:
            return
        self._caller = threading.Thread(target=self._call_back, name="mqtt-sender-callbacks", daemon=True)
        self._caller.start()
        self._client.connect_async(self.host, self.port, self._keepalive_s)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect and end the threads, callbacks that are due first. What is unacknowledged is forgotten."""
        self._client.disconnect()
        self._client.loop_stop()
        if self._caller is not None:
            self._calls.put(None)
            self._caller.join(5.0)
            self._caller = None

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        on_ack: Callable[[], None] | None = None,
    ) -> None:
        """Send; `on_ack` is called when the broker has it, and never when it is lost or refused.

        Raises ValueError for another QoS than 1: what may be lost is the receiver's to send.
        """
        if qos != 1:
            raise ValueError(f"qos: {qos}; the sender sends at QoS 1 only, the receiver at QoS 0")
        if not self.connected:
            with self._lock:
                self.lost += 1
            return
        info = self._client.publish(topic, payload, qos, retain)
        with self._lock:
            if info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
                self.refused += 1
            elif info.mid in self._early:
                self._early.discard(info.mid)
                if on_ack is not None:
                    self._calls.put(on_ack)
            else:  # also when the connection has just gone: paho holds it and sends it on the next
                self._waiting[info.mid] = on_ack

    # ---- the callbacks' thread

    def _call_back(self) -> None:
        while (callback := self._calls.get()) is not None:
            try:
                callback()
            except Exception:  # one callback's fault must not silence the others
                logger.exception("event=callback_failed mqtt=sender")

    # ---- paho's thread

    def _published(self, client: paho.Client, userdata: Any, mid: int, reason: Any, properties: Any) -> None:
        with self._lock:
            if mid not in self._waiting:
                self._early.add(mid)
                return
            on_ack = self._waiting.pop(mid)
        if on_ack is not None:
            self._calls.put(on_ack)

    def _connected(self, client: paho.Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._tell("refused", str(reason))
            return
        self._told = ""
        logger.info("event=connected mqtt=sender broker=%s:%d", self.host, self.port)
        for callback in self.on_connect:
            self._calls.put(callback)

    def _unreachable(self, client: paho.Client, userdata: Any) -> None:
        error = sys.exception()  # paho calls this while it handles what the socket or the handshake raised
        self._tell(
            "unreachable",
            explain(error, self.host, self.port, self._now_ms()) if error is not None else "no connection",
        )

    def _disconnected(self, client: paho.Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure and not self._told:  # else it was not connected, and why has been told
            self._tell("disconnected", str(reason))

    def _tell(self, event: str, reason: str) -> None:
        """One line a change of state, not one a try."""
        if reason != self._told:
            self._told = reason
            logger.warning("event=%s mqtt=sender broker=%s:%d reason=%r", event, self.host, self.port, reason)
