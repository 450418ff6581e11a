"""The small channels: status, reported, result, log and time. JSON objects → records, or a WireFault."""

from collections.abc import Mapping
from typing import Any

from contract.kind import Kind
from contract.records import DeviceLog, Reported, Result, Status
from contract.wire.messages import (
    CALL_STATUSES,
    CONTROLLERS,
    ID_LENGTH_MAX,
    INTEGER_MAX,
    LEASE_RESULTS,
    LOG_LEVELS,
    NAME_LENGTH_MAX,
    OUT_OF_RANGE,
    PERIOD_S_MAX,
    TARGETS_MAX,
    WRONG_TYPE,
    WireFault,
)
from ingest.decode import Fields
from ingest.validate import excerpt


def read_status(device: str, document: Mapping[str, Any]) -> tuple[Status, int]:
    """(a birth or a will, unknown keys)."""
    fields = Fields(document)
    online = fields.boolean("online")
    n, boot, at = fields.integer("n"), fields.integer("boot"), fields.integer_or_none("at")
    if not online:
        return Status(device=device, online=False, n=n, boot=boot, measured_at_ms=at), fields.unknown
    birth = Status(
        device=device,
        online=True,
        n=n,
        boot=boot,
        measured_at_ms=at,
        stream=fields.stream(),
        kind=fields.text("kind"),
        model=fields.text("model"),
        firmware=fields.text("firmware"),
        reset=fields.text("reset"),
        period_s=fields.integer("period_s", least=1, most=PERIOD_S_MAX),
        asleep_until_ms=fields.integer_or_none("asleep_until"),
    )
    return birth, fields.unknown


def read_reported(device: str, document: Mapping[str, Any], kind: Kind | None) -> tuple[Reported, int]:
    """(what the device's targets are, unknown keys and targets). Targets its kind does not have are left out."""
    fields = Fields(document)
    unknown = 0
    state: dict[str, float] = {}
    by: dict[str, str] = {}
    for target, value in _mapping(fields, "state").items():
        if kind is not None and target not in kind.targets:
            unknown += 1
        else:
            state[target] = _number(f"state.{target}", value)
    controllers = Fields(_mapping(fields, "by"))
    for target in _mapping(fields, "by"):
        if kind is not None and target not in kind.targets:
            unknown += 1
        else:
            by[target] = controllers.word(target, CONTROLLERS)
    reported = Reported(
        device=device,
        n=fields.integer("n"),
        boot=fields.integer("boot"),
        version=fields.integer("version"),
        state=state,
        by=by,
        result=fields.word("result", LEASE_RESULTS),
        code=fields.text_or_empty("code"),
        measured_at_ms=fields.integer_or_none("at"),
    )
    return reported, unknown + fields.unknown


def read_result(device: str, document: Mapping[str, Any]) -> tuple[Result, int]:
    fields = Fields(document)
    fields.integer_or_none("at")
    result = Result(
        device=device,
        call=fields.text("id", ID_LENGTH_MAX),
        status=fields.word("status", CALL_STATUSES),
        code=fields.text_or_empty("code"),
    )
    return result, fields.unknown


def read_device_log(device: str, document: Mapping[str, Any]) -> tuple[DeviceLog, int]:
    fields = Fields(document)
    remark = DeviceLog(
        device=device,
        boot=fields.integer("boot"),
        level=fields.word("level", LOG_LEVELS),
        event=fields.text("event"),
        measured_at_ms=fields.integer_or_none("at"),
    )
    return remark, fields.unknown


def read_time_request(document: Mapping[str, Any]) -> tuple[int, int]:
    """(nonce, unknown keys)."""
    fields = Fields(document)
    return fields.integer("nonce"), fields.unknown


def _mapping(fields: Fields, key: str) -> Mapping[str, Any]:
    value = fields.require(key)
    if not isinstance(value, dict):
        raise WireFault(WRONG_TYPE, f"{key}: {excerpt(value)} is not an object")
    if len(value) > TARGETS_MAX:
        raise WireFault(OUT_OF_RANGE, f"{key}: {len(value)} targets are more than {TARGETS_MAX}")
    for name in value:
        if not 1 <= len(name) <= NAME_LENGTH_MAX or not name.isprintable():
            raise WireFault(OUT_OF_RANGE, f"{key}: {excerpt(name)} is not a name of 1 to {NAME_LENGTH_MAX} characters")
    return value


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool):
        return 1.0 if value else 0.0
    if not isinstance(value, (int, float)):
        raise WireFault(WRONG_TYPE, f"{key}: {excerpt(value)} is not a number, true or false")
    if not -INTEGER_MAX <= value <= INTEGER_MAX:  # false for NaN and infinity too
        raise WireFault(OUT_OF_RANGE, f"{key}: {excerpt(value)} is not a finite number")
    return float(value)
