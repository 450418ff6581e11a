"""Whatever bytes come, nothing escapes, and each message has an end that can be told.

`mutations` harms the golden vectors, `ending` says what became of each, `framing` cuts and joins packets of MQTT.
"""
