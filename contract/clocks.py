"""Clocks: what is on time, and what is remembered of one that was wrong: by how much, and from which reading on."""

import msgspec

PUNCTUAL_MS = 120_000
"""A newest reading that comes within this of the time it says is on time: radio, sleep and a queue take less. What is
dated further ahead of the clock than this was dated by a wrong one."""


class Skew(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The readings of one boot that say `clock`, from `since_seq` on, are dated by a clock that is ahead of ours.

    Of several that hold for a reading the one with the highest `since_seq` does. One of 0 ms says that the clock is
    right from there on.
    """

    boot: int
    clock: str  # as the message says: synced, held
    since_seq: int
    ahead_ms: int  # negative when it is behind
