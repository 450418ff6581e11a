"""Chance that can be asked for any moment: the same key gives the same draw, in any order, on any machine.

The city's weather, noise and faults are functions of (seed, what, when), so a run may start on any day without
stepping through the days before it, and two runs of one seed are one city.
"""

from hashlib import blake2b
from statistics import NormalDist

_NORMAL = NormalDist()
_SCALE = 2.0**-52


def share(*key: object) -> float:
    """Uniform in (0, 1), a function of the key alone."""
    digest = blake2b("/".join(map(str, key)).encode(), digest_size=8).digest()
    return ((int.from_bytes(digest, "big") >> 12) + 0.5) * _SCALE


def bell(*key: object) -> float:
    """Normal with mean 0 and standard deviation 1, a function of the key alone."""
    return _NORMAL.inv_cdf(share(*key))


def between(low: float, high: float, *key: object) -> float:
    """Uniform between `low` and `high`, a function of the key alone."""
    return low + (high - low) * share(*key)


def wave(at: float, *key: object) -> float:
    """A continuous normal-like noise of the real number `at`: independent at whole numbers, linear between."""
    whole = int(at // 1)
    part = at - whole
    return (1.0 - part) * bell(*key, whole) + part * bell(*key, whole + 1)


def quantile(probability: float) -> float:
    """The value a `bell` stays below with this probability (0 to 1, exclusive)."""
    return _NORMAL.inv_cdf(probability)
