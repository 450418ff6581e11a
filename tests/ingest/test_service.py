"""The loop around the pipeline: nothing acknowledged before it is kept, holding and going on, a clean stop."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from contract.ports import LogFull, Message
from contract.quarantine import Quarantined
from ingest.pipeline import Outcome
from ingest.service import IngestService
from tests.ingest.house import STREAM, IngestHouse, device, message, telemetry

PATIENCE_S = 10.0


class HandReceiver:
    """A broker's side that tests fill by hand."""

    def __init__(self) -> None:
        self.connected = True
        self.asked = 0  # how often for messages
        self.waiting: list[Message] = []
        self.too_late: list[Message] = []  # arrive when the wait for them is cancelled, and end it
        self.acknowledged: list[Any] = []
        self.published: list[tuple[str, dict[str, Any]]] = []
        self._arrived = asyncio.Event()

    @property
    def queued(self) -> int:
        return len(self.waiting)

    def arrive(self, *messages: Message) -> None:
        self.waiting += messages
        self._arrived.set()

    async def receive(self, most: int) -> Sequence[Message]:
        self.asked += 1
        while not self.waiting:
            self._arrived.clear()
            try:
                await self._arrived.wait()
            except asyncio.CancelledError:
                if not self.too_late:
                    raise
                self.waiting, self.too_late = self.too_late, []
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        return taken

    def acknowledge(self, tokens: Iterable[Any]) -> None:
        self.acknowledged += tokens

    def publish(self, topic: str, payload: bytes) -> None:
        self.published.append((topic, json.loads(payload)))


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.005)


class Scene:
    def __init__(self, house: IngestHouse) -> None:
        self.house = house
        self.receiver = HandReceiver()
        self.service = IngestService(self.receiver, house.pipeline, house.clock)


@asynccontextmanager
async def running(house: IngestHouse) -> Any:
    scene = Scene(house)
    task = asyncio.create_task(scene.service.run())
    try:
        yield scene
    finally:
        await scene.service.stop()
        await asyncio.wait_for(task, PATIENCE_S)


def run(play: Callable[[Scene], Awaitable[None]], house: IngestHouse) -> Scene:
    async def whole() -> Scene:
        async with running(house) as scene:
            await play(scene)
        return scene  # type: ignore[no-any-return]

    return asyncio.run(whole())


@pytest.fixture
def house(tmp_path: Path) -> Iterator[IngestHouse]:
    made = IngestHouse(tmp_path)
    yield made
    made.log.close()


def test_a_message_is_kept_acknowledged_and_answered(house: IngestHouse) -> None:
    async def play(scene: Scene) -> None:
        one = message(telemetry(1, 2))
        scene.receiver.arrive(one, message({"nonce": 5}, channel="time"))
        await until(lambda: len(scene.receiver.published) == 2)
        assert one.token in scene.receiver.acknowledged
        assert scene.receiver.published == [
            ("nabd/1/lamp-1/now", {"nonce": 5, "at": house.clock.now_ms()}),
            ("nabd/1/lamp-1/kept", {"stream": STREAM, "upto": 2}),
        ]

    scene = run(play, house)
    assert scene.service.status()["messages"] == 2
    assert scene.service.status()["readings"] == 2
    assert scene.service.status()["holding"] == ""


def test_answers_of_one_stream_are_coalesced_to_one_a_second_of_real_time(house: IngestHouse) -> None:
    async def play(scene: Scene) -> None:
        for seq in range(1, 6):
            scene.receiver.arrive(message(telemetry(seq)))
            await until(lambda seq=seq: house.count("accepted") == seq)  # type: ignore[misc]
        assert [document["upto"] for _, document in scene.receiver.published] == [1]
        house.clock.advance(1001)
        await until(lambda: len(scene.receiver.published) == 2)
        assert scene.receiver.published[-1][1] == {"stream": STREAM, "upto": 5}

    run(play, house)


class Refusing:
    """Stands before `Pipeline.process` and refuses until it is told to let go."""

    def __init__(self, house: IngestHouse, error: Exception) -> None:
        self._process = house.pipeline.process
        self._error = error
        self.refuses = True
        self.tried: list[Sequence[Message]] = []
        house.pipeline.process = self  # type: ignore[method-assign]

    def __call__(self, incoming: Sequence[Message]) -> Outcome:
        self.tried.append(incoming)
        if self.refuses:
            raise self._error
        return self._process(incoming)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (LogFull("the log is full"), "the log is full"),
        (OSError(28, "no space left"), "[Errno 28] no space left"),
        (KeyError("ours"), "KeyError: 'ours'"),
    ],
)
def test_while_nothing_can_be_kept_nothing_is_acknowledged_and_it_goes_on_by_itself(
    house: IngestHouse, error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.service.RETRY_S", 0.01)
    refusing = Refusing(house, error)

    async def play(scene: Scene) -> None:
        one = message(telemetry(1))
        scene.receiver.arrive(one)
        await until(lambda: len(refusing.tried) >= 3)
        assert scene.receiver.acknowledged == scene.receiver.published == []
        assert scene.service.status()["holding"] == reason
        scene.receiver.arrive(message(telemetry(2)), message(telemetry(3)))
        assert scene.service.status()["backlog"] == 3, "what was read and waits is not kept either"
        assert not scene.service.listening
        assert all(list(batch) == [one] for batch in refusing.tried)
        refusing.refuses = False
        await until(lambda: len(scene.receiver.acknowledged) == 3)
        assert scene.receiver.acknowledged[0] == one.token
        assert scene.service.listening

    scene = run(play, house)
    assert house.count("accepted") == 3
    assert scene.service.status()["backlog"] == 0
    assert scene.service.status()["holding"] == ""


def test_stopping_keeps_acknowledges_and_answers_what_was_read(house: IngestHouse) -> None:
    async def play(scene: Scene) -> None:
        scene.receiver.arrive(message(telemetry(1)))
        await until(lambda: len(scene.receiver.published) == 1)
        scene.receiver.arrive(message(telemetry(2)))

    scene = run(play, house)
    assert house.count("accepted") == len(scene.receiver.acknowledged) == 2
    assert scene.receiver.published[-1][1] == {"stream": STREAM, "upto": 2}
    assert not scene.service.listening


def test_what_was_taken_as_the_stop_came_is_kept(house: IngestHouse) -> None:
    """A wait that is over just then swallows its cancellation (asyncio.wait_for of Python 3.11)."""

    async def play(scene: Scene) -> None:
        await until(lambda: scene.receiver.asked)
        scene.receiver.too_late = [message(telemetry(1))]

    scene = run(play, house)
    assert house.count("accepted") == len(scene.receiver.acknowledged) == 1


def test_stopping_while_holding_leaves_the_messages_with_the_broker(house: IngestHouse) -> None:
    refusing = Refusing(house, LogFull("full"))

    async def play(scene: Scene) -> None:
        scene.receiver.arrive(message(telemetry(1)))
        await until(lambda: refusing.tried)

    scene = run(play, house)
    assert scene.receiver.acknowledged == scene.receiver.published == []
    assert house.count("received") == 0


def test_a_device_registered_in_silence_is_told_to_send(house: IngestHouse) -> None:
    async def play(scene: Scene) -> None:
        scene.receiver.arrive(message(telemetry(1), device="stranger"))
        await until(lambda: scene.receiver.published)
        assert scene.receiver.published[0][1] == {"stream": STREAM, "upto": 0, "deferred": True}
        house.clock.advance(2000)
        house.devices["stranger"] = device("stranger")
        house.pipeline.registered("stranger")
        await until(lambda: len(scene.receiver.published) == 2)
        assert scene.receiver.published[1] == ("nabd/1/stranger/kept", {"stream": STREAM, "upto": 0})

    run(play, house)


def test_it_listens_only_while_the_broker_is_there(house: IngestHouse) -> None:
    async def play(scene: Scene) -> None:
        assert scene.service.listening
        scene.receiver.connected = False
        assert not scene.service.listening

    run(play, house)


def test_a_replay_comes_between_two_batches_and_answers_the_streams_it_changed(house: IngestHouse) -> None:
    """Also while nothing can be kept of what arrives."""
    payload = json.dumps(telemetry(1, 2)).encode()
    row = Quarantined(topic="nabd/1/lamp-1/telemetry", payload=payload, code="internal_error", sentence="once",
        received_at_ms=house.clock.now_ms(), device="lamp-1")  # fmt: skip
    house.log.append([], house.clock.now_ms(), quarantine=[row])

    async def play(scene: Scene) -> None:
        [told] = await scene.service.replay([1], "amina")
        assert (told.readings, told.stays) == (2, False)
        await until(lambda: scene.receiver.published)
        assert await scene.service.drop([1], "amina") == 0

    scene = run(play, house)
    assert scene.receiver.published[0][1]["upto"] == 2


def test_a_replay_after_the_end_is_refused_and_changes_nothing(house: IngestHouse) -> None:
    async def play(scene: Scene) -> None: ...

    scene = run(play, house)
    with pytest.raises(OSError, match="ingest has stopped"):
        asyncio.run(scene.service.drop([1], "amina"))
