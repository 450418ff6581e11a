"""Logging: one line of key=value or JSON to stderr; of a flood the beginning is written and the rest is counted."""

import logging
import sys
import time
from collections import OrderedDict

import msgspec

BURST_S = 60.0
BURST_MAX = 20  # different facts under one text may pass at once; a flood may not
REMEMBERED_MAX = 256


class KeyValueFormatter(logging.Formatter):
    """``at=… level=… room=… msg="…"``; the message's own key=value pairs follow as they are."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"at={_at(record)} level={record.levelname.lower()} room={record.name} {record.getMessage()}"
        return line if not record.exc_info else f"{line}\n{self.formatException(record.exc_info)}"


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "at": _at(record),
            "level": record.levelname.lower(),
            "room": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["trace"] = self.formatException(record.exc_info)
        return msgspec.json.encode(fields).decode()


class RateLimit(logging.Filter):
    """One text of one room is written BURST_MAX times within BURST_S; the next after that says how many were left out.

    The text is what the code says, before its facts are put in. Texts beyond REMEMBERED_MAX are forgotten, the oldest
    first, and may begin anew.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()  # → (began, how many since)

    def filter(self, record: logging.LogRecord) -> bool:
        key = (record.name, str(record.msg))
        began_s, count = self._seen.get(key, (-BURST_S, 0))
        if record.created - began_s < BURST_S:
            self._seen[key] = (began_s, count + 1)
            return count < BURST_MAX
        if count > BURST_MAX:
            record.msg = f"{record.msg} left_out={count - BURST_MAX}"
        self._seen[key] = (record.created, 1)
        self._seen.move_to_end(key)
        while len(self._seen) > REMEMBERED_MAX:
            self._seen.popitem(last=False)
        return True


def configure(level: str, *, json: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if json else KeyValueFormatter())
    handler.addFilter(RateLimit())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("uvicorn.access", "uvicorn.error", "httpx", "httpcore", "alembic", "nicegui", "watchfiles"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _at(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
