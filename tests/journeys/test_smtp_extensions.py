"""What control/smtpextensions switches on, used by servers and clients that are not ours: warm and by exec."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from conftest import needs_root
from exim import Exim
from journeys.conftest import Host, free_port
from qmail.protocols.smtpextensions import KNOWN


@pytest.fixture(params=["warm", "exec"])
def extended(request: pytest.FixtureRequest, host: Host) -> Host:
    """A host that announces everything. Where QMAILQUEUE is set, each connection gets a program of its own."""
    host.control("smtpextensions", *map(os.fsdecode, KNOWN))
    if request.param == "exec":
        host.smtp_environment = {"QMAILQUEUE": f"{host.home}/bin/qmail-queue"}
    return host


@needs_root
def test_exim_sends_in_chunks_and_its_message_is_what_comes(extended: Host, tmp_path: Path) -> None:
    joe = extended.user("joe")
    extended.start()
    body = b".\n..two\n" + b"".join(b"%d %s\n" % (i, b"x" * 60) for i in range(4000))
    with Exim(tmp_path / "exim", free_port(), to=extended.port) as exim:
        exim.send("a@exim.example", "joe@here.example", b"Subject: chunks\n\n" + body)
        (message,) = joe.wait_for_mail()
        exim.says(r'=> joe@here\.example .* K C="250 2\.0\.0 ok ')
    assert message.partition(b"\n\n")[2] == body


@needs_root
def test_fault_062_exim_and_we_exchange_mail_for_addresses_beyond_ascii(extended: Host, tmp_path: Path) -> None:
    port = free_port()
    extended.control("rcpthosts", "here.example", "bücher.example")
    extended.control("virtualdomains", "xn--bcher-kva.example:joe")
    extended.control("smtproutes", f":[127.0.0.1]:{port}")
    joe = extended.user("joe")
    joe.file(".qmail-jürgen", "./Maildir/\n&ünknown@exim.example\n")
    extended.start()
    announced = "smtputf8_advertise_hosts = *\naccept_8bitmime = true"
    with Exim(tmp_path / "exim", port, to=extended.port, main=announced) as exim:
        exim.send("ä@exim.example", "jürgen@bücher.example", "Subject: grüße\n\nbody\n".encode())
        (message,) = joe.wait_for_mail()
        (back,) = exim.wait_for_mail()
    assert b" with UTF8SMTP;" in message
    assert message.startswith('Return-Path: <"ä"@exim.example>\nDelivered-To: joe-jürgen@bücher.example\n'.encode())
    assert "\nSubject: grüße\n".encode() in back
    assert " P=utf8esmtps " in exim.log


def test_fault_062_what_qmail_inject_is_told_beyond_ascii_is_what_comes(host: Host) -> None:
    joe = host.user("joe")
    joe.file(".qmail-grüße", "./Maildir/\n")
    host.start()
    text = "To: Jürgen <joe-grüße@here.example>\nSubject: ü\n\nbody\n".encode()
    subprocess.run(
        [host.home / "bin/qmail-inject", "-f", "ä@h.here.example"], env=host.environment, input=text, check=True
    )
    (message,) = joe.wait_for_mail()
    assert message.startswith('Return-Path: <"ä"@h.here.example>\nDelivered-To: joe-grüße@here.example\n'.encode())
    assert '\nTo: "Jürgen" <"joe-grüße"@here.example>\n'.encode() in message


def test_a_proxy_says_whom_it_speaks_for_and_everybody_behind_hears_it(extended: Host) -> None:
    joe = extended.user("joe")
    filter_ = extended.home / "filter"
    filter_.write_text(f'#!/bin/sh\necho "$TCPREMOTEIP" >{extended.home}/heard\nexec {extended.home}/bin/qmail-queue\n')
    filter_.chmod(0o755)
    is_exec = "QMAILQUEUE" in extended.smtp_environment
    extended.smtp_environment = {"XCLIENT": "", "RELAYCLIENT": ""} | ({"QMAILQUEUE": str(filter_)} if is_exec else {})
    (extended.home / "heard").touch()
    (extended.home / "heard").chmod(0o666)
    extended.start()
    swaks = [
        "swaks",
        "--server",
        f"127.0.0.1:{extended.port}",
        "--from",
        "a@b.example",
        "--helo",
        "me",
        "--suppress-data",
    ]
    told = ["--xclient", "ADDR=192.0.2.7 NAME=client.example"]
    subprocess.run([*swaks, *told, "--to", "joe@here.example"], check=True, capture_output=True)
    refused = subprocess.run([*swaks, *told, "--to", "x@else.example"], check=False, capture_output=True)
    assert refused.returncode and b"553 5.7.1 sorry, that domain" in refused.stdout
    (message,) = joe.wait_for_mail()
    assert b"\nReceived: from client.example (HELO me) (192.0.2.7)\n" in message
    assert (extended.home / "heard").read_text() == ("192.0.2.7\n" if is_exec else "")
