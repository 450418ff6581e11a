"""Why a consumer stands still, and how long until it tries again: one way for all of them."""

import logging

from contract.ports import PASSING


class Standing:
    """Told in the platform's log once when it begins and once when it is over. Any thread may ask `why`."""

    def __init__(self, logger: logging.Logger, name: str, retry_s: float, retry_s_max: float | None = None) -> None:
        """`name`: of `event=…_stands` and `event=…_back`. Waits double from `retry_s` to `retry_s_max`, if given."""
        self._logger, self._name = logger, name
        self._retry_s, self._retry_s_max = retry_s, retry_s_max or retry_s
        self._next_s = retry_s
        self.why = ""  # empty while it goes on

    def because(self, error: Exception) -> float:
        """It cannot go on now; how long to wait, in real seconds: as the store asks, where that is longer."""
        is_ours = not isinstance(error, PASSING)
        if not self.why:
            self._logger.error("event=%s_stands reason=%s", self._name, error, exc_info=is_ours)
        self.why = f"{type(error).__name__}: {error}" if is_ours else str(error)
        wait_s = max(self._next_s, getattr(error, "retry_after_s", 0.0))
        self._next_s = min(wait_s * 2, self._retry_s_max)
        return wait_s

    def over(self) -> None:
        """It goes on, or never stood."""
        if self.why:
            self._logger.info("event=%s_back", self._name)
        self.why, self._next_s = "", self._retry_s
