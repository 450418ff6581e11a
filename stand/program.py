"""A program that may be killed and run again, and waiting for what it does."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from nabd.fault import Refused
from nabd.process import Child

UP_S_MAX = 60.0
Seen = TypeVar("Seen")


def wait_for(look: Callable[[], Seen], what: str, within_s: float = UP_S_MAX, every_s: float = 0.05) -> Seen:
    """The first true thing that `look` returns. Raises Refused with `what` when the time is over."""
    end_s = time.monotonic() + within_s
    while not (seen := look()):
        if time.monotonic() > end_s:
            raise Refused(f"not within {within_s:g} s: {what}")
        time.sleep(every_s)
    return seen


class Program:
    """One process; `stop` ends the last one, if there was one."""

    _child: Child | None = None

    def run(self, command: list[str], log: Path, folder: Path | None = None) -> int:
        """Start it in this working directory, its output behind what is in `log`; the process id."""
        with log.open("ab") as output:
            self._child = Child(command, folder=folder, output=output)
        return self._child.pid

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    @property
    def is_alive(self) -> bool:
        return self._child is not None and self._child.alive()

    def kill(self) -> None:
        """As a crash or a power cut ends it."""
        assert self._child is not None
        self._child.kill()

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()
