"""Whatever a payload is, it ends stored, quarantined or deferred, once, and takes no memory with it."""

from random import Random

import pytest

from tests.fuzz.ending import is_unreadable
from tests.fuzz.mutations import HARMS, vectors
from tests.fuzz.run import GROWTH_BYTES_MAX, fuzz

MESSAGES = 50_000
SEED = "20261124"

pytestmark = pytest.mark.timeout(300)


def test_every_harmed_message_has_an_ending_and_memory_stays_flat() -> None:
    total, growth = fuzz(MESSAGES, SEED)
    print(dict(total), growth)
    assert total.total() == MESSAGES
    assert min(total["accepted"], total["duplicate"], total["quarantined"], total["deferred"]) > MESSAGES / 500
    assert growth < GROWTH_BYTES_MAX


def test_the_harms_harm() -> None:
    """Each changes most of the messages, and together they leave enough that can still be read."""
    chance = Random(SEED)
    payloads = [payload for _, payload in vectors() if not is_unreadable(payload) and len(payload) > 60]
    for name, harm in HARMS.items():
        harmed = [harm(chance, payload) for payload in payloads]
        changed = sum(before != after for before, after in zip(payloads, harmed, strict=True))
        assert changed > len(payloads) / 2, name
