"""What a node knows of its kind. Generated from contract/kinds by ``python -m nabd.generate``: edit those.

``metrics``: name → digits after the point, or "number" (as it comes), "counter", "boolean", "enum". ``targets``:
what can be leased, booleans as 0.0 or 1.0; ``*_limit`` names a setting in s. ``limits``: defaults of those settings.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KINDS: "dict[str, Any]" = {
    "irrigation_valve": {
        "kind": "irrigation_valve",
        "period_s": 900,
        "metrics": {
            "open": "boolean",
            "open_by": "enum",
            "flow_l_min": 1,
            "volume_ml": "counter",
            "pressure_bar": 2,
            "soil_moisture": 3,
            "soil_temperature_c": 1,
            "battery_level": 2,
        },
        "targets": {
            "open": {
                "boolean": True,
                "safe": 0.0,
                "min": 0.0,
                "max": 1.0,
                "resume": False,
                "control": "open_by",
                "schedule": False,
                "run_limit": "open_s_max",
                "day_limit": "open_s_max_per_day",
                "rest_limit": "rest_s_min",
            },
        },
        "limits": {
            "open_s_max": 1800,
            "open_s_max_per_day": 7200,
            "rest_s_min": 300,
        },
    },
    "street_light": {
        "kind": "street_light",
        "period_s": 900,
        "metrics": {
            "level": 2,
            "level_by": "enum",
            "power_w": 1,
            "energy_wh": "counter",
            "voltage_v": 1,
            "illuminance_lx": 0,
            "temperature_c": 1,
            "tilt_deg": 1,
        },
        "targets": {
            "level": {
                "boolean": False,
                "safe": 1.0,
                "min": 0.0,
                "max": 1.0,
                "resume": True,
                "control": "level_by",
                "schedule": True,
                "run_limit": "",
                "day_limit": "",
                "rest_limit": "",
            },
        },
        "limits": {},
    },
    "waste_bin": {
        "kind": "waste_bin",
        "period_s": 3600,
        "metrics": {
            "fill_level": 2,
            "temperature_c": 1,
            "tilt_deg": 1,
            "lid_open": "boolean",
            "battery_level": 2,
        },
        "targets": {},
        "limits": {},
    },
    "weather_station": {
        "kind": "weather_station",
        "period_s": 600,
        "metrics": {
            "air_temperature_c": 1,
            "humidity": 2,
            "wind_m_s": 1,
            "rain_um": "counter",
            "radiation_w_m2": 0,
        },
        "targets": {},
        "limits": {},
    },
}
