"""TLS for the link: the city's own authority, the name the broker must bear, and the date its certificate is judged by.

Theory of operation. mbedTLS verifies against the one authority in node.json, checks the host's name and compares dates
with the system's clock. The unix port has a system that keeps it. An ESP32 wakes in the year 2000 and learns the time
only over this very connection, so before each handshake it is given a date:

    the node's clock is known   ──▶ that time
    it is not                   ──▶ the date node.json was made; after "starts in the future" 400 days more, and so on
                                    for ten years, then from the beginning

A certificate that is good at one of these dates is taken, so a node without a clock also takes one that has expired
since; nobody else's, no other host's, and none from before it was made. `firmware/README.md` says what that means.

The handshake goes on while bytes are read and written: its faults come out of `read` and `drain`, as ValueError with
mbedTLS's own sentence, or as OSError. Runs on MicroPython alone.
"""

import binascii
import ssl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
DAY_S = 86400
STEP_S = 400 * DAY_S  # less than a broker's certificate lasts (825 days), so no certificate is stepped over
LAST_S = 3650 * DAY_S
BEFORE_ALL_S = 1792800000  # 2026-10-24: before the first node.json with a certificate
# A piece of mbedTLS's sentence → ours
REASONS = (
    ("Common Name", "the broker's certificate is not for %s"),
    ("not correctly signed", "the broker at %s is not of this city: another authority signed its certificate"),
    ("has expired", "the certificate of %s has expired, by this node's clock"),
    ("in the future", "the certificate of %s is not valid yet, by this node's clock"),
)


class Tls:
    """What the link needs for a connection. Raises ValueError when `ca` is no certificate in PEM."""

    def __init__(self, ca: str, name: str, board: "Any", now_s: "Any", made_s: int) -> None:
        """`now_s()`: Unix s or None while unknown. `made_s`: when node.json was made, 0 when that is unknown."""
        self.name = name
        self._board = board
        self._now_s = now_s
        self._first_s = max(made_s, BEFORE_ALL_S)
        self._guess_s = self._first_s
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.load_verify_locations(cadata=der(ca))

    def context(self) -> "Any":
        """Before each connection: sets the date, then gives the context."""
        now_s = self._now_s()
        self._board.set_date(self._guess_s if now_s is None else now_s)
        return self._context

    def explain(self, fault: Exception) -> str:
        """A sentence for what a handshake raised; it also moves the guess at the date."""
        text = str(fault)
        for piece, sentence in REASONS:
            if piece in text:
                if piece == "in the future" and self._now_s() is None:
                    self._guess_s += STEP_S
                    if self._guess_s > self._first_s + LAST_S:
                        self._guess_s = self._first_s
                return sentence % self.name
        return "TLS: " + " ".join(text.split())


def der(pem: str) -> bytes:
    """The first certificate in it, as the unix port's mbedTLS wants it. Raises ValueError."""
    if BEGIN not in pem or END not in pem:
        raise ValueError("ca: is no certificate in PEM; it must be the authority's (ca.crt)")
    body = pem.split(BEGIN)[1].split(END)[0]
    return binascii.a2b_base64("".join(body.split()))
