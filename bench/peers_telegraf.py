"""Telegraf as the other side: mqtt_consumer (QoS 1) → json_v2 → influxdb_v2, with the settings that suit it best.

What each of its settings is for stands beside it in CONFIGURATION. Its point is the smallest that tells readings apart:
device, time, seq and the metrics; it writes no stream, boot, quality, asset, commune or time of receipt, as Nabd does.
"""

from pathlib import Path

from bench.load import KIND
from bench.servers import Servers
from stand.peers import peer
from stand.program import Program

CLIENT_ID = "bench-telegraf"
CONFIGURATION = """\
[agent]
  interval = "1s"
  flush_interval = "200ms"         # as long as Nabd's store writer gathers; 1 s was tried, and is no cheaper
  metric_batch_size = 5000         # as many lines a write as Nabd's store writer takes
  metric_buffer_limit = 1000000    # never the limit here
  omit_hostname = true
  skip_processors_after_aggregators = true
[[inputs.mqtt_consumer]]
  servers = ["tcp://127.0.0.1:{mqtt_port}"]
  topics = ["nabd/1/+/telemetry"]
  topic_tag = ""
  qos = 1
  client_id = "{client_id}"
  persistent_session = {persistent} # true: it acknowledges a message only when its lines are written
  max_undelivered_messages = 10000 # two full batches on the way; with fewer it waits for the flush interval
  data_format = "json_v2"
  [[inputs.mqtt_consumer.topic_parsing]]
    topic = "nabd/1/+/telemetry"
    tags = "_/_/device/_"
  [[inputs.mqtt_consumer.json_v2]]
    measurement_name = "{kind}"
    [[inputs.mqtt_consumer.json_v2.object]]
      path = "readings"
      timestamp_key = "at"
      timestamp_format = "unix_ms"
      disable_prepend_keys = true
[[outputs.influxdb_v2]]
  urls = ["{influx_url}"]
  token = "{token}"
  organization = "{org}"
  bucket = "{bucket}"
  content_encoding = "identity"    # compressing for loopback would only cost it CPU
"""


class Telegraf(Program):
    """Implements bench.sides.Side."""

    sessions: tuple[str, ...] = (CLIENT_ID,)

    def __init__(self, servers: Servers, *, persistent: bool = True) -> None:
        """Without `persistent` it has no session at the broker: its own default."""
        self._mosquitto, self._influx = servers
        self._persistent = persistent
        self.name = "Telegraf" if persistent else "Telegraf, persistent_session = false"

    def start(self, folder: Path, bucket: str, devices: list[str]) -> int:
        """`devices` are not its business: it takes whoever speaks."""
        configuration = folder / "telegraf.conf"
        text = CONFIGURATION.format(
            mqtt_port=self._mosquitto.port,
            client_id=CLIENT_ID,
            persistent=str(self._persistent).lower(),
            kind=KIND,
            influx_url=self._influx.url,
            org=self._influx.org,
            bucket=bucket,
            token=self._influx.token,
        )
        configuration.touch(0o600)
        configuration.write_text(text, encoding="utf-8")
        command = [str(peer("telegraf")), "--non-strict-env-handling", "--config", str(configuration)]
        return self.run(command, folder / "telegraf.log")

    def settle(self) -> None:
        """What it has written is all it does."""
