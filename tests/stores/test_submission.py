"""Handing a message over: to qmail-queued, or to whatever program stands in qmail-queue's place."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from conftest import wait_until
from qmail.formats.envelope import envelope
from qmail.formats.mailparameters import NEVER, Parameters, Wish
from qmail.stores import submission
from qmail.stores.home import Home
from qmail.stores.submission import UNREAD, Direct, Foreign, Outcome, words
from submitting import files, kinds

Queued = subprocess.Popen[bytes]


def at(home: Path) -> Home:
    return Home(os.fsencode(home))


def script(home: Path, text: str) -> bytes:
    path = home / "queue-program"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return os.fsencode(path)


def send(home: Path, environ: dict[bytes, bytes], text: bytes = b"x\n") -> Outcome:
    message = submission.begin(at(home), environ)
    message.write(text)
    return message.finish(b"a@b", [b"c@d", b"e@f"])


def test_our_own_qmail_queue_is_spared_and_qmail_queued_asked(home: Path, queued: Queued) -> None:
    assert isinstance(submission.begin(at(home), {}), Direct)
    outcome = send(home, {})
    assert outcome.code == 0
    assert outcome.qp > 0
    assert words(outcome) == b""
    (todo,) = (text for name, text in files(home).items() if name.startswith("todo/"))
    assert todo == b"u%d\0p%d\0Fa@b\0Tc@d\0Te@f\0" % (os.geteuid(), outcome.qp)


def test_a_large_message_is_sent_as_it_comes(home: Path, queued: Queued) -> None:
    message = submission.begin(at(home), {})
    for _piece in range(100):
        message.write(b"x" * 9_999 + b"\n")
    wait_until(lambda: "mess" in kinds(home))
    assert message.finish(b"a", [b"b"]).code == 0
    (mess,) = (text for name, text in files(home).items() if name.startswith("mess/"))
    assert mess.partition(b"\n")[2] == (b"x" * 9_999 + b"\n") * 100


def test_an_abandoned_message_leaves_nothing(home: Path, queued: Queued) -> None:
    for size in (10, 1_000_000):
        message = submission.begin(at(home), {})
        message.write(b"x" * size)
        assert message.abandon().code == 54
        assert files(home) == {}


def test_without_qmail_queued_or_home_it_is_temporary(home: Path) -> None:
    for size in (10, 1_000_000):
        assert words(send(home, {}, b"x" * size)) == b"Zqq trouble making network connection (#4.3.0)"
    assert words(Direct(at(home / "none")).finish(b"", [])) == b"Zqq trouble in home directory (#4.3.0)"


def test_qmail_queued_that_dies_is_temporary(home: Path, queued: Queued) -> None:
    message = submission.begin(at(home), {})
    message.write(b"x" * 1_000_000)
    queued.kill()
    queued.wait()
    message.write(b"x" * 1_000_000)
    assert words(message.finish(b"", [])) == b"Zcommunication with mail server failed (#4.4.2)"


def test_a_refusal_in_the_middle_is_heard(home: Path, queued: Queued) -> None:
    (home / "queue/pid").rename(home / "queue/away")
    assert words(send(home, {}, b"x" * 3_000_000)) == b"Zqq trouble creating files in queue (#4.3.0)"
    (home / "queue/away").rename(home / "queue/pid")


def test_a_wrapper_in_its_place_is_run_as_c_qmail_runs_it(home: Path) -> None:
    os.unlink(home / "bin")
    (home / "bin").mkdir()
    path = script(home, f'cat >{home}/m; cat <&1 >{home}/e; pwd >{home}/d; echo "$MARK" >>{home}/d')
    (home / "bin/qmail-queue").symlink_to(os.fsdecode(path))
    outcome = send(home, {b"MARK": b"mark"})
    assert outcome.code == 0
    assert (home / "m").read_bytes() == b"x\n"
    assert (home / "e").read_bytes() == b"Fa@b\0Tc@d\0Te@f\0\0"
    assert (home / "d").read_text() == f"{home}\nmark\n"


@pytest.mark.parametrize(("recipients", "read", "code"), [(1999, 11_000_000, 0), (1999, None, 0), (30_000, 10, UNREAD)])
def test_a_queue_program_need_not_read_what_stands_behind_an_envelope(
    home: Path, recipients: int, read: int | None, code: int
) -> None:
    # It reads all, or up to the envelope's last NUL, as that of C qmail does, or not so far.
    asked = Parameters(wishes={b"%d@d" % i: Wish(NEVER, b"rfc822;" + b"x" * 400) for i in range(400)})
    many = [b"%d@d" % i for i in range(recipients)]
    size = len(envelope(b"a@b", many)) if read is None else read
    path = script(home, f"cat >/dev/null; head -c {size} <&1 >/dev/null; exec 1<&-\n")
    message = submission.begin(at(home), {b"QMAILQUEUE": path})
    message.write(b"x\n")
    assert message.finish(b"a@b", many, asked).code == code


def test_a_relative_qmailqueue_starts_at_the_home(home: Path) -> None:
    script(home, "cat >/dev/null; exit 31")
    assert words(send(home, {b"QMAILQUEUE": b"queue-program"})) == b"Dmail server permanently rejected message (#5.3.0)"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("exit 0", b"Zqq read error (#4.3.0)"),  # 0, with the message unread
        ("cat >/dev/null; cat <&1 >/dev/null; exit 0", b""),
        ("cat >/dev/null; exit 11", b"Denvelope address too long for qq (#5.1.3)"),
        ("cat >/dev/null; exit 115", b"Denvelope address too long for qq (#5.1.3)"),
        ("cat >/dev/null; exit 12", b"Dqq permanent problem (#5.3.0)"),
        ("cat >/dev/null; exit 40", b"Dqq permanent problem (#5.3.0)"),
        ("cat >/dev/null; exit 41", b"Zqq temporary problem (#4.3.0)"),
        ("cat >/dev/null; exit 10", b"Zqq temporary problem (#4.3.0)"),
        ("cat >/dev/null; exit 111", b"Zqq temporary problem (#4.3.0)"),
        ("cat >/dev/null; exit 53", b"Zqq write error or disk full (#4.3.0)"),
        ("cat >/dev/null; exit 91", b"Zqq internal bug (#4.3.0)"),
        ("cat >/dev/null; kill -9 $$", b"Zqq crashed (#4.3.0)"),
        ("cat >/dev/null; echo DNo spam >&6; exit 82", b"DNo spam\n"),
        ("cat >/dev/null; echo ZLater >&6; exit 82", b"ZLater\n"),
        ("cat >/dev/null; printf D >&6; exit 82", b"Zqq temporary problem (#4.3.0)"),
        ("cat >/dev/null; echo DNo >&6; exit 53", b"Zqq write error or disk full (#4.3.0)"),
        ("cat >/dev/null; head -c 300 /dev/zero | tr '\\0' D >&6; exit 82", b"D" * 255),
    ],
)
def test_a_queue_programs_code_has_its_words(home: Path, lines: str, expected: bytes) -> None:
    outcome = send(home, {b"QMAILQUEUE": script(home, lines)}, b"x" * 300_000)
    assert words(outcome) == expected


@pytest.mark.parametrize("path", [b"/nonexistent", b"", b"/etc/passwd"])
def test_a_queue_program_that_cannot_run_is_temporary(home: Path, path: bytes) -> None:
    assert words(send(home, {b"QMAILQUEUE": path})) == b"Zunable to exec qq (#4.3.0)"


def test_an_abandoned_message_ends_early_for_a_queue_program(home: Path) -> None:
    path = script(home, f"cat >{home}/m; cat <&1 >{home}/e; exit 54")
    message = submission.begin(at(home), {b"QMAILQUEUE": path})
    assert isinstance(message, Foreign)
    message.write(b"half")
    assert message.abandon().code == 54
    assert (home / "e").read_bytes() == b""


def test_no_descriptor_is_left(home: Path, queued: Queued) -> None:
    before = os.listdir("/proc/self/fd")
    for environ in ({}, {b"QMAILQUEUE": script(home, "cat >/dev/null")}, {b"QMAILQUEUE": b"/nonexistent"}):
        send(home, environ, b"x" * 200_000)
        message = submission.begin(at(home), environ)
        message.write(b"x" * 200_000)
        message.abandon()
    assert os.listdir("/proc/self/fd") == before


def test_a_full_disk_has_words_of_its_own() -> None:
    assert words(Outcome(53, full=True)).endswith(b"(#4.3.1)")
