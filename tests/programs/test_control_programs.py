"""config, qmail-newmrh and qmail-showctl."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from conftest import BIN, TOP, Run
from nameserver import NameServer
from qmail.formats import cdb
from qmail.formats.controlfile import TABLE
from qmail.formats.controlkinds import Compiled

HERE = os.uname().nodename.split(".")[0].lower()


def env(home: Path, **more: str) -> dict[str, str]:
    return {"QMAIL_HOME": str(home), "LOCALDOMAIN": "example.org", "DNSREWRITEFILE": "/nonexistent", **more}


def zone(name: str) -> dict[tuple[str, str], list[str]]:
    return {
        (f"{HERE}.example.org", "A"): ["192.0.2.9"],
        ("9.2.0.192.in-addr.arpa", "PTR"): [f"{name}."],
        ("1.0.0.127.in-addr.arpa", "PTR"): ["localhost."],
        ("localhost", "A"): ["127.0.0.1"],
    }


def test_config_asks_dns_for_the_name(home: Path, program: Run) -> None:
    with NameServer(zone("Mail.Example.ORG")) as server:
        done = program("config", env=env(home, **server.environ))
    assert (done.returncode, done.stderr) == (0, b"")
    assert (home / "control/me").read_text() == "mail.example.org\n"
    assert (home / "control/defaultdomain").read_text() == "example.org\n"
    # What leads back to an address of this machine is local too.
    assert (home / "control/locals").read_text() == "mail.example.org\nlocalhost\n"
    assert (home / "control/rcpthosts").read_text() == "mail.example.org\nlocalhost\n"


def test_config_does_not_guess(home: Path, program: Run) -> None:
    with NameServer({}) as server:
        done = program("config", env=env(home, **server.environ))
    assert done.returncode == 100
    assert b"config-fast" in done.stderr
    assert list((home / "control").iterdir()) == []


def test_newmrh_makes_a_database(home: Path, program: Run) -> None:
    (home / "control/morercpthosts").write_text("A.example\n# c\n\n.b.example \t\nlast")
    assert program("qmail-newmrh", env=env(home)).returncode == 0
    data = (home / "control/morercpthosts.cdb").read_bytes()
    assert list(cdb.records(data)) == [(b"a.example", b""), (b".b.example", b""), (b"last", b"")]
    assert not (home / "control/morercpthosts.tmp").exists()


def test_newmrh_keeps_the_old_database_in_trouble(home: Path, program: Run) -> None:
    (home / "control/morercpthosts.cdb").write_text("old")
    done = program("qmail-newmrh", env=env(home))
    words = b"qmail-newmrh: fatal: unable to read control/morercpthosts: file does not exist\n"
    assert (done.returncode, done.stderr) == (111, words)
    assert (home / "control/morercpthosts.cdb").read_text() == "old"


def test_newmrr_makes_a_database_of_recipients_and_their_domains(home: Path, program: Run) -> None:
    (home / "control/morerelayrecipients").write_text("Joe@A.example\nann@a.example \n# c\n\nnobody\n@b.example")
    assert program("qmail-newmrr", env=env(home)).returncode == 0
    keys = [key for key, _ in cdb.records((home / "control/morerelayrecipients.cdb").read_bytes())]
    assert keys == [b"joe@a.example", b"a.example", b"ann@a.example", b"@b.example", b"b.example"]
    (home / "control/morerelayrecipients").unlink()
    assert program("qmail-newmrr", env=env(home)).returncode == 111


def shown(home: Path, program: Run) -> dict[str, str]:
    done = program("qmail-showctl", env=env(home))
    assert (done.returncode, done.stderr) == (0, b"")
    parts = done.stdout.decode().split("\n\n")
    return dict(part.rstrip("\n").split(": ", 1) for part in parts[1:])


def test_showctl_tells_of_every_control_file_of_c_qmail(home: Path, program: Run) -> None:
    (home / "control/me").write_text("x.example\n")
    said = shown(home, program)
    new = {
        "bounceformat",
        "callforward",
        "destinations",
        "logins",
        "morerelayrecipients",
        "morerelayrecipients.cdb",
        "outgoingip",
        "qmtproutes",
        "rcptcheck",
        "relayrecipients",
        "senders",
        "servercert.pem",
        "smtpcredentials",
        "smtpextensions",
        "sourceaddresses",
        "tls",
        "tlspolicy",
        "tlstickets",
        "tlstrust.pem",
        "userlimits",
    }
    assert list(said) == [entry.name.decode() for entry in TABLE if entry.name.decode() not in new]
    assert said["helohost"] == "(Default.) SMTP client HELO host name is x.example."
    assert said["concurrencylocal"] == "(Default.) Local concurrency is 10."


def test_showctl_reads_what_is_there(home: Path, program: Run) -> None:
    control = home / "control"
    (control / "rcpthosts").write_text("a\n#c\n.b\n")
    (control / "databytes").write_text("5 bytes\n")
    (control / "strange").write_text("")
    (control / "locals").mkdir()
    said = shown(home, program)
    assert said["rcpthosts"].split("\n")[1:] == [
        f"SMTP clients may send messages to recipients at {host}." for host in ("a", ".b")
    ]
    assert said["databytes"] == "SMTP DATA limit is 5 bytes."
    assert said["strange"] == "I have no idea what this file does."
    assert said["locals"] == "Oops! Trouble reading this file."
    assert said["me"] == "(Default.) My name is undefined! Uh-oh."
    assert said["bouncehost"] == "(Default.) Bounce host name is bouncehost."


def test_showctl_shows_no_byte_that_a_terminal_would_obey(home: Path, program: Run) -> None:
    (home / "control/bouncefrom").write_bytes(b"a\x1b[2J\xe4\tb\n")
    (home / "control/locals").write_bytes(b"\x07x\n")
    (home / "control/queuelifetime").write_bytes(b"007 days\n")
    said = shown(home, program)
    assert said["bouncefrom"] == "Bounce user name is a?[2J??b."
    assert said["locals"] == "\nMessages for ?x are delivered locally."
    assert said["queuelifetime"] == "Message lifetime in the queue is 7 seconds."


def test_showctl_tells_a_person_who_is_refused_without_rcpthosts(home: Path, program: Run) -> None:
    assert shown(home, program)["rcpthosts"] == "(Default.) SMTP clients may send messages to any recipient."
    person, terminal = pty.openpty()
    showctl = subprocess.Popen([BIN / "qmail-showctl"], env=env(home), stdout=terminal)
    os.close(terminal)
    heard = b""
    while piece := _read(person):
        heard += piece
    os.close(person)
    assert showctl.wait(60) == 0
    assert b"rcpthosts: (Default.) SMTP clients may send messages only to recipients without a host.\r\n" in heard
    assert b"any recipient" not in heard


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""  # its other end is closed


@pytest.mark.parametrize(
    ("text", "made", "words"), [(0, 9, "Modified recently"), (9, 0, "Oops! "), (None, 0, "Oops! ")]
)
def test_showctl_compares_the_database_with_its_source(
    home: Path, program: Run, text: int | None, made: int | None, words: str
) -> None:
    for name, when in (("morercpthosts", text), ("morercpthosts.cdb", made)):
        if when is not None:
            (home / "control" / name).write_text("")
            os.utime(home / "control" / name, (when, when))
    assert shown(home, program)["morercpthosts.cdb"].startswith(words)


def test_showctl_speaks_of_files_that_c_qmail_lacks_where_they_are(home: Path, program: Run) -> None:
    assert not {"tlspolicy", "tlstrust.pem"} & set(shown(home, program))
    (home / "control/tlspolicy").write_text("example.com:verify\n")
    (home / "control/tlstrust.pem").write_text("-----BEGIN")
    found = shown(home, program)
    assert found["tlspolicy"].strip() == "TLS policy: example.com:verify"
    assert found["tlstrust.pem"].strip() == "These certificates are trusted, too."


def test_the_table_names_every_control_file_that_is_read() -> None:
    source = "\n".join(path.read_text() for path in (TOP / "src/qmail").rglob("*.py"))
    read = set(re.findall(r'control\.(?:line|lines|line_or_me|number|text)\(b"([a-z.]+)"', source))
    assert read <= {entry.name.decode() for entry in TABLE}
    assert all(entry.about.endswith(".") and entry.used_by for entry in TABLE)
    assert [entry.source for entry in TABLE if isinstance(entry, Compiled)] == [
        b"morercpthosts",
        b"morerelayrecipients",
    ]
