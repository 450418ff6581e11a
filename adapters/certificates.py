"""The city's own certificates: one authority, and the broker's certificate signed by it. All in PEM, EC P-256.

P-256 because the ESP32 does it in hardware and RSA costs it seconds. The authority signs nothing but servers, and no
further authority.
"""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS = 3653
SERVER_DAYS = 825  # the longest that common clients accept
EARLIER = timedelta(days=1)  # valid from so long ago, for machines whose clock is behind
ORGANIZATION = "Nabd"


class CertificateFault(Exception):
    """A key or certificate that cannot be used; the message says why."""


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """What people ask about a certificate. Times are Unix ms."""

    subject: str
    hosts: tuple[str, ...]  # names and addresses it is good for
    not_before_ms: int
    not_after_ms: int


def new_key() -> bytes:
    """A private key, unencrypted: its file's mode protects it."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def authority(key: bytes, now_ms: int, days: int = AUTHORITY_DAYS) -> bytes:
    """A certificate that `key` signs for itself, good from a day before `now_ms` on. Raises CertificateFault."""
    private = _key(key)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, "Nabd city authority"),
        ]
    )
    public = private.public_key()
    usage = _usage(signs_certificates=True)
    return (
        _builder(name, name, public, _moment(now_ms), days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(private, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def server(
    key: bytes,
    hosts: Sequence[str],
    authority_key: bytes,
    authority_certificate: bytes,
    now_ms: int,
    days: int = SERVER_DAYS,
) -> bytes:
    """A server's certificate for these names and addresses, the first of them its subject, signed by the authority.

    Raises CertificateFault for a name that is none, keys that cannot be read, and a key that is not the authority's.
    """
    signer, issuer = _key(authority_key), _certificate(authority_certificate)
    if signer.public_key() != issuer.public_key():
        raise CertificateFault("the authority's key and certificate do not belong together")
    public = _key(key).public_key()
    if not hosts:
        raise CertificateFault("a server's certificate needs one host at least")
    alternatives = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64]),
        ]
    )
    return (
        _builder(subject, issuer.subject, public, _moment(now_ms), days)
        .add_extension(alternatives, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()),  # type: ignore[arg-type]
            critical=False,
        )
        .sign(signer, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def read(pem: bytes) -> Certificate:
    """Raises CertificateFault when it is none."""
    certificate = _certificate(pem)
    hosts: list[str] = []
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        pass
    else:
        hosts += names.get_values_for_type(x509.DNSName)
        hosts += [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return Certificate(
        subject=certificate.subject.rfc4514_string(),
        hosts=tuple(hosts),
        not_before_ms=_ms(certificate.not_valid_before_utc),
        not_after_ms=_ms(certificate.not_valid_after_utc),
    )


def belongs(key: bytes, pem: bytes) -> bool:
    """Is this the key of that certificate? Raises CertificateFault."""
    return _key(key).public_key() == _certificate(pem).public_key()


def is_signed_by(pem: bytes, authority_certificate: bytes) -> bool:
    """Raises CertificateFault when one of them is no certificate."""
    try:
        _certificate(pem).verify_directly_issued_by(_certificate(authority_certificate))
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    labels = host.split(".")
    plain = all(
        0 < len(label) <= 63 and label.replace("-", "").isalnum() and label[0] != "-" != label[-1] for label in labels
    )
    if not plain or not host.isascii() or len(host) > 253:
        raise CertificateFault(f"{host!r} is neither a host name nor an address; write for example broker.berkane.ma")
    return x509.DNSName(host)


def _key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise CertificateFault(f"is no private key in PEM without a password ({error})") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateFault("is no key of an elliptic curve")
    return key


def _certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise CertificateFault(f"is no certificate in PEM ({error})") from None


def _moment(unix_ms: int) -> datetime:
    return datetime.fromtimestamp(unix_ms // 1000, UTC)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
