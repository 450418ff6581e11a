"""What is wrong with the platform, room by room, in the reader's language: which room, what it means for the city, and
the exact English sentence for whoever mends it."""

import msgspec

from console.health import STORE_LAG_MAX, HealthView
from console.language import Language

ROOMS = ("decider", "store", "live view", "recorder", "broker")  # those that the wiring tells faults of


class Trouble(msgspec.Struct, frozen=True):
    room: str  # one of ROOMS, "log", or "" when it is none that the console knows
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
        sentence = text(f"fault.{room.replace(' ', '_')}") if room else text("reason.fault")
        found.append(Trouble(room, sentence, detail))
    behind = health.lag.get("store", 0)
    if behind > STORE_LAG_MAX:
        found.append(Trouble("store", text("reason.store_behind", n=language.number(behind)), ""))
    for device, _ in health.quarantine.full:
        found.append(Trouble("log", text("reason.quarantine_filled", device=device), ""))
    return found


def _split(fault: str) -> tuple[str, str]:
    room, _, detail = fault.partition(": ")
    return (room, detail) if room in ROOMS else ("", fault)


def _why_holding(holding: str) -> str:
    """Which text says best why nothing is kept: the log tells its own bounds (LogFull), a disk anything."""
    if ": the quarantine holds " in holding:
        return "quarantine_full"
    return "log_full" if " bytes in use, " in holding else "holding"
