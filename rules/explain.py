"""A condition with its values, as a technician reads it: ``level 1 > 0.2 and power_w 0 < 27``."""

from collections.abc import Callable, Iterable

from rules import tree
from rules.asset import Asset
from rules.evaluate import evaluate
from rules.meaning import Part

CHARACTERS_MAX = 400


def facts_of(asset: Asset) -> Callable[[tree.Input], tree.Value]:
    """Reads the inputs of an asset as they were at its last evaluation."""
    assert asset.program is not None
    assert asset.group is not None
    values: dict[tree.Input, tree.Value] = dict(zip(asset.program.asset_inputs, asset.values, strict=True))
    values.update(zip(asset.program.shared_inputs, asset.group.values, strict=True))
    return values.__getitem__


def because(parts: Iterable[Part], read: Callable[[tree.Input], tree.Value]) -> str:
    """The text of a condition with the values of its names, bounded in length."""
    text = "".join(part if isinstance(part, str) else shown(evaluate(part, read)) for part in parts)
    return text if len(text) <= CHARACTERS_MAX else text[: CHARACTERS_MAX - 1] + "…"


def shown(value: tree.Value) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else f"{value:.3f}".rstrip("0").rstrip(".")
