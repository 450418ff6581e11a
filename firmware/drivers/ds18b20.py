"""DS18B20: temperature from its nine bytes of scratchpad. Pure decoding (Maxim datasheet 19-7487)."""

SCRATCHPAD_LENGTH = 9
POWER_ON = 0x0550  # 85 degC: no conversion has been made


def crc8(data: "bytes | bytearray") -> int:
    """Dallas CRC, polynomial x8 + x5 + x4 + 1, bits reversed."""
    crc = 0
    for byte in data:
        for _ in range(8):
            mixed = (crc ^ byte) & 1
            crc >>= 1
            if mixed:
                crc ^= 0x8C
            byte >>= 1
    return crc


def celsius(scratchpad: "bytes | bytearray") -> "float | None":
    """degC, or None: wrong length or sum, no probe (all ones or zeros), or the value of a probe that just woke."""
    if len(scratchpad) != SCRATCHPAD_LENGTH or crc8(scratchpad[:8]) != scratchpad[8] or not any(scratchpad):
        return None
    raw = scratchpad[1] << 8 | scratchpad[0]
    if raw == POWER_ON:
        return None
    return (raw - 65536 if raw & 0x8000 else raw) / 16.0
