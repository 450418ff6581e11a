"""A device that says more than its share: whom it is, how fast it is, and against which limit."""

import msgspec

READINGS, MESSAGES, STREAMS = "readings", "messages", "streams"
WHATS = (READINGS, MESSAGES, STREAMS)


class OverLimit(msgspec.Struct, frozen=True):
    """`count` things came of which `limit` are allowed within `window_ms`. Times are city time, Unix ms."""

    device: str
    what: str  # of WHATS: readings by when they were measured, messages of telemetry, new streams
    count: int  # in the window at hand so far, what was left with the device included
    limit: int
    window_ms: int
    since_ms: int
    last_ms: int
    left: int  # messages left with the device since then
