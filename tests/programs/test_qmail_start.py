"""qmail-start: who runs as whom, on which descriptors, and what survives."""

from __future__ import annotations

import os
import pwd
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import needs_root
from sending import Sending


@pytest.fixture
def system(home: Path) -> Iterator[Sending]:
    sending = Sending(home)
    yield sending
    sending.close()


SHOW = """{ id -un; id -gn; umask; echo "${QMAILSPAWN-narrow}"; cd /proc/$$/fd; echo *; echo "$@"; echo end; } >%s
"""


@needs_root
def test_each_program_has_its_own_user_and_three_descriptors(system: Sending) -> None:
    shown = {name: system.home.parent / f"shown.{name}" for name in ("lspawn", "rspawn", "clean", "logger")}
    for name, path in shown.items():
        path.touch()
        path.chmod(0o666)
        end = "cat >/dev/null" if name == "logger" else "printf '\\000\\000\\001'; exec sleep 2"
        system.replace("logger" if name == "logger" else f"qmail-{name}", SHOW % path + end + "\n")
    extra = os.dup2(os.open("/dev/null", os.O_RDONLY), 50)
    system.start("./Maildir/\n|x y", str(system.home / "bin" / "logger"), "a", "b", wait=None, pass_fds=(extra,))
    os.close(extra)
    system.until("not shown", lambda: all(path.read_text().endswith("end\n") for path in shown.values()))
    lines = {name: path.read_text().split("\n") for name, path in shown.items()}
    # The shell has some of its own, between 3 and 20.
    for words in lines.values():
        descriptors = {int(word) for word in words.pop(4).split()}
        assert {0, 1, 2} <= descriptors and 50 not in descriptors
    assert lines == {
        "lspawn": ["root", "root", "0077", "wide", "./Maildir/", "|x y", "end", ""],
        "rspawn": ["qmailr", "qmail", "0077", "wide", "", "end", ""],
        "clean": ["qmailq", "qmail", "0077", "narrow", "", "end", ""],
        "logger": ["qmaill", "nofiles", "0077", "narrow", "a b", "end", ""],
    }


@needs_root
def test_qmail_send_runs_as_qmails_and_qmail_queued_outlives_it(system: Sending) -> None:
    system.start()
    assert os.stat(f"/proc/{system.pid}").st_uid == pwd.getpwnam("qmails").pw_uid
    assert Path(f"/proc/{system.pid}/comm").read_text() == "qmail-send\n"
    queued = int((system.home / "qq" / "lock").read_text().split()[0])
    assert os.stat(f"/proc/{queued}").st_uid == pwd.getpwnam("qmailq").pw_uid
    assert os.getsid(queued) == queued
    system.signal(signal.SIGKILL)
    system.ended()
    system.submit("s@x", ["good@here.example"])
    assert system.kinds() == ["intd", "mess", "todo"]
    system.start()
    assert int((system.home / "qq" / "lock").read_text().split()[0]) == queued
    system.wait("^end msg")
    assert system.stop() == 0


def test_fault_100_a_missing_trigger_is_made(system: Sending) -> None:
    (system.queue / "lock" / "trigger").unlink()
    system.start()
    assert (system.queue / "lock" / "trigger").is_fifo()
    assert (system.queue / "lock" / "trigger").stat().st_mode & 0o777 == 0o622
    assert system.stop() == 0


def test_fault_100_a_trigger_that_is_no_fifo_is_said_and_mail_goes_on(system: Sending) -> None:
    (system.queue / "lock" / "trigger").unlink()
    (system.queue / "lock" / "trigger").write_bytes(b"")
    system.start()
    system.wait("^alert: lock/trigger is no fifo")
    system.submit("s@x", ["good@here.example"])
    system.wait("^end msg")
    assert system.stop() == 0


def test_without_spawners_it_does_not_start(system: Sending) -> None:
    system.replace("qmail-rspawn", "exit 1\n")
    system.start(wait=None)
    assert system.ended() == 111
    assert system.text() == "alert: cannot start: hath the daemon spawn no fire?\n"


@pytest.mark.parametrize("control", ["me", "queuelifetime"])
def test_a_control_file_that_cannot_be_read_stops_it(system: Sending, control: str) -> None:
    (system.home / "control" / control).unlink(missing_ok=True)
    (system.home / "control" / control).mkdir()
    system.start(wait=None)
    assert system.ended() == 111
    assert system.text() == "alert: cannot start: unable to read controls\n"
