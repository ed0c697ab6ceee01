"""/etc/aliases and :include: files, as who comes from sendmail has them, answer for what no user does."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

from journeys.conftest import Host, eventually

TABLE = """\
# Who gets what.
postmaster: joe
sales: joe, :include:{place}/staff
owner-sales: ann
note: "|cat > {place}/note/program"
(everybody else)@virtual.example: ann
info@virtual.example: joe
back: back
ring@here.example: round@here.example
round@here.example: ring@here.example
"""


def prepare(host: Host) -> Path:
    """A place for tables and lists, compiled, and looked at by fastforward."""
    place = host.home.parent / "etc"
    (place / "note").mkdir(parents=True)
    if os.geteuid() == 0:
        os.chown(place / "note", pwd.getpwnam("alias").pw_uid, -1)
    (place / "aliases").write_text(TABLE.format(place=place))
    (place / "staff").write_text("# all\nsue@here.example, Ann (our Ann) <ann>\n")
    host.alias("default", f"| fastforward -d {place}/aliases.cdb\n")
    run(host, "newinclude", str(place / "staff"))
    run(host, "newaliases", str(place / "aliases"))
    return place


def run(host: Host, program: str, *words: str, text: bytes = b"") -> None:
    subprocess.run([host.home / "bin" / program, *words], input=text, env=host.environment, check=True, timeout=60)


def send(host: Host, sender: str, *recipients: str) -> None:
    run(host, "sendmail", "-f", sender, "-i", *recipients, text=b"Subject: hello\n\nIt works.\n")


def test_aliases_lists_programs_and_virtual_domains_work(host: Host) -> None:
    joe, ann, sue = (host.user(name) for name in ("joe", "ann", "sue"))
    host.control("virtualdomains", "virtual.example:alias")
    place = prepare(host)
    host.start()
    send(host, "joe@here.example", "sales@here.example")
    for user in (joe, ann, sue):
        (message,) = user.wait_for_mail()
        assert message.startswith(b"Return-Path: <owner-sales@here.example>\n")
        assert b"\nDelivered-To: sales@here.example\n" in message
    send(host, "joe@here.example", "note@here.example")
    eventually("a program's mail", lambda: (place / "note/program").exists())
    host.wait_for_empty_queue()
    noted = (place / "note/program").read_text()
    assert noted.startswith("From joe@here.example ")
    assert "\nReturn-Path: <joe@here.example>\nDelivered-To: " in noted and noted.endswith("\n\nIt works.\n")
    send(host, "sue@here.example", "info@virtual.example", "who-ever@virtual.example", "postmaster@virtual.example")
    assert len(ann.wait_for_mail(3)) == 3  # a host's wildcard comes before a name at all hosts
    joe.wait_for_mail(2)
    # A new list counts at once, and nobody has to be told.
    (place / "staff").write_text("sue@here.example\n")
    run(host, "newinclude", str(place / "staff"))
    send(host, "joe@here.example", "sales@here.example")
    sue.wait_for_mail(2)
    joe.wait_for_mail(3)
    host.wait_for_empty_queue()
    assert len(ann.mail()) == 3


def test_what_leads_nowhere_comes_back(host: Host) -> None:
    joe = host.user("joe")
    prepare(host)
    host.start()
    for nowhere in ("nobody@here.example", "back@here.example", "ring@here.example"):
        send(host, "joe@here.example", nowhere)
    told = b"".join(joe.wait_for_mail(3))
    assert b"<nobody@here.example>:\nSorry, no mailbox here by that name. (#5.1.1)\n" in told
    assert b"This message is looping: it already has my Delivered-To line. (#5.4.6)" in told
    assert b"<ring@here.example>:\nSorry, that address leads only back to itself. (#5.4.6)\n" in told
    host.wait_for_empty_queue()
