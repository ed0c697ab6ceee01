"""qmail-rspawn with a qmail-remote of its own for each delivery."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sender import Sender

SLOW = "#!/bin/sh\nwhile [ ! -e {go} ]; do sleep 0.02; done\nprintf 'r\\0Kdone\\n\\0'\n"


def script(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("wide", [False, True])
def test_many_deliveries_run_at_once(home: Path, tmp_path: Path, wide: bool) -> None:
    go = tmp_path / "go"
    sender = Sender(home, wide=wide, QMAILREMOTE=script(tmp_path / "remote", SLOW.format(go=go)))
    name = sender.message(1)
    sender.order(*((number, name, b"s@a", b"r@h") for number in range(20)))
    go.write_text("")
    assert sender.reports(20) == dict.fromkeys(range(20), b"Kdone\n")
    assert sender.reader.limit == (1000 if wide else 120)
    assert sender.end() == 0


def test_running_deliveries_are_finished_after_the_last_order(home: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    sender = Sender(home, QMAILREMOTE=script(tmp_path / "remote", SLOW.format(go=go)))
    sender.order((0, sender.message(1), b"s@a", b"r@h"))
    assert sender.process.stdin is not None
    sender.process.stdin.close()
    go.write_text("")
    assert sender.reports(1) == {0: b"Kdone\n"}
    assert sender.process.wait(20) == 0


def test_a_number_in_use_stays_in_use(home: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    sender = Sender(home, QMAILREMOTE=script(tmp_path / "remote", SLOW.format(go=go)))
    name = sender.message(1)
    sender.order((0, name, b"s@a", b"r@h"), (0, name, b"s@a", b"r@h"))
    assert sender.reports(1) == {0: b"ZInternal error: delnum in use. (#4.3.5)\n"}
    go.write_text("")
    assert sender.reports(1) == {0: b"Kdone\n"}
    assert sender.end() == 0


def test_only_a_regular_file_of_the_queue_is_a_message(home: Path, tmp_path: Path) -> None:
    sender = Sender(home, QMAILREMOTE=script(tmp_path / "remote", "#!/bin/sh\nprintf 'r\\0Kdone\\n\\0'\n"))
    good = sender.message(1)
    (home / "queue/mess/2/2").symlink_to("../1/1")
    os.mkfifo(home / "queue/mess/3/3")
    orders = [good, b"2/2", b"3/3", b"4/4", b"../../../etc/passwd", b"/1/1", b"", b"1/" + b"1" * 200]
    sender.order(*((i, name, b"s@a", b"r@h") for i, name in enumerate(orders)))
    assert sender.reports(8) == {
        0: b"Kdone\n",
        1: b"Zqmail-spawn unable to open message. (#4.3.0)\n",
        2: b"ZSorry, message has wrong type. (#4.3.5)\n",
        3: b"Zqmail-spawn unable to open message. (#4.3.0)\n",
        4: b"DInternal error: messid has nonnumerics. (#5.3.5)\n",
        5: b"DInternal error: messid has nonnumerics. (#5.3.5)\n",
        6: b"DInternal error: messid too short. (#5.3.5)\n",
        7: b"DInternal error: messid too long. (#5.3.5)\n",
    }
    assert sender.end() == 0


@pytest.mark.parametrize(
    ("text", "report"),
    [
        ("kill -9 $$", b"Zqmail-remote crashed.\n"),
        ("exit 111", b"ZUnable to run qmail-remote.\n"),
        ("exit 3", b"DUnable to run qmail-remote.\n"),
        ("exit 0", b"Zqmail-remote produced no output.\n"),
        ("echo words >&2; printf 'r\\0Kdone\\n\\0'", b"Kords\nrdone\n"),
        ("printf 'r\\0K'; pwd | sed 's,.*/,,'; printf '\\0'", b"Kmess\n"),
    ],
)
def test_how_the_program_ends_is_told(home: Path, tmp_path: Path, text: str, report: bytes) -> None:
    sender = Sender(home, QMAILREMOTE=script(tmp_path / "remote", f"#!/bin/sh\n{text}\n"))
    sender.order((7, sender.message(1), b"s@a", b"r@h"))
    assert sender.reports(1) == {7: report}
    assert sender.end() == 0


def test_a_missing_program_is_temporary(home: Path) -> None:
    sender = Sender(home, QMAILREMOTE="/nonexistent/remote")
    sender.order((0, sender.message(1), b"s@a", b"r@h"))
    assert sender.reports(1) == {0: b"ZUnable to run qmail-remote.\n"}
    assert sender.end() == 0


def test_starting_forgets_the_timeouts(home: Path) -> None:
    table = home / "queue/lock/tcpto"
    table.write_bytes(b"\x7f\0\0\1\2".ljust(1024, b"\xff"))
    assert Sender(home).end() == 0
    assert table.read_bytes() == bytes(1024)
