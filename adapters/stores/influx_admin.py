"""InfluxDB's own affairs: its first user, the bucket, and tokens that may do no more than they must.

Whoever founds a city signs in with the administrator's password, so no token that may do everything lies in a file.
Since 2.9 InfluxDB keeps only a hash of a token: whether one is good can only be found out by using it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import influxdb_client
import msgspec
import urllib3
from influxdb_client.rest import ApiException

library: Any = influxdb_client  # its generated code has hardly any types
SENTENCE_MAX = 300


class InfluxFault(Exception):
    """InfluxDB does not answer, or says no; the message names it and the remedy."""


class InfluxAway(InfluxFault):
    """It does not answer, or is not ready yet: it may be asked again."""


class InfluxAdmin:
    """Every method raises InfluxFault."""

    def __init__(self, url: str, org: str, user: str, password: str, timeout_s: float, ca_file: str = "") -> None:
        self._url, self._org, self._user, self._password = url, org, user, password
        self._options: dict[str, Any] = {"timeout": round(timeout_s * 1000), "ssl_ca_cert": ca_file or None}
        self.where = f"InfluxDB at {url}"

    def set_up(self, bucket: str) -> bool:
        """Make first user, organisation and bucket on a new server; False when it had them."""
        with self._client(library.InfluxDBClient(self._url, "", **self._options)) as client:
            setup = library.SetupService(client.api_client)
            if not setup.get_setup().allowed:
                return False
            setup.post_setup(
                library.OnboardingRequest(username=self._user, password=self._password, org=self._org, bucket=bucket)
            )
            return True

    def ensure_bucket(self, name: str) -> tuple[str, bool]:
        """(id, was it made now?); a new one keeps for ever."""
        with self._admin() as client:
            buckets = client.buckets_api()
            found = buckets.find_bucket_by_name(name)
            if found is not None:
                return str(found.id), False
            rules = library.BucketRetentionRules(type="expire", every_seconds=0)
            return str(buckets.create_bucket(bucket_name=name, org=self._org, retention_rules=rules).id), True

    def may(self, token: str, bucket: str, actions: Sequence[str]) -> bool:
        """Is the token good for all of these (read, write) on this bucket? Nothing is written."""
        if not token:
            return False
        with self._client(library.InfluxDBClient(self._url, token, org=self._org, **self._options)) as client:
            try:
                if "read" in actions and client.buckets_api().find_bucket_by_name(bucket) is None:
                    return False
                if "write" in actions:
                    client.api_client.call_api(
                        "/api/v2/write", "POST", query_params={"org": self._org, "bucket": bucket}, body=b"",
                        header_params={"Content-Type": "text/plain; charset=utf-8"}, auth_settings=[],
                    )  # fmt: skip
            except ApiException as error:
                if error.status in (401, 403, 404):
                    return False
                raise
            return True

    def grant(self, bucket_id: str, actions: Sequence[str], description: str) -> str:
        """A new token for these actions on this bucket alone; older ones of the same description are taken back."""
        with self._admin() as client:
            authorizations = client.authorizations_api()
            org = client.organizations_api().find_organizations(org=self._org)[0].id
            resource = library.PermissionResource(type="buckets", id=bucket_id, org_id=org)
            wanted = library.Authorization(
                org_id=org,
                description=description,
                permissions=[library.Permission(action=action, resource=resource) for action in actions],
            )
            older = [one for one in authorizations.find_authorizations(org=self._org) if one.description == description]
            made = authorizations.create_authorization(authorization=wanted)
            for one in older:
                authorizations.delete_authorization(one)
            return str(made.token)

    @contextmanager
    def _admin(self) -> Iterator[Any]:
        client = library.InfluxDBClient(
            self._url, username=self._user, password=self._password, org=self._org, **self._options
        )
        with self._client(client) as opened:
            try:
                yield opened
            except ApiException as error:
                if error.status == 401:
                    raise InfluxFault(
                        f"{self.where}: does not take the password of user {self._user}; put the right one into "
                        "influxdb_admin_password, or give the user that one: influx user password"
                    ) from None
                raise

    @contextmanager
    def _client(self, client: Any) -> Iterator[Any]:
        try:
            yield client
        except ApiException as error:
            kind = InfluxAway if error.status == 503 else InfluxFault
            raise kind(f"{self.where}: {error.status} {_sentence(error)}") from None
        except urllib3.exceptions.HTTPError as error:
            reason = str(getattr(error, "reason", error)).partition(": ")[2] or type(error).__name__
            raise InfluxAway(
                f"{self.where}: does not answer ({reason}); is it running, is the address right?"
            ) from None
        finally:
            api = client.api_client
            with suppress(ApiException, urllib3.exceptions.HTTPError):
                client.close()  # signs out; a session that cannot be ended now ends by itself within the hour
            api.cookie = client.api_client = None  # or both would try again when they are collected


def _sentence(error: ApiException) -> str:
    try:
        document = msgspec.json.decode(error.body or b"")
    except msgspec.MsgspecError:
        document = None
    told = document.get("message") if isinstance(document, dict) else None
    return str(told or error.reason or "")[:SENTENCE_MAX]
