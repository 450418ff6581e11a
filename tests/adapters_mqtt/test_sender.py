"""The sender on real brokers: on_ack means that the broker has it."""

import threading
from collections.abc import Iterator

import pytest

from adapters.mqtt.sender import Sender
from tests.adapters_mqtt.brokers import Broker, PahoDevice
from tests.waiting import eventually

LEASE = "nabd/1/lamp-1/lease"


@pytest.fixture
def sender(broker: Broker) -> Iterator[Sender]:
    made = Sender("127.0.0.1", broker.port)
    made.start()
    eventually(lambda: made.connected, "the sender is connected")
    yield made
    made.stop()


def test_a_retained_lease_reaches_a_device_that_comes_later(broker: Broker, sender: Sender) -> None:
    acknowledged = threading.Event()
    sender.publish(LEASE, b"lease", retain=True, on_ack=acknowledged.set)
    assert acknowledged.wait(10)
    lamp = PahoDevice(broker.port, "lamp-1", (LEASE,))
    eventually(lambda: bool(lamp.heard), "the lease arrives")
    assert [(m.payload, m.retain) for m in lamp.heard] == [(b"lease", True)]
    lamp.close()


def test_each_publish_is_acknowledged_once(sender: Sender) -> None:
    acknowledged: list[int] = []
    for n in range(1000):
        sender.publish(f"nabd/1/lamp-{n}/lease", b"{}", on_ack=lambda n=n: acknowledged.append(n))  # type: ignore[misc]
    eventually(lambda: len(acknowledged) >= 1000, "all are acknowledged")
    assert sorted(acknowledged) == list(range(1000))
    assert sender.unacknowledged == 0
    assert not sender._early


def test_publishing_from_many_threads_loses_no_acknowledgement(sender: Sender) -> None:
    acknowledged: list[int] = []

    def publish(thread: int) -> None:
        for n in range(100):
            sender.publish(f"nabd/1/lamp-{n}/lease", b"{}", on_ack=lambda: acknowledged.append(thread))

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: len(acknowledged) >= 800, "all are acknowledged")
    assert sorted(acknowledged) == [number for number in range(8) for _ in range(100)]


def test_a_callback_may_wait_for_a_lock_that_a_publisher_holds(sender: Sender) -> None:
    """Publishing inside one's own lock, and taking it in the callback, must not hold up both for ever."""
    lock = threading.Lock()
    acknowledged: list[int] = []

    def on_ack() -> None:
        with lock:
            acknowledged.append(1)

    def publish() -> None:
        for n in range(200):
            with lock:
                sender.publish(f"nabd/1/lamp-{n}/lease", b"{}", on_ack=on_ack)

    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    eventually(lambda: len(acknowledged) == 200, "all are acknowledged")


def test_a_callback_may_publish_and_one_that_fails_silences_no_other(sender: Sender) -> None:
    second = threading.Event()

    def first() -> None:
        sender.publish("nabd/1/lamp-2/lease", b"{}", on_ack=second.set)
        raise RuntimeError("a fault of the caller")

    sender.publish(LEASE, b"{}", on_ack=first)
    assert second.wait(10)


def test_without_a_connection_nothing_is_queued_and_on_connect_is_the_time_to_publish_again(broker: Broker) -> None:
    sender = Sender("127.0.0.1", broker.port)
    called: list[str] = []
    sender.publish(LEASE, b"too early", retain=True, on_ack=lambda: called.append("acknowledged"))
    assert sender.lost == 1
    sender.on_connect.append(lambda: called.append("connected"))
    sender.start()
    eventually(lambda: called == ["connected"], "on_connect is called")
    broker.kill()
    eventually(lambda: not sender.connected, "the loss is noticed")
    sender.publish(LEASE, b"too late", retain=True)
    assert sender.lost == 2
    broker.start()
    eventually(lambda: called == ["connected", "connected"], "on_connect is called again", 15.0)
    lamp = PahoDevice(broker.port, "lamp-1", (LEASE,))
    sender.publish(LEASE, b"now", retain=True)
    eventually(lambda: bool(lamp.heard), "the lease arrives")
    assert [m.payload for m in lamp.heard] == [b"now"]
    lamp.close()
    sender.stop()


def test_the_sender_sends_at_qos_1_only(broker: Broker) -> None:
    with pytest.raises(ValueError, match="QoS 1 only"):
        Sender("127.0.0.1", broker.port).publish("nabd/1/lamp-1/kept", b"{}", qos=0)
