"""What the marks of a reading (`records.Quality`) are called, and what they can be about."""

from collections.abc import Mapping

from contract.kind import Labels, Metric
from contract.records import Quality

LABELS: Mapping[Quality, Labels] = {
    Quality.CLOCK_HELD: {
        "ar": "ساعة الجهاز لم تُضبط منذ يوم",
        "fr": "horloge non réglée depuis un jour",
        "en": "clock not set for a day",
    },
    Quality.CLOCK_NONE: {
        "ar": "بلا ساعة: أرّختها المنصة",
        "fr": "sans horloge : date donnée par la plateforme",
        "en": "no clock: dated by the platform",
    },
    Quality.LATE: {"ar": "وصلت متأخرة", "fr": "arrivée tardive", "en": "came late"},
    Quality.RATE: {
        "ar": "تغيّر أسرع من المعقول",
        "fr": "variation trop rapide pour être plausible",
        "en": "changed implausibly fast",
    },
    Quality.STUCK: {"ar": "قيمة لا تتحرك", "fr": "valeur figée", "en": "value is stuck"},
    Quality.CLOCK_OFF: {
        "ar": "ساعة الجهاز خاطئة: صُحّح التاريخ",
        "fr": "horloge fausse : date corrigée",
        "en": "clock is wrong: date corrected",
    },
    Quality.DATED_ROUGHLY: {
        "ar": "تاريخ تقريبي: قيست قبله",
        "fr": "date approximative : mesurée avant",
        "en": "dated roughly: measured before",
    },
}

DOUBTFUL = int(Quality.RATE | Quality.STUCK | Quality.DATED_ROUGHLY)
"""What rules do not use unless asked, or not at all."""


def word(flag: Quality) -> str:
    """How a mark is written where programs read it."""
    return str(flag.name).lower()


def words(quality: int) -> list[str]:
    """All marks of a reading; empty for one without reproach."""
    return [word(flag) for flag in Quality if flag and quality & flag]


def about(metric: Metric, quality: int) -> int:
    """The marks that can be about this metric: one is judged only by what its kind says of it."""
    if metric.rate_max_per_s is None:
        quality &= ~Quality.RATE
    if not metric.stuck_after_ms:
        quality &= ~Quality.STUCK
    return int(quality)


def texts(language: str) -> dict[str, str]:
    """Word → label in a language."""
    return {word(flag): labels[language] for flag, labels in LABELS.items()}
