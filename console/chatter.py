"""A device that says too much, for a technician: how fast, against which limit, and what to do."""

from typing import Any

from console.language import Language, languages
from contract.moments import rfc3339
from contract.over_limit import OverLimit


def chatter(language: Language, over: OverLimit) -> tuple[str, str]:
    """(what it does, what to do about it) in the reader's language."""
    sentence = language.text(
        f"over.too_many_{over.what}",
        count=language.number(over.count),
        limit=language.number(over.limit),
        window=language.length(over.window_ms),
    )
    return sentence, language.text(f"over.do_{over.what}")


def document(over: OverLimit) -> dict[str, Any]:
    """For /healthz."""
    sentence, advice = chatter(languages()["en"], over)
    return {
        "device": over.device,
        "what": over.what,
        "count": over.count,
        "limit": over.limit,
        "window_s": over.window_ms // 1000,
        "since": rfc3339(over.since_ms),
        "last": rfc3339(over.last_ms),
        "messages_left": over.left,
        "sentence": f"{sentence}. {advice}",
    }
