"""/metrics: what Prometheus asks for, read from the platform at each scrape. Every name begins with nabd_."""

import re
from collections import Counter
from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from console.api_acts import LEDGER_COUNTS
from console.health import read_health
from console.live import Contact
from console.platform import Platform
from contract.decisions import Severity
from contract.over_limit import WHATS

INGEST_COUNTERS = frozenset(
    {"messages", "batches", "retries", "kept_sent", "over_limit_untold", "credible_forgotten"}
)  # since the start of the process
LEFT_OUT = {
    "mqtt_dropped": "Messages of QoS 0 that found the queue of what was read full, since the start",
    "store_passed_over": "Readings of kinds that are not loaded, not stored, since the start",
    "recorder_dropped": "Samples for dashboards dropped while the store was away too long, since the start",
    "recorder_refused": "Points for dashboards that the store refuses for good, since the start",
}
LOG = {
    "bytes_max": "How large the log may grow",
    "full_in_s": "Seconds until the log is full at the present rate, if its slowest consumer reads no further",
    "ahead_s": "Seconds by which the log's time is ahead of the machine's clock",
    "ticks_missed": "Ticks that could not be written to the log, since the start",
    "recall_left": "Entries of the log from before the start that the live view is still told of",
    "clock_jumps": "Jumps of the machine's clock, since the start",
}
LOG_COUNTERS = frozenset({"ticks_missed", "clock_jumps"})
MQTT = {
    "oversized": "Messages longer than a broker should pass on, cut and turned away, since the start",
    "malformed_topics": "Messages whose topic is not UTF-8, since the start",
    "answers_lost": "Answers to devices (kept, now) that found no connection, since the start; devices ask again",
    "commands_lost": "Leases and calls that found no connection, since the start; a lease is sent at the next",
    "commands_refused": "Leases and calls that found too many waiting for the broker, since the start",
}
AGGREGATES = {
    "hours_behind": "Hours of a kind that are over and not yet aggregated",
    "seconds_behind": "City seconds since the oldest of these hours ended",
    "steps": "Steps of aggregating, since the start",
    "rows_retired": "Rows deleted because they were past their time, since the start",
}
AGGREGATES_NOW = frozenset({"hours_behind", "seconds_behind"})
QUARANTINE_PREFIX = "quarantined."
_NAME = re.compile(r"[^a-z0-9_]")


class Figures(Collector):
    """The platform's own figures. `registry` holds nothing else, so two platforms never mix."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def describe(self) -> Iterable[Metric]:
        return ()  # named at the first scrape: nothing may be asked of the platform before it runs

    def collect(self) -> Iterable[Metric]:
        yield from self._ingest()
        yield from self._flow()
        yield from self._city()

    def _ingest(self) -> Iterable[Metric]:
        platform = self._platform
        counts = dict(platform.log.counts())
        readings = CounterMetricFamily("nabd_readings", "Readings by what became of them", labels=["outcome"])
        for outcome in LEDGER_COUNTS[1:]:
            readings.add_metric([outcome], counts.pop(outcome, 0))
        yield readings
        yield CounterMetricFamily("nabd_readings_received", "Readings received", value=counts.pop("received", 0))
        codes = CounterMetricFamily("nabd_quarantine", "Messages and readings turned away, by code", labels=["code"])
        for name in [name for name in counts if name.startswith(QUARANTINE_PREFIX)]:
            codes.add_metric([name.removeprefix(QUARANTINE_PREFIX)], counts.pop(name))
        yield codes
        for name, value in sorted(counts.items()):
            yield CounterMetricFamily(f"nabd_{_NAME.sub('_', name)}", f"Durable counter {name} of the log", value=value)
        for name, value in sorted(platform.totals().items()):
            yield GaugeMetricFamily(f"nabd_readings_{_NAME.sub('_', name)}", f"Readings {name} now", value=value)
        waiting = len(platform.deferred())
        yield GaugeMetricFamily("nabd_deferred_devices", "Devices that speak and are not registered", value=waiting)

    def _flow(self) -> Iterable[Metric]:
        health = read_health(self._platform)
        yield GaugeMetricFamily("nabd_log_position", "The last position of the log", value=health.log_position)
        yield GaugeMetricFamily("nabd_log_bytes", "The size of the log", value=health.log_bytes)
        lag = GaugeMetricFamily("nabd_consumer_lag", "Entries a consumer is behind the log", labels=["consumer"])
        for name, behind in sorted(health.lag.items()):
            lag.add_metric([name], behind)
        yield lag
        lag_s = GaugeMetricFamily(
            "nabd_consumer_lag_seconds", "Since what a consumer has not read yet was kept, in real seconds",
            labels=["consumer"],
        )  # fmt: skip
        for name, behind_s in sorted(health.lag_s.items()):
            lag_s.add_metric([name], behind_s)
        yield lag_s
        yield GaugeMetricFamily(
            "nabd_log_append_p99_ms", "The slowest of a hundred appends to the log, of late", value=health.append_p99_ms
        )
        for name, text in LOG.items():
            if name in health.log:
                counts = name in LOG_COUNTERS
                family = CounterMetricFamily if counts else GaugeMetricFamily
                yield family(
                    f"nabd_log_{name}" if "clock" not in name else f"nabd_{name}", text, value=health.log[name]
                )
        yield GaugeMetricFamily("nabd_connected", "Is the broker there? 1 or 0", value=float(health.connected is True))
        yield GaugeMetricFamily("nabd_holding", "Does ingest hold? 1 or 0", value=float(bool(health.holding)))
        yield GaugeMetricFamily("nabd_healthy", "Is all well? 1 or 0", value=float(not health.reasons))
        yield GaugeMetricFamily("nabd_clock_speed", "City seconds per real second", value=self._platform.clock.speed)
        over = GaugeMetricFamily("nabd_devices_over_limit", "Devices that say too much now", labels=["what"])
        for what in WHATS:
            over.add_metric([what], sum(one.what == what for one in health.over_limit))
        yield over
        use = health.quarantine
        yield GaugeMetricFamily("nabd_quarantine_rows", "Rows of the quarantine now", value=use.rows)
        yield GaugeMetricFamily("nabd_quarantine_bytes", "What the quarantine takes of its room", value=use.bytes)
        yield GaugeMetricFamily("nabd_quarantine_bytes_max", "The quarantine's room", value=use.bytes_max)
        text = "Devices that have used up their share of the quarantine: only they are held (20 at most)"
        yield GaugeMetricFamily("nabd_quarantine_devices_full", text, value=len(use.full))
        for name, number in sorted(health.left_out.items()):
            yield CounterMetricFamily(f"nabd_{_NAME.sub('_', name)}", LEFT_OUT.get(name, name), value=number)
        for name, number in sorted(health.mqtt.items()):
            yield CounterMetricFamily(f"nabd_mqtt_{_NAME.sub('_', name)}", MQTT.get(name, name), value=number)
        for name, number in sorted(health.aggregates.items()):
            kind_of = GaugeMetricFamily if name in AGGREGATES_NOW else CounterMetricFamily
            yield kind_of(f"nabd_aggregates_{_NAME.sub('_', name)}", AGGREGATES.get(name, name), value=number)
        for name, value in sorted(health.figures.items()):
            family = CounterMetricFamily if name in INGEST_COUNTERS else GaugeMetricFamily
            yield family(f"nabd_ingest_{_NAME.sub('_', name)}", f"Ingest's own figure {name}", value=value)

    def _city(self) -> Iterable[Metric]:
        platform = self._platform
        now_ms = platform.clock.now_ms()
        contacts = Counter(live.contact(now_ms) for live in platform.live.assets())
        devices = GaugeMetricFamily("nabd_devices", "Devices on assets, by contact", labels=["contact"])
        for contact in Contact:
            devices.add_metric([str(contact)], contacts[contact])
        yield devices
        refused = platform.live.refused
        yield CounterMetricFamily("nabd_live_refused", "Records the live view had no device for", value=refused)
        firing = platform.state.firing().by_severity
        alarms = GaugeMetricFamily("nabd_alarms_firing", "Alarms that fire now", labels=["severity"])
        for severity in Severity:
            alarms.add_metric([str(severity)], firing.get(severity, 0))
        yield alarms
        leases = GaugeMetricFamily("nabd_leases", "The latest lease of each device, by state", labels=["state"])
        for state, number in sorted(Counter(str(lease.state) for lease in platform.state.leases()).items()):
            leases.add_metric([state], number)
        yield leases
        rules = list(platform.rules())
        broken = sum(1 for rule in rules if _broken(rule))
        yield GaugeMetricFamily("nabd_rules", "Rules that are loaded", value=len(rules))
        yield GaugeMetricFamily("nabd_rules_broken", "Rules that could not be evaluated", value=broken)


def _broken(rule: object) -> bool:
    return bool(rule.get("broken") if isinstance(rule, dict) else getattr(rule, "broken", ""))
