"""By which date a node judges the broker's certificate, and what it says of one that it refuses."""

from firmware.net.tls import BEFORE_ALL_S, DAY_S, LAST_S, STEP_S, Tls, der

MADE_S = 1795527000  # 2026-11-24
YOUNG = "\nThe certificate validity starts in the future\n"
CA = """
-----BEGIN CERTIFICATE-----
MIIBoTCCAUegAwIBAgIUQiPIYfaC8Eyzxi97OFOCyVlwzoAwCgYIKoZIzj0EAwIw
LTENMAsGA1UECgwETmFiZDEcMBoGA1UEAwwTTmFiZCBjaXR5IGF1dGhvcml0eTAe
Fw0yNjExMjMxMjQ5MTRaFw0zNjExMjQxMjQ5MTRaMC0xDTALBgNVBAoMBE5hYmQx
HDAaBgNVBAMME05hYmQgY2l0eSBhdXRob3JpdHkwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAS1gDoL30Iw6mE3HIdxqUNSXWZtcFvfESqOlfeVCTyZkckb0HeNy0KV
KbqyMvuMcutM38SBgQS2tw91PtAtr1oVo0UwQzASBgNVHRMBAf8ECDAGAQH/AgEA
MA4GA1UdDwEB/wQEAwIBBjAdBgNVHQ4EFgQUzAQ3NKE/yA2GZFjQcFSSEZBymtww
CgYIKoZIzj0EAwIDSAAwRQIgTUFEHmWj0gSDUZOvhjU2wT7ecDpDT8r+ccyrY4dl
aUECIQCjtvEHC5EoDQ2lx/UG59y60WBCaz3RcRY/0yYGr68eeg==
-----END CERTIFICATE-----
"""


class System:
    """The board's clock, and the node's."""

    def __init__(self) -> None:
        self.dates = []  # type: list[int]
        self.now_s = None  # type: int | None

    def set_date(self, unix_s: int) -> None:
        self.dates.append(unix_s)

    def tls(self, made_s: int = MADE_S) -> Tls:
        return Tls(CA, "broker.berkane.ma", self, lambda: self.now_s, made_s)


def test_a_node_with_a_clock_judges_by_it() -> None:
    system = System()
    tls = system.tls()
    system.now_s = MADE_S + 5
    tls.context()
    tls.explain(ValueError(YOUNG))
    tls.context()
    assert system.dates == [MADE_S + 5, MADE_S + 5], "a certificate that is too young stays refused"


def test_without_a_clock_it_begins_at_the_date_of_its_configuration() -> None:
    system = System()
    system.tls().context()
    system.tls(0).context()
    system.tls(5).context()
    assert system.dates == [MADE_S, BEFORE_ALL_S, BEFORE_ALL_S]


def test_without_a_clock_a_renewed_certificate_is_reached_step_by_step_and_none_is_stepped_over() -> None:
    system = System()
    tls = system.tls()
    renewed_s = MADE_S + 3000 * DAY_S
    for _ in range(20):
        tls.context()
        if system.dates[-1] >= renewed_s:
            break
        tls.explain(ValueError(YOUNG))
    assert renewed_s <= system.dates[-1] < renewed_s + 825 * DAY_S
    assert STEP_S < 825 * DAY_S


def test_after_ten_years_it_begins_again() -> None:
    system = System()
    tls = system.tls()
    for _ in range(LAST_S // STEP_S + 2):
        tls.context()
        tls.explain(ValueError(YOUNG))
    assert max(system.dates) <= MADE_S + LAST_S
    assert system.dates.count(MADE_S) == 2


def test_other_faults_do_not_move_the_date() -> None:
    system = System()
    tls = system.tls()
    for sentence in (
        "\nThe certificate Common Name (CN) does not match with the expected CN\n",
        "\nThe certificate is not correctly signed by the trusted CA\n",
        "\nThe certificate validity has expired\n",
        "something else",
    ):
        tls.explain(ValueError(sentence))
        tls.context()
    assert set(system.dates) == {MADE_S}


def test_each_refusal_is_one_sentence_that_names_the_broker() -> None:
    tls = System().tls()
    for text, piece in (
        ("\nThe certificate Common Name (CN) does not match with the expected CN\n", "is not for broker.berkane.ma"),
        ("\nThe certificate is not correctly signed by the trusted CA\n", "another authority"),
        ("\nThe certificate validity has expired\n", "has expired"),
        (YOUNG, "not valid yet"),
    ):
        said = tls.explain(ValueError(text))
        assert piece in said, said
        assert "\n" not in said
    assert tls.explain(ValueError("\na new\nfault\n")) == "TLS: a new fault"


def refusal(text: str) -> str:
    try:
        der(text)
    except ValueError as fault:
        return str(fault)
    return ""


def test_what_is_no_certificate_is_refused() -> None:
    for text in ("", "not PEM", "-----BEGIN CERTIFICATE-----\nAAAA"):
        assert "ca.crt" in refusal(text), text
    assert der(CA)[0] == 0x30, "DER begins a sequence"
