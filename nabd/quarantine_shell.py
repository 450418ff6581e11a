"""What `nabd quarantine` does: asks the running platform, and prints what came so that no terminal is harmed by it."""

import base64
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from adapters.platform_client import PlatformClient, PlatformFault
from contract.quarantine import TOPIC_SHOWN
from nabd.fault import Refused
from nabd.registering import client_of

AT_ONCE = 200  # rows of one request: the platform's own limit
HEX_BYTES = 16  # of a line
REPLAY_S_MAX = 60.0
FACTS = ("number", "received_at", "device", "topic", "stream", "seqs", "count", "bytes", "code", "sentence")


def show_list(data: Path, url: str | None, wanted: Mapping[str, Any], *, as_json: bool) -> None:
    page = _asked(_client(data, url), "quarantine", wanted)
    if as_json:
        _print_json(page)
        return
    for row in page["items"]:
        sender = row["device"] or row["topic"][:TOPIC_SHOWN]
        columns = (row["number"], row["received_at"], sender, row["code"], f"{row['count']}x")
        click.echo("\t".join([*map(_safe, map(str, columns)), _safe(row["sentence"])]))
    if not page["items"]:
        click.echo("nothing is there")
    elif "next" in page:
        click.echo(f"{page['total']} rows in all; the next page: --before {page['next']}", err=True)


def show_one(data: Path, url: str | None, number: int, *, raw: bool, as_json: bool) -> None:
    row = _asked(_client(data, url), f"quarantine/{number}", {})
    payload = _payload(row)
    if raw:
        sys.stdout.buffer.write(payload)
        return
    if as_json:
        _print_json(row)
        return
    for name in FACTS:
        if row.get(name) not in (None, "", []):
            click.echo(f"{name:12} {_safe(str(row[name]))}")
    click.echo("")
    click.echo(readable(payload))


def readable(payload: bytes) -> str:
    """Text as it is; anything else as hex with what of it is ASCII beside."""
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError:
        return "\n".join(_hex_lines(payload))
    return text if all(one.isprintable() or one in "\n\t" for one in text) else "\n".join(_hex_lines(payload))


def replay(
    data: Path, url: str | None, numbers: Sequence[int], wanted: Mapping[str, Any], *, every: bool, by: str,
    as_json: bool,
) -> None:  # fmt: skip
    client = _client(data, url)
    bodies = _bodies(client, numbers, wanted, every=every)
    told: list[Mapping[str, Any]] = []
    missing: list[int] = []
    try:
        for answer in _answers(client, "replay", bodies, by):
            told += answer["items"]
        missing = sorted(set(numbers) - {one["number"] for one in told})
    finally:  # a fault does not undo what was done before it
        _tell_replayed(told, missing, as_json=as_json)


def _tell_replayed(told: Sequence[Mapping[str, Any]], missing: Sequence[int], *, as_json: bool) -> None:
    stored, stay = sum(one["stored"] for one in told), [one for one in told if one["stays"]]
    if as_json:
        _print_json({"items": told, "total": len(told), "stored": stored, "stay": len(stay), "not_there": missing})
        return
    for one in stay:
        click.echo(f"{one['number']} stays\t{one['code']}\t{_safe(one['sentence'])}")
    click.echo(f"{len(told)} rows replayed: {stored} readings stored, {len(stay)} rows stay")
    if missing:
        click.echo(f"not there (any more): {', '.join(map(str, missing))}", err=True)


def drop(
    data: Path, url: str | None, numbers: Sequence[int], wanted: Mapping[str, Any], *, every: bool, by: str, yes: bool
) -> None:
    client = _client(data, url)
    bodies = _bodies(client, numbers, wanted, every=every)
    if not yes:
        _confirm(client, numbers, wanted)
    dropped = 0
    try:
        for answer in _answers(client, "drop", bodies, by):
            dropped += answer["dropped"]
    finally:  # these are gone for good, whatever came then
        click.echo(f"{dropped} rows dropped")


def _confirm(client: PlatformClient, numbers: Sequence[int], wanted: Mapping[str, Any]) -> None:
    """Say what goes, and ask. Raises Refused for no, and where nobody can answer."""
    if numbers:
        what = f"{len(set(numbers))} rows"
    else:
        page = _asked(client, "quarantine", {**wanted, "limit": 500})
        codes = Counter(row["code"] for row in page["items"])
        what = f"{page['total']} rows (the newest: {', '.join(f'{n} {code}' for code, n in codes.most_common())})"
    if not sys.stdin.isatty():
        raise Refused(f"{what} would be gone for good; nobody can be asked here: say --yes")
    if not click.confirm(f"{what} will be gone for good. Drop them?"):
        raise Refused("nothing was dropped")


def _bodies(
    client: PlatformClient, numbers: Sequence[int], wanted: Mapping[str, Any], *, every: bool
) -> Iterator[dict[str, Any]]:
    """What to ask for, one request after the other; rows that come meanwhile are not meant. Raises Refused."""
    if bool(numbers) + bool(wanted) + every != 1:
        raise Refused("say which rows: their numbers, or --code, --device, --since, or --all")
    if numbers:
        distinct = sorted(set(numbers))
        parts = [{"numbers": distinct[at : at + AT_ONCE]} for at in range(0, len(distinct), AT_ONCE)]
        return iter(parts)
    newest = _asked(client, "quarantine", {**wanted, "limit": 1})["items"]
    return iter([{**wanted, "upto": newest[0]["number"]}] if newest else [])


def _answers(
    client: PlatformClient, act: str, bodies: Iterator[dict[str, Any]], by: str
) -> Iterator[Mapping[str, Any]]:
    """One request of an act after the other. Raises Refused; what was answered before has been done."""
    for body in bodies:
        request = {**body, "by": by}
        while True:
            try:
                answer = client.post(f"quarantine/{act}", request)
            except PlatformFault as fault:
                raise Refused(str(fault)) from None
            yield answer
            if "next" not in answer:
                break
            request["after"] = answer["next"]


def _client(data: Path, url: str | None) -> PlatformClient:
    found = client_of(data, url)
    return PlatformClient(found.url, timeout_s=REPLAY_S_MAX)


def _asked(client: PlatformClient, path: str, wanted: Mapping[str, Any]) -> Any:
    try:
        return client.get(path, **wanted)
    except PlatformFault as fault:
        raise Refused(str(fault)) from None


def _payload(row: Mapping[str, Any]) -> bytes:
    if "payload_base64" in row:
        return base64.b64decode(row["payload_base64"])
    return str(row["payload"]).encode()


def _hex_lines(payload: bytes) -> Iterator[str]:
    for at in range(0, len(payload), HEX_BYTES):
        part = payload[at : at + HEX_BYTES]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        yield f"{at:06x}  {part.hex(' '):{HEX_BYTES * 3 - 1}}  {text}"


def _safe(text: str) -> str:
    """On one line, without anything a terminal would obey."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _print_json(document: Any) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
