"""Whose turn it is when more has arrived than one batch should hold: what is short first, backlog by the megabyte.

After an outage thousands of devices send what they hold, dozens of readings a message, and each one's newest reading
in a message of its own. Taken in order of arrival the city would be seen as it was seconds ago. So short messages go
first, in their order; the long ones follow, in theirs, as many as a batch can hold without becoming slow. Neither
waits for ever: each batch has some of both. Nobody relies on the order between telemetry and the rest (docs/wire.md).
"""

from collections import deque

from contract.ports import Message

FEW = 200  # messages that are one batch whatever they hold
SHORT_BYTES = 1024  # a live reading with all its metrics has a quarter of it
LONG_BYTES = 1024 * 1024  # of long messages in one batch: ten thousand readings, a fifth of a second


def take_turn(queue: "deque[Message]", most: int) -> list[Message]:
    """Take the next batch out of `queue`: up to `most` messages, or a little more where there are long ones."""
    if len(queue) <= min(most, FEW):
        messages = list(queue)
        queue.clear()
        return messages
    short = [message for message in queue if len(message.payload) <= SHORT_BYTES]
    if len(short) == len(queue):
        return take_in_order(queue, most)
    long = [message for message in queue if len(message.payload) > SHORT_BYTES]
    octets = count = 0
    while count < min(most, len(long)) and octets < LONG_BYTES:
        octets += len(long[count].payload)
        count += 1
    queue.clear()
    queue.extend(short[most:])
    queue.extend(long[count:])
    return short[:most] + long[:count]


def take_in_order(queue: "deque[Message]", most: int) -> list[Message]:
    """Take the next batch out of `queue`, as it arrived: for a broker that wants to be acknowledged in that order."""
    return [queue.popleft() for _ in range(min(most, len(queue)))]
