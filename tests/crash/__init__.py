"""Is every reading stored once, whatever is killed, frozen or full? An independent ledger says.

`device` measures, names its readings and sends each again until it is told `kept`: a client of its own on paho-mqtt,
written from docs/wire.md, with nothing of the platform's codec. `house` is the platform with its broker and its store,
`chaos` what happens to it, `verdict` the comparison of what the devices measured with what the API tells in the end.
`play` puts them together; `soak` does so for hours.
"""
