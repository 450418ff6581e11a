"""Topics of the wire, version 1: ``nabd/1/<device>/<channel>``. Runs on MicroPython too."""

ROOT = "nabd/1/"

# device → platform
TELEMETRY = "telemetry"
STATUS = "status"
REPORTED = "reported"
RESULT = "result"
TIME = "time"
LOG = "log"
# platform → device
KEPT = "kept"
LEASE = "lease"
CALL = "call"
NOW = "now"

UPWARD = (TELEMETRY, STATUS, REPORTED, RESULT, TIME, LOG)
DOWNWARD = (KEPT, LEASE, CALL, NOW)

RESERVED_IDS = ("nabd", "platform", "nabd-platform", "nabd-admin")  # the last two are users at the broker
DEVICE_ID_LENGTH_MAX = 32
LENGTH_MAX = len(ROOT) + DEVICE_ID_LENGTH_MAX + 1 + len(TELEMETRY)  # of a topic that means anything, in bytes
_FIRST = "abcdefghijklmnopqrstuvwxyz0123456789"
_REST = _FIRST + "-"


def is_device_id(text: str) -> bool:
    """Does it match ``[a-z0-9][a-z0-9-]{0,31}`` and is it free for devices?"""
    if not text or len(text) > DEVICE_ID_LENGTH_MAX or text in RESERVED_IDS or text[0] not in _FIRST:
        return False
    return all(character in _REST for character in text)


def topic(device: str, channel: str) -> str:
    return ROOT + device + "/" + channel


def parse(text: str) -> "tuple[str, str] | None":
    """(device, channel) of a version 1 topic, or None. The channel is not judged here."""
    if not text.startswith(ROOT):
        return None
    parts = text[len(ROOT) :].split("/")
    if len(parts) != 2 or not is_device_id(parts[0]) or not parts[1]:
        return None
    return parts[0], parts[1]
