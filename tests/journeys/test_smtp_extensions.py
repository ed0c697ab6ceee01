"""What control/smtpextensions switches on, used by servers and clients that are not ours: warm and by exec."""

from __future__ import annotations

import os
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
