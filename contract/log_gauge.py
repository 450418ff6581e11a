"""What can be asked of a log about itself, beside what stands in it."""

from typing import Protocol


class LogGauge(Protocol):
    """Any thread may ask. Times are city time, Unix ms; they never go back from one entry to the next."""

    def appended_at_ms(self, after: int) -> int | None:
        """When the first entry behind position `after` was appended; None when there is none. Raises OSError."""

    def last_at_ms(self) -> int:
        """When the last entry was appended, by the log's own time; 0 for an empty log."""

    def append_ms_p99(self) -> float:
        """How long the slowest of a hundred appends took, of those of late: waiting for the lock and disk included."""
