"""Ultrasonic level sensors on a UART: the ``FF H L SUM`` frame and MaxBotix's ``R1234\\r`` text. Pure parsing.

Sources: JSN-SR04T, A02YYUW and DYP-A02 datasheets (9600 8N1; byte 3 is the low byte of FF + H + L; distance in mm);
MaxBotix HRXL-MaxSonar-WR datasheet 11549 (``R``, four digits of mm, carriage return) and XL-MaxSonar (three, of cm).
"""

FRAME_LENGTH = 4
TEXT_LENGTH_MAX = 5


class FrameParser:
    """Finds ``FF H L SUM`` in a stream that may begin anywhere and lose bytes. Counts what it throws away."""

    def __init__(self) -> None:
        self._frame = bytearray()
        self.bad = 0  # frames whose sum was wrong

    def feed(self, data: "bytes | bytearray") -> "int | None":
        """The last whole distance in `data`, mm; None when it ends no good frame, or the sensor says 0 (no echo)."""
        found = None
        frame = self._frame
        for byte in data:
            if not frame and byte != 0xFF:
                continue
            frame.append(byte)
            if len(frame) < FRAME_LENGTH:
                continue
            if (0xFF + frame[1] + frame[2]) & 0xFF == frame[3]:
                found = (frame[1] << 8 | frame[2]) or None
                self._frame = frame = bytearray()
            else:
                self.bad += 1
                # A lost byte: the next frame may have begun inside this one.
                start = bytes(frame).find(b"\xff", 1)
                self._frame = frame = frame[start:] if start > 0 else bytearray()
        return found


class TextParser:
    """Finds ``R`` digits ``\\r``; `unit_mm` is 1 for HRXL (four digits of mm) and 10 for XL (three digits of cm)."""

    def __init__(self, unit_mm: int = 1) -> None:
        self._unit_mm = unit_mm
        self._text = ""
        self.bad = 0

    def feed(self, data: "bytes | bytearray") -> "int | None":
        """The last whole distance in `data`, mm; None when it ends no good text."""
        found = None
        for byte in data:
            if byte == 0x52:
                self._text = "R"
            elif self._text and byte == 0x0D:
                if 4 <= len(self._text) <= TEXT_LENGTH_MAX:
                    found = int(self._text[1:]) * self._unit_mm
                else:
                    self.bad += 1
                self._text = ""
            elif self._text and 0x30 <= byte <= 0x39 and len(self._text) < TEXT_LENGTH_MAX:
                self._text += chr(byte)
            elif self._text:
                self.bad += 1
                self._text = ""
        return found


def fill_level(distance_mm: "int | None", empty_mm: int, full_mm: int) -> "float | None":
    """0 to 1 from the distance between sensor and waste; None without an echo.

    `empty_mm`: distance to the floor; `full_mm`: distance at which the bin counts as full (beyond the sensor's
    blind zone). Raises ValueError when `empty_mm` is not beyond `full_mm`.
    """
    if empty_mm <= full_mm:
        raise ValueError("empty_mm: %d is not beyond full_mm %d" % (empty_mm, full_mm))
    if distance_mm is None:
        return None
    return min(1.0, max(0.0, (empty_mm - distance_mm) / (empty_mm - full_mm)))
