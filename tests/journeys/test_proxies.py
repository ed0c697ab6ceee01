"""A load balancer in front of tcpserver: HAProxy says who the client is, by either version of the PROXY protocol."""

from __future__ import annotations

import smtplib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import BIN, wait_until
from journeys.conftest import Host, free_port

CONFIGURATION = """
global
  maxconn 50
defaults
  mode tcp
  timeout connect 10s
  timeout client 60s
  timeout server 60s
listen smtp
  bind 127.0.0.1:{port}
  source 127.0.0.8
  server qmail 127.0.0.1:{to} {word}
"""


@pytest.fixture(params=["send-proxy", "send-proxy-v2"])
def balanced(request: pytest.FixtureRequest, host: Host, tmp_path: Path) -> Iterator[int]:
    """The port of a HAProxy that goes to the host, whose rules let one client of it send anywhere."""
    rules = '127.0.0.7:allow,RELAYCLIENT=""\n127.0.0.8:deny\n:allow\n'
    compiled = tmp_path / "rules.cdb"
    subprocess.run([BIN / "tcprules", compiled, tmp_path / "rules.new"], input=rules.encode(), check=True)
    compiled.chmod(0o644)
    host.smtp_options = ["-y", "127.0.0.8", "-x", str(compiled)]
    port, path = free_port(), tmp_path / "haproxy.cfg"
    path.write_text(CONFIGURATION.format(port=port, to=host.port, word=request.param))
    proxy = subprocess.Popen(["haproxy", "-db", "-f", path], stderr=subprocess.DEVNULL)
    yield port
    proxy.terminate()
    proxy.wait(30)


def test_the_rules_and_the_received_field_know_the_client_behind_the_balancer(host: Host, balanced: int) -> None:
    joe = host.user("joe")
    host.start()
    wait_until(lambda: _answers(balanced), 30)
    with smtplib.SMTP("127.0.0.1", balanced, source_address=("127.0.0.7", 0)) as client:
        client.sendmail("a@b.example", ["joe@here.example"], "Subject: by a balancer\r\n\r\n")
        assert client.docmd("MAIL", "FROM:<a@b.example>")[0] == 250
        assert client.docmd("RCPT", "TO:<x@elsewhere.example>")[0] == 250
    with smtplib.SMTP("127.0.0.1", balanced, source_address=("127.0.0.6", 0)) as client:
        assert client.docmd("MAIL", "FROM:<a@b.example>")[0] == 250
        assert client.docmd("RCPT", "TO:<x@elsewhere.example>")[0] == 553
    (message,) = joe.wait_for_mail()
    assert b" (127.0.0.7)\n" in message
    host.wait_for_log("smtpd", r"ok \d+ here.example:127.0.0.1:\d+ :127.0.0.6::")


def _answers(port: int) -> bool:
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=5):
            return True
    except OSError:
        return False
