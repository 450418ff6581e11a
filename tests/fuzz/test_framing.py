"""The receiver reads from a socket what was written into it, however it is cut; of broken bytes it makes no message."""

from random import Random

import pytest

from tests.fuzz.framing import OTHERS, cut, publish, read, receive, stream
from tests.fuzz.mutations import Fuzzer, flip

SEED = "20261124"
STREAMS = 240
PACKETS = 60  # a stream


@pytest.mark.parametrize("part", range(4))
def test_what_is_sound_is_read_whole_however_it_is_cut(part: int) -> None:
    chance, fuzzer = Random(f"{SEED}/{part}"), Fuzzer(f"{SEED}/{part}")
    count = 0
    for _ in range(STREAMS // 4):
        data = stream(chance, fuzzer, PACKETS)
        wanted = list(read(data))
        messages, given_up = receive(cut(chance, data))
        assert not given_up
        assert messages == wanted
        count += len(messages)
    assert count > STREAMS // 4 * PACKETS * 0.7


@pytest.mark.parametrize("part", range(4))
def test_what_is_broken_raises_nothing_and_takes_nothing_from_what_came_before(part: int) -> None:
    chance, fuzzer = Random(f"{SEED}/broken/{part}"), Fuzzer(f"{SEED}/broken/{part}")
    failed = 0
    for _ in range(STREAMS // 4):
        sound = stream(chance, fuzzer, PACKETS // 4)
        broken = stream(chance, fuzzer, PACKETS // 4)
        for _ in range(chance.randint(1, 30)):
            broken = flip(chance, broken)
        at = chance.randrange(len(broken) + 1)
        data = sound + broken[:at] + broken[at + chance.randrange(3) :]
        wanted = list(read(data))
        messages, given_up = receive(cut(chance, data))
        assert messages[: len(wanted)] == wanted
        failed += given_up
    assert failed > STREAMS // 16, "the harm is felt"


def test_the_reader_of_our_own_reads_what_was_written() -> None:
    data = publish(b"a/b", b"one", 7, 8) + OTHERS[0] + publish(b"", b"x" * 20_000, 0, 1) + b"\x36\x00"
    assert [(message.topic, message.payload) for message in read(data)] == [("a/b", b"one"), ("", b"x" * 20_000)]
