"""Credentials at a running Mosquitto: its dynamic security plugin, asked over MQTT as nabd-admin.

Theory of operation. A command is a JSON object published to ``$CONTROL/dynamic-security/v1``; the answers come on
``…/response``, in the order of the commands and with the correlation data given. The broker acknowledges a command
also when it may not be given and then answers nothing, so silence after the timeout means: not allowed, or no plugin.
A command is done, and on the broker's disk, when it is answered. Several commands travel in one message.
"""

import json
import queue
import secrets
import ssl
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from adapters.mqtt.permissions import ADMIN_USER, CONTROL, DEVICE_ROLE, PLATFORM_USER
from adapters.mqtt.probe import ProbeFault, probe

RESPONSE = CONTROL + "/response"
TIMEOUT_S = 10.0
COMMANDS_MAX = 50  # in one message: far below the broker's 64 KiB
PAGE = 500
NOT_DEVICES = (PLATFORM_USER, ADMIN_USER)
NOT_FOUND, EXISTS = "Client not found", "Client already exists"


class CredentialsFault(Exception):
    """The broker does not do what was asked; a sentence with the remedy."""


class Unanswered(CredentialsFault):
    """It was asked, and whether it did so is not known."""


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """One device's at the broker."""

    device: str
    enabled: bool


class Credentials:
    """Use it as a context manager: connected inside. Every method raises CredentialsFault."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        password: str,
        tls: ssl.SSLContext | None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._host, self._port, self._password, self._tls = host, port, password, tls
        self._timeout_s = timeout_s
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._subscribed: queue.SimpleQueue[bool] = queue.SimpleQueue()
        # Two hands may manage at once: each has a session of its own, which ends with it.
        self._client_id = f"{ADMIN_USER}-{secrets.token_hex(4)}"
        self._client = paho.Client(CallbackAPIVersion.VERSION2, self._client_id, protocol=paho.MQTTv311)
        self._client.username_pw_set(ADMIN_USER, password)
        if tls is not None:
            self._client.tls_set_context(tls)
        self._client.on_message = lambda client, userdata, message: self._answers.put(bytes(message.payload))
        self._client.on_connect = lambda client, userdata, flags, reason, properties: client.subscribe(RESPONSE, 1)
        self._client.on_subscribe = self._granted

    def __enter__(self) -> "Credentials":
        try:  # first with what names its faults
            probe(
                self._host,
                self._port,
                tls=self._tls,
                username=ADMIN_USER,
                password=self._password,
                client_id=self._client_id,
                timeout_s=self._timeout_s,
            )
            self._client.connect(self._host, self._port)
        except (ProbeFault, OSError) as fault:
            raise CredentialsFault(f"the broker gives out no credentials: {fault}") from None
        self._client.loop_start()
        try:
            if not self._subscribed.get(timeout=self._timeout_s):
                raise CredentialsFault(f"the broker lets {ADMIN_USER} hear no answers; is its role {ADMIN_USER[5:]}?")
        except (queue.Empty, CredentialsFault) as fault:
            self.__exit__(None, None, None)
            if isinstance(fault, CredentialsFault):
                raise
            raise CredentialsFault(f"the broker does not answer within {self._timeout_s:g} s") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def create(self, device: str, password: str) -> bool:
        """Give a device its credential; False, and nothing done, when it has one."""
        return self.create_all({device: password}) == [device]

    def create_all(self, passwords: Mapping[str, str]) -> list[str]:
        """The same for many; those that had none before."""
        answers = self._ask(
            [
                {
                    "command": "createClient",
                    "username": device,
                    "clientid": device,
                    "password": password,
                    "roles": [{"rolename": DEVICE_ROLE}],
                }
                for device, password in passwords.items()
            ]
        )
        for answer in answers:
            _check(answer, EXISTS)
        return [device for device, answer in zip(passwords, answers, strict=True) if "error" not in answer]

    def set_password(self, device: str, password: str) -> bool:
        """The old password ends at once, and so does the device's connection; False when it has no credential.

        A device that was disabled stays so.
        """
        command = {"command": "setClientPassword", "username": _no_service(device), "password": password}
        return self._one(command)

    def delete(self, device: str) -> bool:
        """Take the credential away and cut the connection; False when it had none."""
        return self._one({"command": "deleteClient", "username": _no_service(device)})

    def all(self) -> Iterator[Credential]:
        """Every device's, page by page; the platform's own users are left out."""
        offset = 0
        while True:
            answer = self._ask([{"command": "listClients", "verbose": True, "count": PAGE, "offset": offset}])[0]
            _check(answer)
            clients = answer["data"]["clients"]
            yield from (_credential(client) for client in clients if client["username"] not in NOT_DEVICES)
            offset += len(clients)
            if not clients or offset >= answer["data"]["totalCount"]:
                return

    def _one(self, command: Mapping[str, Any]) -> bool:
        answer = self._ask([command])[0]
        _check(answer, NOT_FOUND)
        return "error" not in answer

    def _ask(self, commands: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = []
        for at in range(0, len(commands), COMMANDS_MAX):
            answers += self._ask_few(commands[at : at + COMMANDS_MAX])
        return answers

    def _ask_few(self, commands: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        mark = secrets.token_hex(8)  # answers to another hand come here too
        document = {"commands": [{**command, "correlationData": mark} for command in commands]}
        self._client.publish(CONTROL, json.dumps(document), 1)
        answers: list[dict[str, Any]] = []
        while len(answers) < len(commands):
            try:
                heard = self._answers.get(timeout=self._timeout_s)
            except queue.Empty:
                raise Unanswered(
                    f"the broker does not answer {commands[0]['command']} within {self._timeout_s:g} s; is its dynamic "
                    "security plugin loaded, and is it still there? repeat the command"
                ) from None
            answers += [answer for answer in _responses(heard) if answer.get("correlationData") == mark]
        return answers

    def _granted(self, client: paho.Client, userdata: Any, packet: int, reasons: Any, properties: Any) -> None:
        self._subscribed.put(not reasons[0].is_failure)


def _responses(payload: bytes) -> list[dict[str, Any]]:
    try:
        return list(json.loads(payload)["responses"])
    except (ValueError, KeyError, TypeError):
        raise Unanswered(
            f"the broker's answer cannot be read ({payload[:80]!r}); is it Mosquitto with dynamic security?"
        ) from None


def _check(answer: Mapping[str, Any], *allowed: str) -> None:
    error = answer.get("error")
    if error is not None and error not in allowed:
        raise CredentialsFault(f"the broker refuses {answer.get('command')}: {error}")


def _credential(client: Mapping[str, Any]) -> Credential:
    return Credential(device=client["username"], enabled=not client.get("disabled", False))


def _no_service(device: str) -> str:
    if device in NOT_DEVICES:
        raise CredentialsFault(f"{device} is no device; its password is a file that nabd init made")
    return device
