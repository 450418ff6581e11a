"""How far a long command is: a bar on a terminal, a line each tenth of the way where nobody watches. On stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import click

STEPS = 10
UNKNOWN_STEP = 1_000_000  # how often to tell where the end is not known


class Progress(Protocol):
    def update(self, more: int) -> None:
        """So many more are done."""


@contextmanager
def progress(label: str, total: int, what: str = "readings") -> Iterator[Progress]:
    """`total` may be a little wrong; 0 is one that is not known."""
    if sys.stderr.isatty():
        with click.progressbar(length=total, label=label, show_pos=True, width=30, file=sys.stderr) as bar:
            yield _Bar(bar.update, total)
    else:
        yield Lines(label, total, what)


class _Bar:
    """A bar that never passes its end."""

    def __init__(self, update: Callable[[int], None], total: int) -> None:
        self._update, self._left = update, total

    def update(self, more: int) -> None:
        self._update(min(more, self._left))
        self._left -= min(more, self._left)


class Lines:
    def __init__(self, label: str, total: int, what: str) -> None:
        self._label, self._total, self._what = label, total, what
        self._done, self._told = 0, 0

    def update(self, more: int) -> None:
        self._done += more
        step = self._done * STEPS // self._total if self._total else self._done // UNKNOWN_STEP
        if step > self._told:
            self._told = step
            share = f" of {self._total}" if self._total else ""
            click.echo(f"{self._label}: {self._done}{share} {self._what}", err=True)
