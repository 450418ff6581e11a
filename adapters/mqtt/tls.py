"""TLS to the broker: the one way to make a context, and what each failure of it means to the person who can mend it."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

# X509_V_ERR_… of OpenSSL, as ssl.SSLCertVerificationError.verify_code gives them
_NO_ISSUER = (2, 18, 19, 20, 21)
_NOT_YET, _EXPIRED = 9, 10
_OTHER_HOST = (62, 64)


class TlsFault(Exception):
    """No context can be made; the message names the file and the remedy."""


def client_context(ca_file: Path) -> ssl.SSLContext:
    """TLS 1.2 or later to a server whose certificate this authority signed and whose name is checked.

    No other authority counts, the system's neither. Raises TlsFault.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies, and checks the host's name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cafile=str(ca_file))
    except FileNotFoundError:
        raise TlsFault(f"{ca_file}: no such file; it holds the city's authority, nabd init makes it (ca.crt)") from None
    except ssl.SSLError:
        raise TlsFault(f"{ca_file}: is no certificate in PEM; it must be the authority's (ca.crt)") from None
    except OSError as error:
        raise TlsFault(f"{ca_file}: cannot be read ({error.strerror}); mend its owner or mode") from None
    return context


def explain(error: BaseException, host: str, port: int, now_ms: int) -> str:
    """One sentence for a connection over TLS that did not come about, with the remedy where there is one.

    `now_ms`: what this machine's clock says, Unix ms; it is told where a certificate's days are the cause.
    """
    where = f"{host}:{port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(error, host, where, now_ms)
    if isinstance(error, (ssl.SSLEOFError, ConnectionResetError)):
        return f"{where} ended the TLS handshake; is it the TLS port (8883) of a broker that speaks TLS 1.2 or later?"
    if isinstance(error, ssl.SSLError):
        if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
            return f"{where} does not speak TLS; give its TLS port (8883), or leave ca_file out for plain text"
        return f"TLS with {where} failed ({error.reason or error})"
    return str(error)


def _certificate(error: ssl.SSLCertVerificationError, host: str, where: str, now_ms: int) -> str:
    code = error.verify_code
    if code in _OTHER_HOST:
        return (
            f"the certificate of {where} is not for {host}; connect by a name or address that it is for, or renew it: "
            f"nabd init --renew-certificate --host {host}"
        )
    if code in _NO_ISSUER:
        return f"the certificate of {where} is not signed by the authority in ca_file; give the ca.crt of this city"
    clock = datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if code == _NOT_YET:
        return (
            f"the certificate of {where} is not valid yet; this machine's clock says {clock}: if that is wrong, set it"
        )
    if code == _EXPIRED:
        return (
            f"the certificate of {where} has expired; this machine's clock says {clock}: if that is right, renew it: "
            "nabd init --renew-certificate"
        )
    return f"the certificate of {where} is not accepted: {error.verify_message}"
