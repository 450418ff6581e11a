"""Settings for a load that one device's limits must not slow: it measures faster than any street does."""

NO_LIMITS = (
    "[ingest]",
    "readings_per_period_max = 0",
    "messages_per_minute_max = 0",
    "streams_per_day_max = 0",
)
