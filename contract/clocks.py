"""What is remembered of the clocks of devices: by how much one was wrong, and from which reading on."""

import msgspec


class Skew(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The readings of one boot that say `clock`, from `since_seq` on, are dated by a clock that is ahead of ours.

    Of several that hold for a reading the one with the highest `since_seq` does. One of 0 ms says that the clock is
    right from there on.
    """

    boot: int
    clock: str  # as the message says: synced, held
    since_seq: int
    ahead_ms: int  # negative when it is behind
