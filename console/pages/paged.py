"""A long list in pages: which one an address asks for, its rows, and the way to its neighbours."""

import re
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from fastapi import Request

from console.language import Language
from console.markup import Html, h

PAGE_ROWS = 50

_NUMBER = re.compile("[0-9]{1,6}")
Row = TypeVar("Row")


class Page(NamedTuple, Generic[Row]):
    number: int
    pages: int
    total: int  # rows, of all pages
    rows: Sequence[Row]


def asked(request: Request) -> int:
    """The page of that number; the first where the address asks for none, or for what is no number."""
    number = request.query_params.get("page", "")
    return max(int(number), 1) if _NUMBER.fullmatch(number) else 1


def page_of(rows: Sequence[Row], number: int) -> Page[Row]:
    """The last page there is when `number` lies beyond: a list may have become shorter since it was asked for."""
    pages = max(-(-len(rows) // PAGE_ROWS), 1)
    number = min(number, pages)
    return Page(number, pages, len(rows), rows[(number - 1) * PAGE_ROWS : number * PAGE_ROWS])


def pager(language: Language, page: Page[Row], address: Callable[[int], str]) -> Html | None:
    """Nothing where all is on one page."""
    if page.pages == 1:
        return None
    text = language.text
    before = h("a", text("pager.before"), href=address(page.number - 1)) if page.number > 1 else None
    after = h("a", text("pager.after"), href=address(page.number + 1)) if page.number < page.pages else None
    here = text("pager.here", page=language.number(page.number), pages=language.number(page.pages))
    return h("nav", before, h("span", here, class_="muted"), after, class_="pager", aria_label=text("pager.label"))
