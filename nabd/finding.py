"""What `nabd doctor` finds: one verdict, about one thing, in one sentence with the next step."""

from enum import StrEnum

import msgspec

RENEW_DAYS = 30
"""A certificate that is good for less is a note. Whoever asks the doctor once a month hears of it in time."""


class Verdict(StrEnum):
    GOOD = "ok"
    NOTE = "note"
    WRONG = "WRONG"


class Finding(msgspec.Struct, frozen=True):
    verdict: Verdict
    about: str
    sentence: str
