"""YAML 1.2 files that people write, read so that every fault can be named with its line and column, all at once."""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from io import StringIO
from typing import Any

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedBase, CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError


class Fault(msgspec.Struct, frozen=True, order=True):
    """One thing wrong in a file; lines and columns count from 1."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class DocumentFault(ValueError):
    """A file that cannot be used, with all that is wrong in it."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = sorted(faults)
        super().__init__("\n".join(map(str, self.faults)))


class Document:
    """One YAML mapping and the faults found in it so far.

    Checks are methods that record a fault and return None (or a fallback) instead of raising, so that one
    reading of a file finds everything; `finish` raises at the end if anything was found.
    """

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.faults: list[Fault] = []
        self.root = CommentedMap()
        yaml = YAML(typ="rt")
        yaml.version = "1.2"
        try:
            root = yaml.load(StringIO(text))
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            self.faults.append(Fault(file, line, column, f"not readable as YAML: {error.problem or error.context}"))
            return
        except (YAMLError, ValueError, RecursionError) as error:
            first_line = str(error).splitlines()[0]
            self.faults.append(Fault(file, 1, 1, f"not readable as YAML: {first_line}"))
            return
        if isinstance(root, CommentedMap):
            self.root = root
        else:
            self.faults.append(Fault(file, 1, 1, "the file must be a mapping of keys to values"))

    def finish(self) -> None:
        if self.faults:
            raise DocumentFault(self.faults)

    def position(self, node: Any, key: Any = None, *, of_value: bool = False) -> tuple[int, int]:
        """(line, column) of a node, or of a key (or its value) inside it."""
        if isinstance(node, CommentedMap) and key is not None and key in node:
            line, column = node.lc.value(key) if of_value else node.lc.key(key)
        elif isinstance(node, CommentedSeq) and isinstance(key, int) and key < len(node):
            line, column = node.lc.item(key)
        elif isinstance(node, CommentedBase):
            line, column = node.lc.line, node.lc.col
        else:
            line, column = 0, 0
        return line + 1, column + 1

    def fault(self, node: Any, key: Any, message: str, *, of_value: bool = False, offset: int = 0) -> None:
        """Record a fault at `key` of `node`; `offset` columns into its value when that is an expression."""
        line, column = self.position(node, key, of_value=of_value)
        self.faults.append(Fault(self.file, line, column + offset, message))

    def check_keys(self, node: Mapping[Any, Any], allowed: Iterable[str], where: str) -> None:
        """An unknown key is a fault, with the nearest known one as a hint."""
        known = list(allowed)
        for key in node:
            if key not in known:
                self.fault(node, key, f"{where}: unknown key {key!r}{nearest(str(key), known)}")

    def take(
        self,
        node: Mapping[Any, Any],
        key: str,
        what: str,
        accept: Callable[[Any], bool],
        *,
        required: bool = False,
        default: Any = None,
    ) -> Any:
        """node[key] if `accept` likes it; otherwise a fault ("must be `what`") and the default."""
        if key not in node:
            if required:
                self.fault(node, None, f"{key}: missing; it must be {what}")
            return default
        value = node[key]
        if not accept(value):
            self.fault(node, key, f"{key}: {value!r} must be {what}", of_value=True)
            return default
        return _plain(value)

    def take_labels(self, node: Mapping[Any, Any], key: str, languages: Iterable[str]) -> dict[str, str]:
        """Texts in every language of the house."""
        texts = self.take(node, key, "a mapping with ar, fr and en", is_mapping, required=True, default={})
        wanted = list(languages)
        self.check_keys(texts, wanted, key)
        missing = [language for language in wanted if not is_text(texts.get(language))]
        if texts and missing:
            self.fault(node, key, f"{key}: no text for {', '.join(missing)}")
        return {language: str(texts.get(language, "")) for language in wanted}


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or the whole list when nothing is near and the list is short, or that it is empty."""
    known = list(known)
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    if not known:
        return "; there is none"
    return f"; known: {', '.join(known)}" if len(known) <= 16 else ""


def _plain(value: Any) -> Any:
    """A number or text as Python's own type: the reader's remember how they were written, and encoders refuse them."""
    for plain in (float, str):
        if isinstance(value, plain):
            return plain(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    return value


def is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def is_list(value: Any) -> bool:
    return isinstance(value, list)


def is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
