"""stores.reception: control files as one value, and what makes a long-lived process read them again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qmail.formats import cdb
from qmail.formats.verdict import Temporary
from qmail.protocols.smtpsite import Unreadable
from qmail.stores import reception, usersessions
from qmail.stores.control import Control


@pytest.fixture
def control(tmp_path: Path) -> Path:
    path = tmp_path / "control"
    path.mkdir()
    (path / "me").write_text("mx.example.org  \nmore\n")
    return path


def read(control: Path) -> reception.Site:
    return reception.site(Control(os.fsencode(control.parent)))


def test_me_is_the_default_of_the_names(control: Path) -> None:
    site = read(control)
    assert (site.greeting, site.limit, site.timeout) == (b"mx.example.org", 0, 1200)
    assert site.door.closed and site.door.readdressed(b"a@[127.0.0.1]") == b"a@mx.example.org"
    (control / "smtpgreeting").write_text("  hi  \n")
    (control / "localiphost").write_text("here\n")
    (control / "databytes").write_text("10k\n")
    (control / "timeoutsmtpd").write_text("0\n")
    (control / "rcpthosts").write_text("# c\nx.example \n")
    site = read(control)
    assert (site.greeting, site.limit, site.timeout) == (b"  hi", 10, 1)
    assert site.door.readdressed(b"a@[127.0.0.1]") == b"a@here"
    assert site.door.accepts(b"a@x.example") and not site.door.accepts(b"a@# c")


def test_no_name_at_all_is_an_error(control: Path) -> None:
    (control / "me").unlink()
    with pytest.raises(Temporary):
        read(control)
    (control / "smtpgreeting").write_text("x\n")
    assert read(control).door.readdressed(b"a@[127.0.0.1]") == b"a@[127.0.0.1]"


@pytest.mark.parametrize("name", [name.decode() for name in reception.FILES])
def test_a_file_that_cannot_be_read_is_no_default(control: Path, name: str) -> None:
    if (control / name).exists():
        (control / name).unlink()
    (control / name).symlink_to(name)
    with pytest.raises(Temporary):
        read(control)
    with pytest.raises(Temporary):
        reception.Watched(Control(os.fsencode(control.parent))).site()


@pytest.mark.parametrize("name", [name.decode() for name in usersessions.FILES])
def test_one_for_those_who_log_in_is_read_when_they_do(control: Path, name: str) -> None:
    site = reception.Watched(Control(os.fsencode(control.parent))).site()
    assert not site.submission().limited
    (control / name).unlink(missing_ok=True)
    (control / name).symlink_to(name)
    if name != "userlimits":
        with pytest.raises(Unreadable):
            site.submission()
    else:
        assert site.submission().limited, "qmail-authd says why nobody can be counted"
    (control / name).unlink()
    (control / name).write_text("passwords\n")
    assert site.submission().mechanisms == (b"SCRAM-SHA-256", b"PLAIN", b"LOGIN")


def test_morercpthosts_is_read_when_it_is_needed(control: Path) -> None:
    (control / "rcpthosts").write_text("x.example\n")
    (control / "morercpthosts.cdb").write_bytes(cdb.make([(b"more.example", b""), (b".sub.example", b"")]))
    door = read(control).door
    assert door.accepts(b"a@More.Example") and door.accepts(b"a@b.sub.example") and not door.accepts(b"a@sub.example")
    (control / "morercpthosts.cdb").write_bytes(b"")
    door = read(control).door
    assert door.accepts(b"a@x.example") and door.accepts(b"noat")
    with pytest.raises(Unreadable):
        door.accepts(b"a@more.example")


def test_the_client_is_what_the_environment_says() -> None:
    client = reception.client({b"TCPREMOTEIP": b"192.0.2.7", b"TCPLOCALIP": b"192.0.2.1", b"DATABYTES": b"12x"})
    assert (client.origin.ip, client.origin.host, client.origin.info) == (b"192.0.2.7", b"unknown", None)
    assert (client.origin.local, client.relay, client.limit) == (b"192.0.2.1", None, 12)
    client = reception.client({b"RELAYCLIENT": b"", b"DATABYTES": b"none", b"TCPREMOTEINFO": b""})
    assert (client.relay, client.limit, client.origin.info) == (b"", 0, b"")


def test_a_change_is_seen_and_no_change_is_not_read(control: Path) -> None:
    watched = reception.Watched(Control(os.fsencode(control.parent)))
    first = watched.site()
    assert watched.site() is first
    (control / "rcpthosts").write_text("x.example\n")
    second = watched.site()
    assert second is not first and second.door.accepts(b"a@x.example")
    times = os.stat(control / "rcpthosts")
    (control / "new").write_text("y.example\n")
    os.utime(control / "new", ns=(times.st_atime_ns, times.st_mtime_ns))
    os.rename(control / "new", control / "rcpthosts")
    assert watched.site().door.accepts(b"a@y.example")
    (control / "rcpthosts").unlink()
    assert watched.site().door.closed
    (control / "rcpthosts").mkdir()
    for _ in range(2):
        with pytest.raises(Temporary):
            watched.site()
    (control / "rcpthosts").rmdir()
    assert watched.site().door.closed
