"""Entries of the log that a store never got and never will: the log was cut before the store had them."""

from typing import Protocol

import msgspec


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """All that is missing lies within these positions of the log; between two losses there may be what was stored."""

    first: int
    last: int

    def and_also(self, other: "Loss | None") -> "Loss":
        """One that spans both."""
        if other is None:
            return self
        return Loss(first=min(self.first, other.first), last=max(self.last, other.last))


class KeepsLoss(Protocol):
    """The part of a store that remembers, beside its readings, what it lacks: so a store put back knows of its own."""

    def lost(self) -> Loss | None:
        """What nobody has accepted yet. Raises StoreFault."""

    def keep_loss(self, loss: Loss | None) -> None:
        """Remember this instead of what was remembered; None: it was accepted. Raises StoreFault."""
