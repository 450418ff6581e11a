"""From the units of kinds to those Grafana knows, and the factor where it knows only a larger one."""

from contract.kind import Metric, MetricType, Setting

GRAFANA: dict[str, tuple[str, float]] = {
    "": ("none", 1.0),
    "ratio": ("percentunit", 1.0),
    "%": ("percent", 1.0),
    "degC": ("celsius", 1.0),
    "degF": ("fahrenheit", 1.0),
    "deg": ("degree", 1.0),
    "W": ("watt", 1.0),
    "kW": ("kwatt", 1.0),
    "Wh": ("watth", 1.0),
    "kWh": ("kwatth", 1.0),
    "V": ("volt", 1.0),
    "lx": ("lux", 1.0),
    "l_min": ("flowlpm", 1.0),
    "m3_h": ("litreh", 1_000.0),
    "ml": ("litre", 0.001),  # what people read on a meter
    "l": ("litre", 1.0),
    "m3": ("m3", 1.0),
    "bar": ("pressurebar", 1.0),
    "kPa": ("pressurekpa", 1.0),
    "m2": ("areaM2", 1.0),
    "ha": ("areaM2", 10_000.0),
    "m_s": ("velocityms", 1.0),
    "km_h": ("velocitykmh", 1.0),
    "um": ("lengthmm", 0.001),
    "mm": ("lengthmm", 1.0),
    "W_m2": ("Wm2", 1.0),
    "s": ("s", 1.0),
}


def unit_of(metric: Metric | Setting) -> tuple[str, float]:
    """(Grafana's unit, factor on the stored number). A unit Grafana has none of is written as it is."""
    if metric.type == MetricType.BOOLEAN:
        return "percentunit", 1.0  # the share of things that are so
    return GRAFANA.get(metric.unit, (f"suffix: {metric.unit}", 1.0))
