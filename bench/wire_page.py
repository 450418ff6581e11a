"""`make bench-wire`: docs/wire-cost.md, what a device costs on the wire in a day.

python -m bench.wire_page [--page docs/wire-cost.md] [--seconds 240]
"""

import argparse
import ssl
import tempfile
from pathlib import Path

from bench.wire_cost import (
    CONNECTION,
    DAY_S,
    EACH,
    HEADER_BYTES,
    PINGS,
    SPEED,
    Row,
    Tls,
    live_a_day,
    measure_tls,
    on_the_wire,
    ping_row,
    rows,
)
from contract.wire import messages, topics
from contract.wire.packets import encode_publish
from firmware.main import KEEPALIVE_S

LONG_S = 300  # a keep-alive that most mobile networks bear
HANDSHAKE_PACKETS = 12  # of TCP and TLS, about: SYN to Finished, and the farewell

HEAD = """# What a device costs on the wire

Written by `make bench-wire`; do not edit, run it again. For a city that pays for each SIM by its megabytes.

A fleet of the firmware's own core lived {days:.2f} days of city time, {each} devices a kind, each at its kind's period,
against a real platform; a meter between them counted every MQTT packet, both ways. No connection was lost; an operator
dimmed each lamp and opened each valve once. A meter on a real TLS connection to Mosquitto, set up as in `deploy/`, gave
the rest.

- *MQTT* is what was counted, acknowledgements of QoS 1 included.
- *on the wire* adds an **estimate** of what loopback does not show: {header} bytes of TCP and IPv4 for each packet, as
  much again for TCP's own acknowledgement of it, and what TLS adds to a record. An operator may count less (an
  acknowledgement often travels with an answer) or more (IPv6: 20 bytes a packet; some tariffs round up).
- *keep-alive* is reckoned from its two bytes: a ping and its answer at every three quarters of the {keepalive} s that a
  node asks for unless `--keepalive-s` says otherwise.
"""

ADVICE = """## What to do about it

- **Keep-alive is nearly all of it.** Where a SIM is paid by the megabyte, set `--keepalive-s` (`keepalive_s` in the
  file of `--config`) as high as the operator's network bears; many drop an idle connection after 5 to 30 minutes. The
  price: a device whose line dies without a farewell is noticed after one and a half times as long.
- **The period** (`--period-s`) costs in proportion: half the period, twice the telemetry. It is the second thing to
  look at.
- **Several readings a message** spare, for each message less, {head:.0f} bytes of MQTT (its head, its
  acknowledgement, its `kept`) and three packets: {saved:.0f} bytes on the wire. A node gathers nothing on purpose,
  for a lamp that is seen an hour late is not seen; one that slept or had no network sends up to 64 readings in a
  message by itself.
- **Coming back costs**: {connection:,.0f} bytes of MQTT with the birth, and a TLS handshake of {handshake:,}. With
  its packets that is about as much as staying connected for {breakeven:.0f} minutes at a keep-alive of {long} s. A
  device that sleeps longer than that saves.
- **A lease** with its acknowledgement and the `reported` that answers it is {lease:.0f} bytes on the wire. This city's
  rules and schedules gave a lamp {leases:.0f} of them a day: a rule that renews its wish oftener than it must pays for
  each.
"""

SUM = "| kind | telemetry | all but keep-alive | keep-alive {short} s | sum, TLS 1.2 | the same, keep-alive {long} s |"
TABLE = "| | packets a day | bytes each | MQTT, bytes a day | on the wire, TCP | on the wire, TLS 1.2 |"
RULE = "|---|---|---|---|---|---|"


def page(days: float, tables: dict[str, list[Row]], tls: dict[str, Tls]) -> str:
    more = tls["1.2"].record
    lines = [HEAD.format(days=days, each=EACH, header=HEADER_BYTES, keepalive=KEEPALIVE_S)]
    lines += ["## A device in a day", "", SUM.format(short=KEEPALIVE_S, long=LONG_S), RULE]
    long_pings = on_the_wire(ping_row(LONG_S), more)
    for kind, made in tables.items():
        daily = {row.what: on_the_wire(row, more) for row in made if row.what != CONNECTION}
        rest = sum(daily.values()) - daily[PINGS]
        figures = (daily["telemetry"], rest, daily[PINGS], rest + daily[PINGS], rest + long_pings)
        lines.append(f"| `{kind}` | " + " | ".join(f"{octets / 1000:,.0f}" for octets in figures) + " |")
    lines += ["", "kB (1000 bytes) on the wire with TLS 1.2, both ways. Thirty times as much is a SIM's month.", ""]
    for kind, made in tables.items():
        lines += [f"## {kind}", "", TABLE, RULE]
        lines += [
            f"| {row.what} | {row.packets:,.1f} | {row.packet_bytes:.1f} | {row.octets:,.0f} | "
            f"{on_the_wire(row, 0):,.0f} | {on_the_wire(row, more):,.0f} |"
            for row in made
        ]
        lines.append("")
    lines += [
        f"*{CONNECTION}*: once, at each connection (CONNECT with its will, SUBSCRIBE, their answers, the birth).",
        "",
    ]
    lines += ["## TLS", "", "| | handshake, both ways | added to each record |", "|---|---|---|"]
    lines += [f"| TLS {name} | {one.handshake:,} bytes | {one.record:.0f} bytes |" for name, one in tls.items()]
    return "\n".join([*lines, "", _advice(tables["street_light"], tls["1.2"])])


def _advice(lamp: list[Row], tls: Tls) -> str:
    of = {row.what: row for row in lamp}
    head = telemetry_head() + of["broker's acknowledgements"].packet_bytes + of["kept"].packet_bytes
    connection = of[CONNECTION]
    coming_back = on_the_wire(connection, tls.record) + tls.handshake + HANDSHAKE_PACKETS * HEADER_BYTES
    answered = ("lease", "device's acknowledgements", "reported")
    lease = sum(2 * HEADER_BYTES + tls.record + of[what].packet_bytes for what in answered if what in of)
    return ADVICE.format(
        lease=lease + 2 * HEADER_BYTES + tls.record + of["broker's acknowledgements"].packet_bytes,
        leases=of["lease"].packets if "lease" in of else 0,
        head=head,
        saved=head + 3 * (2 * HEADER_BYTES + tls.record),
        connection=connection.octets,
        handshake=tls.handshake,
        breakeven=coming_back / (on_the_wire(ping_row(LONG_S), tls.record) / (DAY_S / 60)),
        long=LONG_S,
    )


def telemetry_head() -> int:
    """Bytes of a message of telemetry beside its readings: MQTT's, the topic's, the JSON's."""
    payload = messages.telemetry("9f3c01aa", 12, "synced", 88213, [])
    return len(encode_publish(topics.topic("lamp-0001", topics.TELEMETRY), payload, 1, False, 1))


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-wire", description=__doc__)
    parser.add_argument("--page", type=Path, help="write it there")
    parser.add_argument("--seconds", type=float, default=DAY_S / SPEED, help="real seconds; the default is a city day")
    chosen = parser.parse_args()
    tls = {"1.2": measure_tls(ssl.TLSVersion.TLSv1_2), "1.3": measure_tls(ssl.TLSVersion.TLSv1_3)}
    with tempfile.TemporaryDirectory(prefix="nabd-wire-") as folder:
        devices, meter = live_a_day(Path(folder), chosen.seconds)
    days = chosen.seconds * SPEED / DAY_S
    text = page(days, {kind: rows(meter, names, days) for kind, names in sorted(devices.items())}, tls)
    if chosen.page is not None:
        chosen.page.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
