"""The way to an InfluxDB 2: points go in, InfluxQL is answered; whatever goes wrong is one sentence with a remedy."""

import logging
import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException

from contract import full_disk
from contract.ports import StoreFault

CHUNK_ROWS = 10_000  # of an answer, in a piece: what an answer takes in memory is bounded
RETRY_AFTER_S_MAX = 300.0
SENTENCE_MAX = 300  # characters of the server's own words

logging.getLogger("influxdb_client").setLevel(logging.CRITICAL)  # every fault is raised here, and logged by who tries


class Refusal(Exception):
    """The server is well and will not take some of these points, now or later: its own words, and how many it dropped.

    Those it did not drop are stored; where it could not even read them (`dropped` is None), none is.
    """

    def __init__(self, sentence: str, dropped: int | None) -> None:
        super().__init__(sentence)
        self.dropped = dropped


class TooLarge(Exception):
    """More bytes in a request than the server, or a proxy before it, takes."""


class Series(msgspec.Struct, frozen=True):
    columns: list[str]
    values: list[list[Any]] = []
    name: str = ""
    tags: dict[str, str] = {}


class _Result(msgspec.Struct, frozen=True):
    series: list[Series] = []
    error: str = ""


class _Answer(msgspec.Struct, frozen=True):
    results: list[_Result] = []
    error: str = ""


class _Error(msgspec.Struct, frozen=True):
    code: str = ""
    message: str = ""


_NOISE = re.compile(
    r"<[^>]*>: |HTTPS?Connection(Pool)?\([^)]*\): |Failed to establish a new connection: |\[Errno -?\d+\] "
)
_NS: Any = WritePrecision.NS
_answer = msgspec.json.Decoder(_Answer)
_error = msgspec.json.Decoder(_Error)


class InfluxLink:
    """One bucket of one server; any number of threads. The token is asked for again when the server refuses it."""

    def __init__(
        self, url: str, org: str, bucket: str, token: str | Callable[[], str], timeout_s: float, ca_file: str = ""
    ) -> None:
        self.bucket = bucket
        self.where = f"InfluxDB at {url} (org {org}, bucket {bucket})"
        self._org, self._timeout_s = org, timeout_s
        self._token = token if callable(token) else lambda: token
        self._client = InfluxDBClient(
            url,
            self._token(),
            org=org,
            timeout=round(timeout_s * 1000),
            enable_gzip=False,
            retries=False,
            ssl_ca_cert=ca_file or None,
        )
        self._write = self._client.write_api(write_options=SYNCHRONOUS)
        self._api: Any = self._client.api_client
        self._dispose = weakref.finalize(self, _dispose, self._client, self._api)
        self._is_closed = False

    def post(self, body: bytes) -> None:
        """Write lines, times in ns; returns when the server has them on its disk.

        Raises StoreFault when it may be tried again, Refusal, TooLarge.
        """
        with self._faults(writing=True):
            self._write.write(self.bucket, self._org, body, write_precision=_NS)

    def ask(self, query: str) -> Iterator[Series]:
        """The answer to one InfluxQL statement, in pieces; times in ns. Raises StoreFault, also in the midst."""
        with self._faults():
            response = self._api.call_api(
                "/query",
                "POST",
                query_params={
                    "db": self.bucket, "org": self._org, "epoch": "ns", "chunked": "true", "chunk_size": CHUNK_ROWS,
                },
                header_params={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
                post_params={"q": query},
                _preload_content=False,
                _return_http_data_only=True,
            )  # fmt: skip
            try:
                for line in response:
                    if line.strip():
                        yield from self._series(line)
                response.release_conn()
            finally:
                response.close()

    def delete(self, measurement: str, start_ns: int, end_ns: int) -> None:
        """Delete the points of a measurement from one time to another. Raises StoreFault."""
        with self._faults():
            deleting: Any = self._client.delete_api()
            start, stop = (_rfc3339(at_ns) for at_ns in (start_ns, end_ns - 1))  # which is deleted, too
            deleting.delete(start, stop, f'_measurement="{measurement}"', bucket=self.bucket, org=self._org)

    def keeps_s(self) -> int:
        """The bucket's retention period in s; 0 for ever, and when the token may not ask. Raises StoreFault."""
        with self._faults():
            buckets: Any = self._client.buckets_api()
            bucket = buckets.find_bucket_by_name(self.bucket)
        rules = bucket.retention_rules if bucket is not None else None
        return int(rules[0].every_seconds) if rules else 0

    def _series(self, line: bytes) -> Sequence[Series]:
        try:
            answer = _answer.decode(line)
        except msgspec.MsgspecError as error:
            raise StoreFault(f"{self.where}: answers what is no InfluxDB's ({error}); check [influxdb] url") from None
        for sentence in (answer.error, *(result.error for result in answer.results)):
            if sentence.startswith("database not found"):
                raise StoreFault(
                    f"{self.where}: the bucket cannot be read: there is none, or the token may not read it; make the "
                    "bucket ([influxdb] bucket), or put a token with read access into [influxdb] token_file"
                )
            if sentence:
                raise StoreFault(f"{self.where}: cannot answer ({sentence[:SENTENCE_MAX]})")
        return [series for result in answer.results for series in result.series]

    def close(self) -> None:
        self._is_closed = True
        self._dispose()

    @contextmanager
    def _faults(self, *, writing: bool = False) -> Iterator[None]:
        if self._is_closed:
            raise StoreFault(f"{self.where}: is closed")
        try:
            yield
        except ApiException as error:
            raise self._refused(error, writing=writing) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            is_late = isinstance(error, urllib3.exceptions.TimeoutError)
            if is_late and not isinstance(error, urllib3.exceptions.NewConnectionError):  # which is one, in urllib3
                sentence = f"gave no answer within {self._timeout_s:g} s; look at the server's load and disk, or allow "
                raise StoreFault(f"{self.where}: {sentence}more with [influxdb] timeout_s") from None
            sentence = f"cannot be reached ({_cause(error)}); start it, or mend [influxdb] url"
            raise StoreFault(f"{self.where}: {sentence}") from None

    def _refused(self, error: ApiException, *, writing: bool) -> Exception:
        try:
            told = _error.decode(_body(error))
        except msgspec.MsgspecError:
            told = _Error()
        status, words = error.status, (told.message or str(error.reason or ""))[:SENTENCE_MAX].strip()
        if status == 413:
            return TooLarge(f"{self.where}: takes no request of this size")
        if writing and status in (400, 422) and told.code in ("invalid", "unprocessable entity"):
            if "partial write" in told.message:
                return Refusal(words, _dropped(told.message))
            if "unable to parse" in told.message:
                return Refusal(words, None)
        if status in (401, 403):
            self._api.set_default_header("Authorization", f"Token {self._token()}")
        retry_after_s = _retry_after_s(error) if status in (429, 503) else 0.0
        if "no space left" in words:
            return StoreFault(full_disk.sentence(self.where, f"{status}: {words}"), retry_after_s)
        return StoreFault(f"{self.where}: {_sentence(status, words)}", retry_after_s)


def _sentence(status: int, words: str) -> str:
    """What it answered, and the remedy."""
    if status == 0:
        return f"cannot be reached ({words}); check [influxdb] url and ca_file, and the server's certificate"
    if status == 401:
        remedy = "the token is wrong or no longer holds: put one that does into [influxdb] token_file"
    elif status == 403:
        remedy = "the token may not do this: it needs read and write access to the bucket, see docs/stores.md"
    elif status == 404:
        remedy = "make the organisation and the bucket, or mend [influxdb] org and bucket"
    elif status in (429, 503):
        remedy = "it has too much to do, and is tried again"
    else:
        remedy = "the server's own log tells more"
    return f"answers {status} ({words}); {remedy}"


def _dispose(client: Any, api: Any) -> None:
    """At the latest when the process ends: left to the end of the interpreter, the client prints a traceback."""
    client.close()
    api.rest_client = None


def _rfc3339(at_ns: int) -> str:
    seconds, ns = divmod(at_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ns:09d}Z"


def _body(error: ApiException) -> bytes | str:
    if error.body:
        return error.body  # type: ignore[no-any-return]
    data = getattr(error.response, "data", b"")
    return data if isinstance(data, (bytes, str)) else b""


def _dropped(sentence: str) -> int | None:
    """How many points of a partial write were dropped: ``dropped=3``, or ``dropped 3 points``."""
    for mark in ("dropped=", "dropped "):
        digits = sentence.rpartition(mark)[2] if mark == "dropped=" else sentence.partition(mark)[2]
        digits = digits.split(" ")[0].strip()
        if digits.isdecimal():
            return int(digits)
    return None


def _retry_after_s(error: ApiException) -> float:
    headers: Any = error.headers
    text = str(headers.get("Retry-After", "")) if headers else ""
    return min(float(text), RETRY_AFTER_S_MAX) if text.isdecimal() else 0.0


def _cause(error: BaseException) -> str:
    """The system's words, without the object they stand beside."""
    reason = getattr(error, "reason", None)
    return _NOISE.sub("", str(reason if isinstance(reason, Exception) else error))[:SENTENCE_MAX]
