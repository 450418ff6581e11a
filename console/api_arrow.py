"""/api/v1/readings.arrow: readings of one kind as a stream of Apache Arrow, for notebooks and `nabd export`."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import pyarrow as pa
from fastapi import APIRouter, Query, Request, Response

from console.api_devices import DAY_MS
from console.parameters import parse_time
from console.platform import Platform
from console.problems import Problem
from console.streams import Streams
from contract.document import nearest
from contract.extracts import Extracts, Wanted, allowed_quality, quality_words
from contract.kind import Kind

MEDIA_TYPE = "application/vnd.apache.arrow.stream"
COUNT = "Nabd-Readings"
"""The header that says how many readings will come, at most, but for what is stored meanwhile."""
NAMES_MAX = 200  # of a filter

Names = Annotated[list[Annotated[str, Query(max_length=64)]] | None, Query(max_length=NAMES_MAX)]


def routes(platform: Platform, streams: Streams) -> APIRouter:
    router = APIRouter()

    @router.head("/readings.arrow", include_in_schema=False)
    @router.get(
        "/readings.arrow",
        summary="Readings of a kind as a stream of Apache Arrow (IPC), in order of measured time",
        response_class=Response,
        responses={200: {"content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}}},
    )
    async def readings(
        request: Request,
        kind: Annotated[str, Query(max_length=64, description="one of /kinds")],
        start: Annotated[str | None, Query(alias="from", description="RFC 3339; a day before `to` if left out")] = None,
        end: Annotated[str | None, Query(alias="to", description="RFC 3339, not included; now if left out")] = None,
        asset: Names = None,
        device: Names = None,
        zone: Names = None,
        metric: Annotated[list[str] | None, Query(max_length=64, description="only these; all if left out")] = None,
        quality: Annotated[
            list[str] | None,
            Query(
                max_length=16, description=f"only readings with nothing else against them: {', '.join(quality_words())}"
            ),
        ] = None,
    ) -> Response:
        extracts = platform.extracts
        if extracts is None:
            raise Problem("unavailable", "this platform gives no readings in bulk")
        if kind not in platform.kinds:
            raise _invalid(f"kind: {kind[:40]!r} is not a kind{nearest(kind[:40], platform.kinds)}")
        end_ms = parse_time("to", end) if end is not None else platform.clock.now_ms() + 1
        start_ms = parse_time("from", start) if start is not None else max(0, end_ms - DAY_MS)
        if start_ms >= end_ms:
            raise _invalid("from: must lie before to")
        try:
            allowed = allowed_quality(quality or ())
        except ValueError as error:
            raise _invalid(f"quality: {error}") from None
        wanted = Wanted(
            start_ms=start_ms, end_ms=end_ms, assets=tuple(asset or ()), devices=tuple(device or ()),
            zones=tuple(zone or ()), metrics=tuple(dict.fromkeys(metric or ())), allowed=allowed,
        )  # fmt: skip
        answer = streams.head if request.method == "HEAD" else streams.begin
        return await answer(lambda: _prepared(extracts, platform.kinds[kind], wanted, streams), media_type=MEDIA_TYPE)

    return router


def _prepared(
    extracts: Extracts, kind: Kind, wanted: Wanted, streams: Streams
) -> tuple[Iterator[bytes], Mapping[str, str]]:
    """(the stream, its headers). Raises Problem, StoreFault."""
    try:
        schema = extracts.schema(kind.name, wanted.metrics)
    except KeyError as error:
        name = str(error.args[0])[:40]
        raise _invalid(f"metric: {kind.name} has no {name!r}{nearest(name, kind.metrics)}") from None
    headers = {COUNT: str(extracts.count(kind.name, wanted))}
    return _pieces(schema, extracts.tables(kind.name, wanted), streams), headers


def _pieces(schema: Any, tables: Iterator[Any], streams: Streams) -> Iterator[bytes]:
    """The bytes of an Arrow stream, a piece a table, the columns' names with the first; never an empty piece."""
    sink = _Sink()
    with pa.ipc.new_stream(pa.PythonFile(sink, "w"), schema) as writer:
        for table in tables:
            writer.write_table(table)
            streams.readings.inc(table.num_rows)
            yield sink.take()
    yield sink.take()


class _Sink:
    """A file that is read as it is written."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, part: Any) -> int:
        self._parts.append(bytes(part))
        return len(self._parts[-1])

    def flush(self) -> None:
        """There is nothing behind it."""

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _invalid(sentence: str) -> Problem:
    return Problem("invalid", sentence, [sentence])
