"""The dispatcher against a broker made of a list: what goes out, when again, and what it tells the log."""

import json
import threading
from collections.abc import Callable, Sequence

import msgspec
import pytest

from actuation.dispatch import RECORDS_MAX, Dispatcher
from contract.decisions import Lease, LeaseTarget, Step
from contract.records import LeaseSent, LeaseUnconfirmed, Reported
from tests.actuation.city import KINDS, START_MS, H, M


class Clock:
    speed = 1.0

    def __init__(self) -> None:
        self.ms, self.s = START_MS, 1_000.0

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.s


class Street:
    """Broker, clock and log around one dispatcher."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.out: list[tuple[str, dict[str, object]]] = []
        self.acks: list[Callable[[], None]] = []
        self.log: list[object] = []
        self.appends = 0
        self.broken = self.log_full = False
        self.dispatcher = Dispatcher(self.publish, self.clock, self.append, KINDS, deadline_s=15.0)

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = True, on_ack: Callable[[], None] | None = None
    ) -> None:
        if self.broken:
            raise OSError("no broker")
        assert (qos, retain) == (1, True)
        assert on_ack is not None
        self.out.append((topic, json.loads(payload)))
        self.acks.append(on_ack)

    def append(self, records: Sequence[object]) -> None:
        if self.log_full:
            raise OSError("log is full")
        self.log += records
        self.appends += 1

    def later(self, seconds: float) -> None:
        self.clock.s += seconds
        self.dispatcher.poll()

    def says(self, result: str = "applied", version: int = START_MS, device: str = "node-1") -> None:
        self.dispatcher.reported(
            Reported(device=device, n=1, boot=1, version=version, state={}, by={}, result=result)
        )  # fmt: skip


@pytest.fixture
def street() -> Street:
    return Street()


def lease(version: int = START_MS, *, device: str = "node-1", state: Step = Step.LEASED, **until: int) -> Lease:
    kind = "irrigation_valve" if "open" in until else "street_light"
    return Lease(
        device=device, asset="a", version=version, issued_ms=START_MS, kind=kind, state=state,
        targets={
            name: LeaseTarget(to=1.0, until_ms=START_MS + end, reason="rule:x", intent="i")
            for name, end in until.items()
        },
    )  # fmt: skip


def test_a_lease_is_published_retained_as_the_wire_says(street: Street) -> None:
    street.dispatcher.send([lease(level=H)])
    target = {"to": 1.0, "until": START_MS + H, "reason": "rule:x"}
    assert street.out == [
        ("nabd/1/node-1/lease", {"version": START_MS, "issued": START_MS, "targets": {"level": target}})
    ]  # fmt: skip


def test_a_boolean_target_is_true_or_false_on_the_wire(street: Street) -> None:
    street.dispatcher.send([lease(open=H)])
    targets = street.out[0][1]["targets"]
    assert isinstance(targets, dict)
    assert targets["open"]["to"] is True


def test_what_only_tells_how_far_a_lease_got_is_not_sent(street: Street) -> None:
    street.dispatcher.send([lease(level=H, state=Step.CONFIRMED)])
    assert street.out == []


def test_of_several_leases_of_a_device_only_the_newest_is_sent_and_never_an_older_one_later(street: Street) -> None:
    street.dispatcher.send([lease(START_MS + 1, level=H), lease(START_MS, level=H)])
    street.dispatcher.send([lease(START_MS, level=H)])
    assert [payload["version"] for _, payload in street.out] == [START_MS + 1]


def test_the_brokers_receipt_is_noted_once_a_version(street: Street) -> None:
    street.dispatcher.send([lease(level=H)])
    street.acks[0]()
    street.dispatcher.born("node-1")
    street.acks[1]()
    street.dispatcher.poll()
    assert street.log == [LeaseSent(device="node-1", version=START_MS)]


def test_without_an_answer_it_is_sent_once_more_and_then_named_unconfirmed_once(street: Street) -> None:
    street.dispatcher.send([lease(level=H)])
    street.later(14.9)
    assert len(street.out) == 1
    street.later(0.1)
    assert len(street.out) == 2
    street.later(15)
    assert street.log == [LeaseUnconfirmed(device="node-1", version=START_MS, waited_s=30.0)]
    street.later(100)
    assert (len(street.out), len(street.log)) == (2, 1)
    street.dispatcher.born("node-1")
    street.later(15)
    street.later(15)
    assert (len(street.out), len(street.log)) == (4, 1)


def test_the_deadline_runs_from_the_receipt_in_real_time(street: Street) -> None:
    street.dispatcher.send([lease(level=H)])
    street.clock.s += 10
    street.clock.ms += 10 * H
    street.acks[0]()
    street.later(14)
    assert len(street.out) == 1


@pytest.mark.parametrize("result", ["applied", "refused", "overridden", "stale"])
def test_an_answer_ends_the_wait(street: Street, result: str) -> None:
    street.dispatcher.send([lease(level=H)])
    assert street.dispatcher.waiting == 1
    street.says(result)
    street.later(60)
    assert len(street.out) == 1
    assert street.dispatcher.waiting == 0


def test_an_answer_to_an_older_lease_does_not(street: Street) -> None:
    street.dispatcher.send([lease(level=H)])
    street.says(version=START_MS - 1)
    street.later(15)
    assert len(street.out) == 2


def test_a_live_lease_is_published_again_at_births_and_reconnects(street: Street) -> None:
    street.dispatcher.send([lease(level=H), lease(device="node-2", level=H)])
    street.says()
    street.dispatcher.born("node-1")
    street.dispatcher.born("stranger")
    assert [topic for topic, _ in street.out[2:]] == ["nabd/1/node-1/lease"]
    street.dispatcher.broker_connected()
    assert sorted(topic for topic, _ in street.out[3:]) == ["nabd/1/node-1/lease", "nabd/1/node-2/lease"]


def test_a_target_whose_time_is_over_is_left_out_and_an_expired_lease_is_sent_empty(street: Street) -> None:
    kinds_lease = lease(level=H, other=10 * M)
    street.dispatcher.send([kinds_lease])
    street.clock.ms += 30 * M
    street.dispatcher.born("node-1")
    street.clock.ms += 30 * M
    street.dispatcher.born("node-1")
    assert [sorted(payload["targets"]) for _, payload in street.out] == [["level", "other"], ["level"], []]  # type: ignore[call-overload]


def test_a_confirmed_lease_whose_time_is_over_is_forgotten(street: Street) -> None:
    street.dispatcher.send([lease(level=M)])
    street.says()
    street.clock.ms += H
    street.dispatcher.born("node-1")
    assert len(street.out) == 1


def test_an_empty_lease_is_repeated_until_the_device_knows(street: Street) -> None:
    street.dispatcher.send([lease()])
    street.acks[0]()
    street.dispatcher.born("node-1")
    assert len(street.out) == 2
    street.says()
    street.dispatcher.born("node-1")
    assert len(street.out) == 2


def test_at_start_what_is_live_and_not_confirmed_is_published_again(street: Street) -> None:
    street.dispatcher.resume(
        [
            lease(device="waits", state=Step.LEASED, level=H),
            lease(device="silent", state=Step.UNCONFIRMED, level=H),
            lease(device="holds", state=Step.CONFIRMED, level=H),
            lease(device="over", state=Step.SENT, level=-M),
            lease(device="freed", state=Step.CONFIRMED),
            lease(device="to-free", state=Step.SENT),
        ]
    )
    assert [topic.split("/")[2] for topic, _ in street.out] == ["waits", "silent", "to-free"]
    for ack in list(street.acks):
        ack()
    street.dispatcher.poll()
    assert street.log == [LeaseSent(device="waits", version=START_MS)]
    street.dispatcher.born("holds")
    assert street.out[-1][0] == "nabd/1/holds/lease"


def test_a_sender_in_trouble_is_tried_again_at_the_deadline(street: Street) -> None:
    street.broken = True
    street.dispatcher.send([lease(level=H)])
    assert street.dispatcher.publish_faults == 1
    street.broken = False
    street.later(15)
    assert len(street.out) == 1


def test_records_wait_while_the_log_refuses(street: Street) -> None:
    street.log_full = True
    street.dispatcher.send([lease(level=H), lease(device="node-2", level=H)])
    for ack in street.acks:
        ack()
    street.later(1)
    assert street.log == []
    street.log_full = False
    street.later(1)
    assert [record.device for record in street.log if isinstance(record, LeaseSent)] == ["node-1", "node-2"]
    assert street.dispatcher.dropped == 0


def test_what_a_whole_city_was_told_at_dusk_is_appended_in_few_goes(street: Street) -> None:
    street.dispatcher.send([lease(device=f"node-{number}", level=H) for number in range(2_500)])
    for ack in street.acks:
        ack()
    street.later(1)
    assert len(street.log) == 2_500
    assert street.appends == 3


def test_records_that_are_more_than_may_wait_are_dropped_oldest_first_and_counted(street: Street) -> None:
    street.log_full = True
    street.dispatcher.send([lease(device=f"node-{number}", level=H) for number in range(RECORDS_MAX + 2)])
    for ack in street.acks:
        ack()
    street.later(1)
    street.log_full = False
    street.later(1)
    told = [record.device for record in street.log if isinstance(record, LeaseSent)]
    assert told == [f"node-{number}" for number in range(2, RECORDS_MAX + 2)]
    assert street.dispatcher.dropped == 2


def test_a_receipt_inside_publish_and_many_threads_do_not_lock_up_and_versions_never_go_back() -> None:
    """The last thing retained must be the newest lease, whoever publishes when."""
    street = Street()
    retained: dict[str, list[int]] = {}

    def publish(
        topic: str, payload: bytes, *, qos: int = 1, retain: bool = True, on_ack: Callable[[], None] | None = None
    ) -> None:
        retained.setdefault(topic, []).append(json.loads(payload)["version"])
        assert on_ack is not None
        on_ack()

    dispatcher = Dispatcher(publish, street.clock, street.append, KINDS)
    newest = [lease(START_MS + n, level=H) for n in range(200)]

    def send() -> None:
        for one in newest:
            dispatcher.send([one])

    def disturb() -> None:
        for _ in range(200):
            dispatcher.born("node-1")
            dispatcher.broker_connected()
            dispatcher.poll()

    threads = [threading.Thread(target=work) for work in (send, disturb, disturb)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    versions = retained["nabd/1/node-1/lease"]
    assert versions == sorted(versions)
    assert versions[-1] == START_MS + 199
    dispatcher.poll()
    noted = [record.version for record in street.log if isinstance(record, LeaseSent)]
    assert sorted(noted) == [START_MS + n for n in range(200)]


def test_a_lease_is_a_value_that_no_publication_changes(street: Street) -> None:
    one = lease(level=H)
    before = msgspec.json.encode(one)
    street.dispatcher.send([one])
    street.clock.ms += 2 * H
    street.dispatcher.broker_connected()
    assert msgspec.json.encode(one) == before
