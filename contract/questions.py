"""A question about the readings of one metric, as it is put to a store."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from contract.kind import Metric, MetricType


class Aggregate(StrEnum):
    """What a step of time says of the readings in it."""

    MEAN = "mean"  # of a boolean the share of readings that said yes
    MIN = "min"
    MAX = "max"
    LAST = "last"  # of one millisecond the one of the last device by name, and of that the highest seq
    COUNT = "count"  # of readings that have the metric
    INCREASE = "increase"  # the sum of a counter's differences, each where its later reading lies: contract.aggregates


ALLOWED: Mapping[MetricType, tuple[Aggregate, ...]] = {
    MetricType.NUMBER: (Aggregate.MEAN, Aggregate.MIN, Aggregate.MAX, Aggregate.LAST, Aggregate.COUNT),
    MetricType.BOOLEAN: (Aggregate.MEAN, Aggregate.LAST, Aggregate.COUNT),
    MetricType.COUNTER: (Aggregate.LAST, Aggregate.COUNT, Aggregate.INCREASE),
    MetricType.ENUM: (Aggregate.LAST, Aggregate.COUNT),
}
"""What a step of a metric may be asked for; the first is what it says unless something else is asked for."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Which readings, and how they are told. Times are measured times, Unix ms."""

    kind: str
    metric: str
    start_ms: int
    end_ms: int  # not included
    device: str | None = None  # None: of all
    asset: str | None = None
    every_ms: int | None = None  # None: reading by reading
    aggregate: Aggregate | None = None  # of a step; None: the first that is allowed
    limit: int = 10_000
    without: int = 0
    """Readings that have one of these bits in their quality are left out. An aggregate cannot tell what it would be
    without them: so with a bit in it the answer is made of raw readings alone, and begins where these begin."""

    def way(self, metric: Metric) -> Aggregate | None:
        """What a step says; None when reading by reading is told.

        Raises ValueError, with what is allowed, for what its type does not allow and for an aggregate without steps.
        """
        if self.every_ms is None:
            if self.aggregate is not None:
                raise ValueError(f"{self.aggregate} is told of steps only; say how long one is with every")
            return None
        allowed = ALLOWED[metric.type]
        if self.aggregate is not None and self.aggregate not in allowed:
            raise ValueError(
                f"{metric.name} is of type {metric.type} and has no {self.aggregate}; it has {', '.join(allowed)}"
            )
        return self.aggregate or allowed[0]
