"""What is wrong with the platform, room by room, in the reader's language: which room, what it means for the city, and
the exact English sentence for whoever mends it."""

import msgspec

from console.health import AHEAD_S_MAX, HealthView, clock_faults
from console.language import Language
from contract import full_disk

ROOMS = (  # those that the wiring tells faults of
    "decider", "store", "live view", "recall", "ticks", "log", "log watch", "audit", "recorder",
    "broker",
)  # fmt: skip


class Trouble(msgspec.Struct, frozen=True):
    room: str  # one of ROOMS, "clock", or "" when it is none that the console knows
    sentence: str
    detail: str  # as the room wrote it; empty when there is no more to say


def troubles(language: Language, health: HealthView) -> list[Trouble]:
    """All that is wrong, what stops readings first; empty when the platform is well."""
    text = language.text
    faults = [_split(fault) for fault in health.faults]
    found = []
    if health.connected is False:
        details = [detail for room, detail in faults if room == "broker"]
        faults = [fault for fault in faults if fault[0] != "broker"]
        found.append(Trouble("broker", text("reason.broker_away"), "; ".join(details)))
    if health.holding:
        found.append(Trouble("log", text(f"reason.{_why_holding(health.holding)}"), health.holding))
    for room, detail in faults:
        found.append(Trouble(room, _what_fault(language, room, detail), detail))
    found += [_behind(language, health, name) for name in health.behind]
    found += _clock(language, health)
    found += [Trouble("log", filled_by(language, device), "") for device, _ in health.quarantine.full]
    return found


def filled_by(language: Language, device: str) -> str:
    """Who has used up its share of the quarantine; without a name it is all that are not registered."""
    return language.text(
        "reason.quarantine_filled" if device else "reason.quarantine_filled_by_strangers", device=device
    )


def _what_fault(language: Language, room: str, detail: str) -> str:
    if room in ("decider", "store") and full_disk.is_told(detail):
        return language.text(f"fault.{room}_disk_full")
    return language.text(f"fault.{room.replace(' ', '_')}") if room else language.text("reason.fault")


def _behind(language: Language, health: HealthView, name: str) -> Trouble:
    """With how far in time and entries, and how long the log has room for more."""
    span = language.span(health.lag_s[name])
    sentence = language.text(f"reason.{name}_behind", n=language.number(health.lag[name]), span=span)
    full_in_s = health.log.get("full_in_s")
    if full_in_s is not None and not health.holding:
        sentence += " " + language.text("reason.log_full_in", span=language.span(full_in_s, 1))
    return Trouble("live view" if name == "live" else name, sentence, "")


def _clock(language: Language, health: HealthView) -> list[Trouble]:
    sentences = []
    if (by_s := health.log.get("clock_jump_s")) is not None:
        key = "clock_forward" if by_s > 0 else "clock_back"
        sentences.append(language.text(f"reason.{key}", span=language.span(abs(by_s))))
    if (ahead_s := health.log.get("ahead_s", 0.0)) > AHEAD_S_MAX:
        sentences.append(language.text("reason.log_ahead", span=language.span(ahead_s)))
    details = clock_faults(health)
    return [Trouble("clock", sentence, detail) for sentence, detail in zip(sentences, details, strict=True)]


def _split(fault: str) -> tuple[str, str]:
    room, _, detail = fault.partition(": ")
    return (room, detail) if room in ROOMS else ("", fault)


def _why_holding(holding: str) -> str:
    """Which text says best why nothing is kept: the log tells its own bounds (LogFull), a disk anything."""
    if ": the quarantine holds " in holding:
        return "quarantine_full"
    if full_disk.is_told(holding):
        return "log_disk_full"
    return "log_full" if " bytes in use, " in holding else "holding"
