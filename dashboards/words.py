"""The dashboards' own words, a YAML file a language; names of metrics come from the kinds.

A panel is named by a key; ``title`` and ``about`` under it are its title and its description.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from ruamel.yaml import YAML

from contract import quality
from contract.kind import LANGUAGES, Labels

FOLDERS: Mapping[str, str] = {"ar": "Nabd — العربية", "fr": "Nabd — Français", "en": "Nabd — English"}
"""Language → the folder of Grafana its dashboards lie in."""


class Words:
    """The texts of one language."""

    def __init__(self, language: str, texts: Mapping[str, str]) -> None:
        self.language = language
        self.texts = texts

    def __call__(self, key: str, **values: str) -> str:
        """The text of a key with its ``{names}`` filled in. Raises KeyError for a key there is none of."""
        text = self.texts[key]
        return text.format(**values) if values else text

    def of(self, labels: Labels) -> str:
        """This language's text of labels that came with a kind."""
        return labels[self.language]

    def value(self, value: str) -> str:
        """A value of an enum in words where there are some, else the value itself: a new kind may have new ones."""
        return self.texts.get(f"value.{value}", value)


@cache
def read_words(language: str) -> Words:
    text = (files("dashboards") / "locales" / f"{language}.yaml").read_text(encoding="utf-8")
    marks = {f"quality.{word}": label for word, label in quality.texts(language).items()}
    return Words(language, dict(_flat(YAML(typ="safe").load(text), "")) | marks)


def _flat(tree: Mapping[str, object], prefix: str) -> "list[tuple[str, str]]":
    found: list[tuple[str, str]] = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{key}.")
        elif isinstance(value, str):
            found.append((f"{prefix}{key}", value))
        else:
            raise ValueError(f"dashboards/locales: {prefix}{key} is {value!r} and no text; put it in quotes")
    return found


def all_words() -> list[Words]:
    return [read_words(language) for language in LANGUAGES]
