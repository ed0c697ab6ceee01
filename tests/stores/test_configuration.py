"""stores.configuration: what a new system begins with, and one that has lived is not given."""

from __future__ import annotations

import os
from pathlib import Path

from qmail.protocols.smtpextensions import KNOWN, known
from qmail.stores.configuration import announce, configure
from qmail.stores.control import Control


def test_only_a_home_without_a_name_is_given_the_extensions(tmp_path: Path) -> None:
    new, old = os.fsencode(tmp_path / "new"), os.fsencode(tmp_path / "old")
    for home in (new, old):
        os.makedirs(home + b"/control")
    configure(old, b"mail.example.org")
    announce(old)
    announce(new)
    assert Control(old).lines(b"smtpextensions") is None
    assert known(Control(new).lines(b"smtpextensions") or ()) == frozenset(KNOWN)
    (tmp_path / "new/control/smtpextensions").write_text("CHUNKING\n")
    announce(new)
    assert Control(new).lines(b"smtpextensions") == [b"CHUNKING"]
