"""HTML from Python calls: everything is escaped unless it was made here, so no name or reason can smuggle a tag in."""

from collections.abc import Iterable
from html import escape
from typing import Union

WHOLE_MAX = 34  # a name up to this length is never broken over two lines
VOID = frozenset({"br", "hr", "img", "input"})


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = Union["Html", str, int, None, Iterable["Child"]]


def h(tag: str, *children: Child, **attributes: object) -> Html:
    """``h("a", name, href="/x", class_="row")``. None and False attributes are left out, True ones stand bare;
    ``data_at`` is ``data-at`` and a trailing ``_`` falls off."""
    written = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in VOID:
        return Html(f"<{tag}{written}>")
    return Html(f"<{tag}{written}>{join(children)}</{tag}>")


def join(children: Child) -> Html:
    if children is None:
        return Html("")
    if isinstance(children, Html):
        return children
    if isinstance(children, (str, int)):
        return Html(escape(str(children)))
    return Html("".join(join(child) for child in children))


def _attribute(name: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


def code(text: str) -> Html:
    """An id, a condition or a reason of the machine: left to right, whatever stands around it."""
    whole = len(text) <= WHOLE_MAX and " " not in text
    return h("bdi", text, class_="code whole" if whole else "code", dir="ltr")


def isolated(text: str) -> Html:
    """A name or a number that keeps its own direction inside any text."""
    return h("bdi", text)


def icon(name: str, **attributes: object) -> Html:
    return h("i", name, class_="material-icons", aria_hidden="true", **attributes)
