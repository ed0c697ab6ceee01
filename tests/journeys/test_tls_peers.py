"""Postfix and we, by TLS: each sends to the other, with certificates good and bad, and is the other's smarthost."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import BIN, needs_root, open_to_others
from journeys.conftest import eventually, free_port, is_taken
from journeys.secured import KINDS, LETTER, LETTER_END, POLICIES, VERSIONS, Secured
from postfix import Postfix

pytestmark = needs_root

ALERTS = {"expired": "certificate expired", "wrong": "bad certificate", "self-signed": "unknown ca"}
ONLY = {kind: f">={version}, <={version}" for kind, version in VERSIONS.items()}


class Pair(Secured):
    """Our host, and a Postfix. Each of Postfix's ports has a certificate of its own, or one version of TLS.

    Postfix sends mail for NAME.here.example by the client of that NAME, and everything else to us as its smarthost.
    """

    def __init__(self, place: Path) -> None:
        ports = {kind: free_port() for kind in (*KINDS, *VERSIONS)}
        clients = {policy: {"smtp_tls_security_level": policy} for policy in POLICIES}
        encrypt = clients["encrypt"]
        clients |= {kind: encrypt | {"smtp_tls_mandatory_protocols": ONLY[kind]} for kind in VERSIONS}
        clients["resumes"] = encrypt | {"smtp_tls_loglevel": "2"}
        clients["login"] = encrypt | {
            "smtp_sasl_auth_enable": "yes", "smtp_sasl_security_options": "noanonymous",
            "smtp_sasl_password_maps": "static:joe:secret",
        }  # fmt: skip
        super().__init__(place, "postfix.example", ports, [f"{name}.here.example" for name in clients])
        for kind in KINDS:
            self.make(kind, place / f"{kind}.pem")
        smtpd = {ports[kind]: {"smtpd_tls_cert_file": str(place / f"{kind}.pem")} for kind in KINDS}
        smtpd |= {ports[kind]: smtpd[ports["good"]] | {"smtpd_tls_protocols": ONLY[kind]} for kind in VERSIONS}
        self.submission = free_port()
        routes = "".join(
            f"  {{ {name}.here.example = by-{name}:[localhost]:{self._port(name)} }}\n" for name in clients
        )
        main = MAIN.format(port=self.host.port, trust=self.authority.trust, routes=routes)
        domains = [f"{kind}.{policy}.postfix.example" for kind in ports for policy in POLICIES]
        transports = {f"by-{name}": settings for name, settings in clients.items()}
        self.postfix = Postfix(place / "postfix", smtpd, domains=domains, main=main, clients=transports)

    def _port(self, client: str) -> int:
        return self.submission if client == "login" else self.host.port


MAIN = """
smtpd_tls_security_level = may
relayhost = [localhost]:{port}
smtp_tls_security_level = verify
smtp_tls_verify_cert_match = hostname
smtp_tls_CAfile = {trust}
smtp_tls_session_cache_database = btree:${{data_directory}}/sessions
transport_maps = inline:{{
{routes}  }}
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = Pair(open_to_others(tmp_path_factory.mktemp("p")))
    with made.postfix:
        yield made
    made.stop()
    print(made.postfix.log[-3000:], made.tls.log[-1000:])


@pytest.fixture
def postfix(pair: Pair) -> Iterator[Postfix]:
    """Postfix, whose Maildir is empty."""
    yield pair.postfix
    for path in (pair.postfix.place / "mail/new").glob("*"):
        path.unlink()


@pytest.mark.parametrize("kind", KINDS)
def test_postfix_sends_to_us_by_tls_and_verifies_our_certificate(pair: Pair, kind: str) -> None:
    pair.show(kind)
    try:
        for policy in POLICIES:
            pair.postfix.send("a@postfix.example", f"joe-{kind}@{policy}.here.example", LETTER)
        assert "status=sent (250 ok " in pair.postfix.says(f"to=<joe-{kind}@encrypt.*status=")
        expected = "status=sent (250 ok " if kind == "good" else "status=deferred (Server certificate not "
        assert expected in pair.postfix.says(f"to=<joe-{kind}@verify.*status=")
        messages = pair.mail(2 if kind == "good" else 1)
    finally:
        pair.show("good")
    assert len(messages) == (2 if kind == "good" else 1)
    for message in messages:
        assert b"with ESMTPS (TLSv1.3 " in message and message.endswith(LETTER_END)


@pytest.mark.parametrize("kind", KINDS)
def test_we_send_to_postfix_by_tls_and_verify_its_certificate(pair: Pair, postfix: Postfix, kind: str) -> None:
    for policy in POLICIES:
        pair.submit(f"ann@{kind}.{policy}.postfix.example")
    assert pair.outcome(f"ann@{kind}.encrypt.postfix.example").startswith("success: 127.0.0.1_accepted_message.")
    found = pair.outcome(f"ann@{kind}.verify.postfix.example")
    good = kind == "good"
    assert found.startswith("success: " if good else "deferral: Connected_to_127.0.0.1_but_TLS_could_not_be_agreed_on")
    if not good:
        pair.postfix.says(f"TLS library problem: .* alert {ALERTS[kind]}")  # it hears why we leave
    messages = postfix.wait_for_mail(2 if good else 1)
    assert len(messages) == (2 if good else 1)
    for message in messages:
        assert b"using TLSv1.3 with cipher" in message and message.endswith(LETTER_END)


@pytest.mark.parametrize("kind", VERSIONS)
def test_either_version_of_tls_is_spoken_both_ways(pair: Pair, postfix: Postfix, kind: str) -> None:
    pair.postfix.send("a@postfix.example", f"joe@{kind}.here.example", LETTER)
    assert f"with ESMTPS ({VERSIONS[kind]} ".encode() in pair.mail(1)[0]
    pair.submit(f"ann@{kind}.verify.postfix.example")
    assert pair.outcome(f"ann@{kind}.verify.postfix.example").startswith("success: ")
    assert f"using {VERSIONS[kind]} with cipher".encode() in postfix.wait_for_mail()[0]


def test_postfix_resumes_a_session_with_us(pair: Pair) -> None:
    for number in range(2):
        pair.postfix.send("a@postfix.example", f"joe-{number}@resumes.here.example", LETTER)
        pair.postfix.says(f"to=<joe-{number}@resumes.*status=sent")
        if not number:
            pair.postfix.says("save session .* to smtp cache")
    assert "localhost" in pair.postfix.says("Reusing old session")
    pair.mail(2)


def test_a_large_message_comes_as_it_was_both_ways_by_each_others_smarthost(pair: Pair, postfix: Postfix) -> None:
    """Ours gives everything to Postfix, and Postfix everything to ours, each with a certificate that it verifies."""
    line = b"%075d.\r\n"
    large = b"Subject: large\r\n\r\n" + b"".join(line % number for number in range(8 * 1024 * 1024 // 78))
    assert len(large) > 8_300_000
    digest = hashlib.sha256(large.replace(b"\r\n", b"\n").partition(b"\n\n")[2]).hexdigest()
    pair.submit("ann@postfix.example", large)
    pair.postfix.send("ann@postfix.example", "joe@here.example", large)
    for message in (postfix.wait_for_mail()[0], pair.mail(1)[0]):
        assert hashlib.sha256(message.partition(b"\n\n")[2]).hexdigest() == digest
    assert pair.outcome("ann@postfix.example").startswith("success: 127.0.0.1_accepted_message.")
    assert "Verified TLS connection established to localhost" in pair.postfix.log


def test_postfix_logs_in_to_us_and_sends_by_our_submission(pair: Pair) -> None:
    home, env = pair.host.home, {"QMAIL_HOME": str(pair.host.home), "PATH": f"{BIN}:/usr/bin:/bin"}
    command = [BIN / "qmail-password", "-a", "nobody", "joe"]
    subprocess.run(command, input=b"secret\n", env=env, check=True, capture_output=True)
    pair.host.run("authd", "setuidgid", "qmailp", f"{home}/bin/qmail-authd")
    eventually("qmail-authd", (home / "qp/login").is_socket)
    pair.host.run(
        "submission", "tcpserver", "-vRHl0", "127.0.0.1", str(pair.submission), f"{home}/bin/qmail-smtpd",
        environment={"SMTPAUTH": "!"},
    )  # fmt: skip
    eventually("our submission", lambda: is_taken(pair.submission))
    try:
        pair.postfix.send("joe@here.example", "joe-home@login.here.example", LETTER)
        assert "status=sent (250 ok " in pair.postfix.says("to=<joe-home@login.*status=")
    finally:
        for service in ("submission", "authd"):
            pair.host.stop_service(service)
    (message,) = pair.mail(1)
    assert b"with ESMTPSA (TLSv1.3 " in message and message.endswith(LETTER_END)
