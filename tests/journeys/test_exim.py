"""Exim and we: mail in both directions, by TLS with certificates that each side verifies."""

from __future__ import annotations

import smtplib
from pathlib import Path

import pytest

from conftest import needs_root
from exim import Exim
from journeys.conftest import Host, free_port
from securing import Authority, Tls

pytestmark = needs_root

VERIFIED = "hosts_require_tls = *\n  tls_verify_hosts = *\n  tls_verify_certificates = {trust}"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


def test_exim_sends_to_us_by_tls_with_a_certificate_that_it_verifies(
    host: Host, authority: Authority, tmp_path: Path
) -> None:
    joe = host.user("joe")
    authority.certify(host.home / "control/servercert.pem", host.name, "localhost")
    with Tls(host.home) as tls:
        host.start()
        verified = VERIFIED.format(trust=authority.trust)
        with Exim(tmp_path / "exim", free_port(), to=host.port, smtp=verified) as exim:
            exim.send("a@exim.example", "joe@here.example", b"Subject: by exim\n\n.dot\n" + b"x" * 900 + b"\n")
            (message,) = joe.wait_for_mail()
            exim.says(r"=> joe@here\.example .* CV=yes .* C=\"250 ok ")
            assert exim.log.count("Completed") == 1
    assert b"with ESMTPS (TLSv1.3 " in message and message.endswith(b"\n\n.dot\n" + b"x" * 900 + b"\n")
    assert " TLSv1.3 " in tls.log


@pytest.mark.parametrize("policy", ["encrypt", "verify"])
def test_we_send_to_exim_by_tls_and_take_only_the_certificate_that_we_want(
    host: Host, authority: Authority, tmp_path: Path, policy: str
) -> None:
    port = free_port()
    host.control("smtproutes", f":[127.0.0.1]:{port}")
    host.control("tlspolicy", f"exim.example:{policy}")
    host.control("tlstrust.pem", authority.trust.read_text())
    host.smtp_environment = {"RELAYCLIENT": ""}
    host.start()
    signed = authority.certify(tmp_path / "certificate.pem", "exim.example")
    with Exim(tmp_path / "exim", port, certificate=signed) as exim:
        with smtplib.SMTP("127.0.0.1", host.port) as client:
            client.sendmail("ann@here.example", ["joe@exim.example"], "Subject: to exim\r\n\r\n.dot\r\n")
        (message,) = exim.wait_for_mail()
    assert b"Subject: to exim" in message and message.endswith(b"\n\n.dot\n")
    assert " P=esmtps X=TLS1.3:" in exim.log
