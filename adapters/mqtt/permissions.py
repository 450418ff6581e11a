"""Mosquitto's dynamic-security.json as a new city begins: the roles and the two users that are no devices.

The file is Mosquitto's own from its first start on; who changes something later asks the running broker (dynsec.py).
What a device may publish and is sent stands in deploy/mosquitto/topics.acl, because roles of Mosquitto 2.0 cannot name
the user in a topic; a role decides before that file is asked.
"""

import base64
import hashlib
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from contract.wire import topics

PLATFORM_USER, ADMIN_USER = "nabd-platform", "nabd-admin"
DEVICE_ROLE, PLATFORM_ROLE, ADMIN_ROLE = "device", "platform", "admin"
CONTROL = "$CONTROL/dynamic-security/v1"
# What Mosquitto itself uses. A guess at 256 random bits gets no cheaper by fewer rounds, and the broker stands still
# while it computes them.
ITERATIONS = 101
SALT_BYTES = 12

Acl = dict[str, Any]


def first_document(platform_password: str, admin_password: str) -> bytes:
    """The file for an empty city. Passwords come in the clear and stand in it as PBKDF2 hashes."""
    document = {
        "defaultACLAccess": {
            "publishClientSend": False,
            "publishClientReceive": False,
            "subscribe": False,
            "unsubscribe": True,
        },
        "clients": [
            _client(PLATFORM_USER, platform_password, PLATFORM_ROLE, "ingest and actuation"),
            _client(ADMIN_USER, admin_password, ADMIN_ROLE, "manages credentials, nothing else"),
        ],
        "groups": [],
        "roles": [_device_role(), _platform_role(), _admin_role()],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def _client(username: str, password: str, role: str, text: str) -> Mapping[str, Any]:
    salt = secrets.token_bytes(SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    return {
        "username": username,
        "textdescription": text,
        "roles": [{"rolename": role}],
        "password": base64.b64encode(digest).decode(),
        "salt": base64.b64encode(salt).decode(),
        "iterations": ITERATIONS,
    }


def _device_role() -> Mapping[str, Any]:
    """Which subscriptions are taken. Publishing and receiving are topics.acl's.

    Each channel's filter is taken with any device in it: what comes is still only its own (topics.acl). The rest must
    be denied here in so many words, a share of the platform's messages above all: the broker would hand a member its
    part, find that it may not have it, and the part would be lost to the platform.
    """
    allowed = [_acl("subscribePattern", topics.topic("+", channel), 0) for channel in topics.DOWNWARD]
    return _role(DEVICE_ROLE, "one device; see topics.acl", [*allowed, *_nothing_else("subscribePattern")])


def _platform_role() -> Mapping[str, Any]:
    upward = [topics.topic("+", channel) for channel in topics.UPWARD]
    shared = "$share/nabd/" + topics.topic("+", topics.TELEMETRY)
    acls = [_acl("subscribeLiteral", name, 0) for name in (*upward, shared)]
    acls += [_acl("publishClientReceive", name, 0) for name in upward]
    acls += [_acl("publishClientSend", topics.topic("+", channel), 0) for channel in topics.DOWNWARD]
    for kind in ("subscribePattern", "publishClientReceive", "publishClientSend"):
        acls += _nothing_else(kind)
    return _role(PLATFORM_ROLE, "hears what devices say and speaks to them", acls)


def _admin_role() -> Mapping[str, Any]:
    acls = [
        _acl("publishClientSend", CONTROL, 0),
        _acl("subscribeLiteral", CONTROL + "/response", 0),
        _acl("publishClientReceive", CONTROL + "/response", 0),
    ]
    for kind in ("subscribePattern", "publishClientReceive", "publishClientSend"):
        acls += _nothing_else(kind)
    return _role(ADMIN_ROLE, "credentials", acls)


def _role(name: str, text: str, acls: Iterable[Acl]) -> Mapping[str, Any]:
    return {"rolename": name, "textdescription": text, "acls": list(acls)}


def _acl(kind: str, topic: str, priority: int, *, allow: bool = True) -> Acl:
    return {"acltype": kind, "topic": topic, "priority": priority, "allow": allow}


def _nothing_else(kind: str) -> list[Acl]:
    """A filter beginning with a wildcard does not match what begins with $, so that has lines of its own."""
    return [_acl(kind, name, -1, allow=False) for name in ("#", "$SYS/#", "$CONTROL/#", "$share/#")]
