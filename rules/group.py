"""Assets of one commune that are judged by the same rules: the inputs they share are read once for all of them."""

from collections.abc import Callable

from rules import tree

ReadShared = Callable[[tree.SharedInput, str, int], tree.Value]
"""(input, commune, now_ms) → its value."""


class Group:
    """The shared inputs of one program in one commune, as they were at the last `refresh`."""

    __slots__ = ("_commune", "_inputs", "_read", "values")

    def __init__(self, commune: str, inputs: tuple[tree.SharedInput, ...], read: ReadShared) -> None:
        self._commune = commune
        self._inputs = inputs
        self._read = read
        self.values: list[tree.Value] = []  # in the order of the inputs

    def refresh(self, now_ms: int) -> None:
        read, commune = self._read, self._commune
        self.values = [read(wanted, commune, now_ms) for wanted in self._inputs]
