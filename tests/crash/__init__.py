"""Is every reading stored once, whatever is killed, frozen or full? An independent ledger says.

`journal` names a device's readings and holds each until `kept`, and `device` sends it until then: a client of its own
on paho-mqtt, written from docs/wire.md, with nothing of the platform's codec. `house` is the platform with its broker
and its store, `chaos` what happens to it, `verdict` the comparison of what the devices measured with what the API tells
in the end. `play` puts them together; `soak` does so for hours.

`rooms` is ingest, log and store without broker and API, in a process that kills itself at a named point (`points`).

A power cut of the machine is not played: what a killed process wrote, the machine still has in memory. Against that
stands SQLite's `synchronous = FULL`, which `tests/adapters_log` and `tests/adapters_state` look for on every connection
that writes.
"""
