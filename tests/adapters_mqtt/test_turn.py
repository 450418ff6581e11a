"""When more arrives than a batch holds, the city is seen as it is now, and no backlog waits for ever."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from adapters.mqtt.turn import FEW, LONG_BYTES, SHORT_BYTES, take_turn
from contract.ports import Message

MOST = 2_000


def message(number: int, size: int = 200) -> Message:
    return Message(f"nabd/1/lamp-{number}/telemetry", b"x" * size, number)


def tokens(messages: list[Message]) -> list[int]:
    return [int(one.token) for one in messages]


def test_few_messages_are_one_batch_in_their_order() -> None:
    queue = deque(message(number, 8_000 if number % 2 else 200) for number in range(FEW))
    assert tokens(take_turn(queue, MOST)) == list(range(FEW))
    assert not queue


def test_short_messages_keep_their_order_and_come_as_many_as_a_batch_holds() -> None:
    queue = deque(message(number) for number in range(5_000))
    assert tokens(take_turn(queue, MOST)) == list(range(2_000))
    assert tokens(take_turn(queue, MOST)) == list(range(2_000, 4_000))


def test_a_live_reading_does_not_wait_behind_a_backlog() -> None:
    queue = deque([*(message(number, 8_000) for number in range(4_000)), message(9_999)])
    taken = take_turn(queue, MOST)
    assert tokens(taken)[0] == 9_999
    assert sum(len(one.payload) for one in taken) <= LONG_BYTES + 8_000 + 200


def test_a_backlog_does_not_wait_for_ever_however_much_is_live() -> None:
    queue: deque[Message] = deque([message(1, 8_000)])
    queue.extend(message(number) for number in range(2, 9_000))
    assert 1 in tokens(take_turn(queue, MOST))


@given(st.lists(st.sampled_from([100, SHORT_BYTES, SHORT_BYTES + 1, 8_192]), max_size=600), st.integers(1, 300))
def test_every_message_is_taken_once_and_each_size_in_its_order(sizes: list[int], most: int) -> None:
    queue = deque(message(number, size) for number, size in enumerate(sizes))
    taken: list[Message] = []
    while queue:
        batch = take_turn(queue, most)
        assert batch
        taken += batch
    assert sorted(tokens(taken)) == list(range(len(sizes)))
    for is_short in (True, False):
        of_size = [token for token in tokens(taken) if (sizes[token] <= SHORT_BYTES) is is_short]
        assert of_size == sorted(of_size)
