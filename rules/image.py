"""The engine's memory as bytes (msgpack), exact to the last bit of every float."""

from collections.abc import Mapping

import msgspec

from contract.kind import Kind
from contract.ports import SnapshotFault
from contract.records import Registered
from rules.asset import Asset
from rules.lifecycle import Standing
from rules.memory import Memory, MemoryImage

VERSION = 1


class AssetImage(msgspec.Struct, frozen=True, kw_only=True):
    registered: Registered
    bound: bool
    period_ms: int
    asleep_until_ms: int
    heard_ms: float
    evaluated_ms: int
    memory: MemoryImage
    standings: dict[str, Standing]


class EngineImage(msgspec.Struct, frozen=True, kw_only=True):
    version: int = VERSION
    files: Mapping[str, str]
    digest: str
    refused: str
    broken: Mapping[str, str]
    counts: Mapping[str, int]
    last_tick_ms: int
    hole_ms: int = 30_000  # what it was before it was remembered
    listening: bool
    listened_ms: int
    asleep: list[str]
    assets: list[AssetImage]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(EngineImage)


def encode(image: EngineImage) -> bytes:
    return _encoder.encode(image)


def decode(snapshot: bytes) -> EngineImage:
    """Raises SnapshotFault for bytes that are no snapshot of this version."""
    try:
        image = _decoder.decode(snapshot)
    except (msgspec.DecodeError, ValueError) as error:
        raise SnapshotFault(f"not a snapshot of the rules: {error}") from None
    if image.version != VERSION:
        raise SnapshotFault(f"a snapshot of version {image.version} of the rules; this Nabd reads version {VERSION}")
    return image


def image_of(asset: Asset) -> AssetImage:
    return AssetImage(
        registered=asset.registered,
        bound=asset.bound,
        period_ms=asset.period_ms,
        asleep_until_ms=asset.asleep_until_ms,
        heard_ms=asset.heard_ms,
        evaluated_ms=asset.evaluated_ms,
        memory=asset.memory.image(),
        standings=asset.standings,
    )


def restored(image: AssetImage, kind: Kind) -> Asset:
    asset = Asset(kind, image.registered)
    asset.bound = image.bound
    asset.period_ms = image.period_ms
    asset.asleep_until_ms = image.asleep_until_ms
    asset.heard_ms = image.heard_ms
    asset.evaluated_ms = image.evaluated_ms
    asset.memory = Memory.restored(kind, image.memory)
    asset.standings.update(image.standings)
    return asset
