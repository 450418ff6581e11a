"""Text → tokens. Numbers come with their unit, because ``65 degC`` is one thing."""

import re

import msgspec

from contract.document import nearest
from contract.quantity import UNITS, duration_ms
from rules.syntax import SyntaxFault

CHARACTERS_MAX = 1_000
TOKENS_MAX = 256
WORDS = ("and", "or", "not", "true", "false")  # words with a meaning of their own

_SPACE = re.compile(r"\s+")
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?![\w:])")
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.%])|\d+(?:\.\d+)?")
_GLUED = re.compile(r"[\w.]+")
_AFTER_NUMBER = re.compile(r"%|[A-Za-z_]\w*")
_SPACED_UNIT = re.compile(r"[ \t]+([A-Za-z_]\w*|%)")
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_QUOTED = re.compile(r"\"([^\"]*)\"|'([^']*)'")
_SYMBOL = re.compile(r"<=|>=|==|!=|[-+*/<>(),]")

# What people write from habit → what it is called here.
_HABITS = {"=": "==", "<>": "!=", "&&": "and", "||": "or", "!": "not", "&": "and", "|": "or"}


class Token(msgspec.Struct, frozen=True):
    """`kind`: number, duration, time, text, name, word, symbol or end. `value` is the number, ms, minutes or text."""

    kind: str
    at: int
    end: int
    value: float | int | str
    unit: str = ""


def tokenize(text: str) -> list[Token]:
    """All tokens of an expression, an `end` token last. Raises SyntaxFault."""
    if len(text) > CHARACTERS_MAX:
        raise SyntaxFault(0, f"the expression has {len(text)} characters, more than {CHARACTERS_MAX}; split the rule")
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        space = _SPACE.match(text, at)
        if space:
            at = space.end()
            continue
        token = _token_at(text, at)
        tokens.append(token)
        if len(tokens) > TOKENS_MAX:
            raise SyntaxFault(at, f"the expression has more than {TOKENS_MAX} words and signs; split the rule")
        at = token.end
    tokens.append(Token("end", len(text), len(text), ""))
    return tokens


def _token_at(text: str, at: int) -> Token:
    if text[at].isdecimal() and text[at].isascii():
        return _number_at(text, at)
    if name := _NAME.match(text, at):
        return Token("word" if name[0] in WORDS else "name", at, name.end(), name[0])
    if quoted := _QUOTED.match(text, at):
        return Token("text", at, quoted.end(), quoted[1] if quoted[1] is not None else quoted[2])
    if symbol := _SYMBOL.match(text, at):
        if symbol[0] == "<" and text[at : at + 2] == "<>":
            raise SyntaxFault(at, "'<>' is written '!=' here")
        return Token("symbol", at, symbol.end(), symbol[0])
    for habit, ours in _HABITS.items():
        if text.startswith(habit, at):
            raise SyntaxFault(at, f"{habit!r} is written {ours!r} here")
    if text[at] in "\"'":
        raise SyntaxFault(at, "the quoted text does not end")
    raise SyntaxFault(at, f"{text[at]!r} has no meaning here")


def _number_at(text: str, at: int) -> Token:
    if time := _TIME.match(text, at):
        hour, minute = int(time[1]), int(time[2])
        if hour > 23 or minute > 59:
            raise SyntaxFault(at, f"{time[0]} is no time of day; it lies between 00:00 and 23:59")
        return Token("time", at, time.end(), hour * 60 + minute)
    number = _NUMBER.match(text, at)
    assert number is not None
    value = float(number[0])
    if value >= 1e300:
        raise SyntaxFault(at, f"{number[0]} is too large a number")
    if not (suffix := _AFTER_NUMBER.match(text, number.end())):
        spaced = _SPACED_UNIT.match(text, number.end())
        if spaced and spaced[1] in UNITS:
            return Token("number", at, spaced.end(), value, spaced[1])
        if spaced and spaced[1] not in WORDS:  # a name right behind a number can only be meant as a unit
            raise SyntaxFault(spaced.start(1), f"unknown unit {spaced[1]!r}{nearest(spaced[1], UNITS)}")
        return Token("number", at, number.end(), value)
    if suffix[0] in UNITS:
        return Token("number", at, suffix.end(), value, suffix[0])
    try:
        return Token("duration", at, suffix.end(), duration_ms(_glued(text, at)))
    except ValueError:
        known = [*UNITS, "ms", "s", "m", "h", "d"]
        raise SyntaxFault(number.end(), f"unknown unit {suffix[0]!r}{nearest(suffix[0], known)}") from None


def _glued(text: str, at: int) -> str:
    """The run of digits, letters and points from `at` on: a duration such as 1h30m is one."""
    match = _GLUED.match(text, at)
    return match[0] if match else ""
