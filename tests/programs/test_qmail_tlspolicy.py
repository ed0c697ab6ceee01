"""qmail-tlspolicy: what it says without DNSSEC; with it, test_remote_dane has the cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import Run
from nameserver import NameServer

ZONE = {
    ("two.example", "MX"): ["20 b.two.example.", "10 a.two.example."],
    ("a.two.example", "A"): ["203.0.113.1"],
    ("b.two.example", "A"): ["203.0.113.2"],
    ("null.example", "MX"): ["0 ."],
}
SETTLED = "a.two.example: the same (nobody else is asked)"
UNVOUCHED = "the same (DNSSEC does not vouch for the exchangers of the domain)"
CASES = {
    "two.example": (0, ["by TLS if it is offered", f"a.two.example: {UNVOUCHED}", f"b.two.example: {UNVOUCHED}"]),
    "TWO.example": (0, ["by TLS if it is offered", f"a.two.example: {UNVOUCHED}", f"b.two.example: {UNVOUCHED}"]),
    "may.example": (0, ["by TLS if it is offered (control/tlspolicy)", SETTLED]),
    "none.example": (0, ["without TLS (control/tlspolicy)", SETTLED]),
    "verify.example": (
        0,
        [
            "by TLS, with a certificate for its name that this system trusts (control/tlspolicy)",
            "a.two.example: the same (DNSSEC does not vouch for its addresses)",
        ],
    ),
    "dane.example": (
        1,
        [
            "by TLS, with a certificate that its TLSA records tell (control/tlspolicy)",
            "a.two.example: nothing goes there: it has no TLSA records that DNSSEC vouches for, which mail to it "
            "must have",
        ],
    ),
    "[203.0.113.9]": (0, ["by TLS if it is offered", f"[203.0.113.9]: {UNVOUCHED}"]),
    "null.example": (1, ["by TLS if it is offered", "Sorry, null.example says that it takes no mail. (#5.1.10)"]),
    "gone.example": (
        1, ["by TLS if it is offered", "Sorry, I couldn't find any host named gone.example. (#5.1.2)"],
    ),
    "broken.example": (111, ["by TLS if it is offered", "Sorry, I couldn't find any host by that name. (#4.1.2)"]),
}  # fmt: skip


@pytest.mark.parametrize("domain", CASES)
def test_what_mail_to_a_domain_must_have_is_said(home: Path, program: Run, domain: str) -> None:
    (home / "control/me").write_text("client.example\n")
    names = ("may", "none", "verify", "dane")
    (home / "control/tlspolicy").write_text("".join(f"{name}.example:{name}\n" for name in names))
    (home / "control/smtproutes").write_text("".join(f"{name}.example:a.two.example\n" for name in names))
    with NameServer(ZONE, codes={"broken.example": 2}) as server:
        done = program("qmail-tlspolicy", domain, env={"QMAIL_HOME": str(home), **server.environ})
    lines = [line.strip() for line in done.stdout.decode().splitlines()]
    assert (done.returncode, lines) == (CASES[domain][0], [f"{domain}: {CASES[domain][1][0]}", *CASES[domain][1][1:]])


def test_words_that_are_no_domains_and_a_home_that_is_none_are_told(home: Path, program: Run) -> None:
    for words in ([], ["--check"]):
        done = program("qmail-tlspolicy", *words, env={"QMAIL_HOME": str(home)})
        assert (done.returncode, done.stderr) == (100, b"qmail-tlspolicy: usage: qmail-tlspolicy DOMAIN...\n")
    (home / "control/me").unlink(missing_ok=True)
    done = program("qmail-tlspolicy", "two.example", env={"QMAIL_HOME": str(home)})
    assert (done.returncode, done.stderr) == (111, b"qmail-tlspolicy: fatal: Unable to read control files. (#4.3.0)\n")
