"""Exim and we, by TLS: each sends to the other, with certificates good and bad. Exim's TLS is GnuTLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import needs_root, open_to_others
from exim import Exim
from journeys.conftest import free_port
from journeys.secured import KINDS, LETTER, LETTER_END, POLICIES, VERSIONS, Secured

pytestmark = needs_root

CLIENT = """hosts_require_tls = *
  tls_verify_certificates = {trust}
  tls_verify_hosts = ${{if match{{$domain}}{{^verify}}{{*}}}}
  tls_try_verify_hosts =
  tls_require_ciphers = {versions}
"""
NORMAL = "NORMAL"


def versions(key: str, only: dict[str, str]) -> str:
    """What GnuTLS may speak: one version where `key` is this word, and everything else where it is another."""
    found = NORMAL
    for word, version in only.items():
        found = f"${{if match{{{key}}}{{^{word}}}{{{NORMAL}:-VERS-ALL:+VERS-{version.replace('v', '')}}}{{{found}}}}}"
    return found


class Pair(Secured):
    """Our host, and an Exim. Each of Exim's ports has a certificate of its own, or one version of TLS."""

    def __init__(self, place: Path) -> None:
        ports = {kind: free_port() for kind in (*KINDS, *VERSIONS)}
        super().__init__(place, "exim.example", ports, [f"{name}.here.example" for name in (*POLICIES, *VERSIONS)])
        for kind in KINDS:
            self.make(kind, place / f"{kind}.pem")
        certificates = {port: place / f"{'good' if kind in VERSIONS else kind}.pem" for kind, port in ports.items()}
        client = CLIENT.format(trust=self.authority.trust, versions=versions("$domain", VERSIONS))
        by_port = {str(ports[kind]): version for kind, version in VERSIONS.items()}
        server = f"tls_require_ciphers = {versions('$received_port', by_port)}"
        port = ports["good"]
        self.exim = Exim(
            place / "exim", port, to=self.host.port, certificates=certificates, main=server, smtp=client
        )  # fmt: skip


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = Pair(open_to_others(tmp_path_factory.mktemp("p")))
    with made.exim:
        yield made
    made.stop()
    print(made.exim.log[-3000:], made.tls.log[-1000:])


@pytest.mark.parametrize("kind", KINDS)
def test_exim_sends_to_us_by_tls_and_verifies_our_certificate(pair: Pair, kind: str) -> None:
    pair.show(kind)
    good = kind == "good"
    try:
        for policy in POLICIES:
            pair.exim.send("<>", f"joe-{kind}@{policy}.here.example", LETTER)
        pair.exim.says(rf"=> joe-{kind}@encrypt\.here\.example .* C=\"250 ok ")
        pair.exim.says(rf"{'=' if good else '[*]'}[>*] joe-{kind}@verify\.here\.example\b")
        messages = pair.mail(2 if good else 1)
    finally:
        pair.show("good")
    assert len(messages) == (2 if good else 1)
    for message in messages:
        assert b"with ESMTPS (TLSv1.3 " in message and message.endswith(LETTER_END)


@pytest.mark.parametrize("kind", KINDS)
def test_we_send_to_exim_by_tls_and_verify_its_certificate(pair: Pair, kind: str) -> None:
    for policy in POLICIES:
        pair.submit(f"ann@{kind}.{policy}.exim.example")
    assert pair.outcome(f"ann@{kind}.encrypt.exim.example").startswith("success: 127.0.0.1_accepted_message.")
    found = pair.outcome(f"ann@{kind}.verify.exim.example")
    good = kind == "good"
    assert found.startswith("success: " if good else "deferral: Connected_to_127.0.0.1_but_TLS_could_not_be_agreed_on")
    messages = pair.exim.take(2 if good else 1)
    assert len(messages) == (2 if good else 1)
    for message in messages:
        assert b"(TLS1.3)" in message and message.endswith(LETTER_END)


@pytest.mark.parametrize("kind", VERSIONS)
def test_either_version_of_tls_is_spoken_both_ways(pair: Pair, kind: str) -> None:
    pair.exim.send("<>", f"joe@{kind}.here.example", LETTER)
    assert f"with ESMTPS ({VERSIONS[kind]} ".encode() in pair.mail(1)[0]
    pair.submit(f"ann@{kind}.verify.exim.example")
    assert pair.outcome(f"ann@{kind}.verify.exim.example").startswith("success: ")
    assert f"({VERSIONS[kind].replace('v', '')})".encode() in pair.exim.take(1)[0]
