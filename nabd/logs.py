"""Logging: one line of key=value or JSON to stderr; a line that repeats is counted, not written again and again."""

import logging
import sys
import time
from collections import OrderedDict

import msgspec

REPEAT_S = 60.0
REMEMBERED_MAX = 256


class KeyValueFormatter(logging.Formatter):
    """``at=… level=… room=… msg="…"``; the message's own key=value pairs follow as they are."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"at={_at(record)} level={record.levelname.lower()} room={record.name} {record.getMessage()}"
        return line if record.exc_info is None else f"{line}\n{self.formatException(record.exc_info)}"


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "at": _at(record),
            "level": record.levelname.lower(),
            "room": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info is not None:
            fields["trace"] = self.formatException(record.exc_info)
        return msgspec.json.encode(fields).decode()


class RateLimit(logging.Filter):
    """The same text of the same room is written once a minute, with the number of those left out."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        key = (record.name, str(record.msg))
        written_s, left_out = self._seen.get(key, (-REPEAT_S, 0))
        now_s = record.created
        if now_s - written_s < REPEAT_S and record.levelno < logging.CRITICAL and record.args:
            self._seen[key] = (written_s, left_out + 1)
            return left_out < 20  # a burst of different facts may pass; a flood may not
        if left_out > 20:
            record.msg = f"{record.msg} left_out={left_out - 20}"
        self._seen[key] = (now_s, 0)
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
