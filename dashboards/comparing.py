"""How two dashboards differ, in words a technician can read: panels by their titles, then what of them."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from json import dumps
from typing import Any

GRAFANAS_OWN = frozenset({"id", "version", "iteration"})
"""What Grafana itself writes into a document."""

VALUE_MAX = 120
MISSING = object()


def differences(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """A line each: where, what is there → what the source says. Empty when they are the same."""
    return list(_compare("", _own(there), _own(wanted)))


def digest(document: Mapping[str, Any]) -> str:
    body = dumps(_own(document), sort_keys=True, ensure_ascii=False).encode()
    return blake2b(body, digest_size=6).hexdigest()


def _own(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in GRAFANAS_OWN}


def _compare(where: str, there: Any, wanted: Any) -> Iterator[str]:
    if isinstance(there, Mapping) and isinstance(wanted, Mapping):
        for key in sorted({*there, *wanted}):
            yield from _compare(_below(where, key), there.get(key, MISSING), wanted.get(key, MISSING))
    elif _is_named(there) and _is_named(wanted):
        before, after = _by_name(there), _by_name(wanted)
        for name in [*before, *(name for name in after if name not in before)]:
            yield from _compare(_below(where, name), before.get(name, MISSING), after.get(name, MISSING))
    elif isinstance(there, list) and isinstance(wanted, list) and len(there) == len(wanted):
        for number, (one, other) in enumerate(zip(there, wanted, strict=True)):
            yield from _compare(f"{where}[{number}]", one, other)
    elif there != wanted:
        yield f"{where}: {_said(there)} → {_said(wanted)}"


def _below(where: str, key: str) -> str:
    return f"{where} › {key}" if where else key


def _is_named(value: Any) -> bool:
    """A list of things that have titles or names of their own: panels, variables, annotations."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, Mapping) and ("title" in one or "name" in one) for one in value)
    )


def _by_name(things: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Two of one title are told apart by their number."""
    named: dict[str, Mapping[str, Any]] = {}
    for thing in things:
        name = title = f"“{thing.get('title') or thing.get('name')}”"
        number = 1
        while name in named:
            number += 1
            name = f"{title} ({number})"
        named[name] = thing
    return named


def _said(value: Any) -> str:
    if value is MISSING:
        return "(nothing)"
    text = dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= VALUE_MAX else text[: VALUE_MAX - 1] + "…"
