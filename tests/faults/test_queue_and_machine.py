"""Faults 96 to 102: clocks that jump, files that make no sense, floods, helpers and signals."""

from __future__ import annotations

import os
import pwd
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from conftest import BIN, TOP, needs_root, wait_until
from sending import Sending
from submitting import Talk, message

pytestmark = needs_root

DAY = 86_400


def quickly(system: Sending, *envelopes: bytes) -> None:
    """Queue messages over one connection."""
    talk = Talk(system.home)
    for envelope in envelopes:
        talk.say(message(b"Subject: t\n\nhello\n", envelope))
        assert talk.answer()[0] == b"0"
    talk.close()


def envelope(*recipients: str) -> bytes:
    """One from nobody."""
    return b"F\0" + b"".join(f"T{recipient}\0".encode() for recipient in recipients) + b"\0"


class Clock:
    """The wall clock of a qmail-send, which is set with `jump`."""

    def __init__(self, system: Sending) -> None:
        self.system, self.path, self.ahead = system, system.home.parent / "ahead", 0.0
        self.path.write_text("0")
        clocked = f"{sys.executable} -S {TOP}/tests/stand_ins/clocked.py {self.path} qmail.programs.queue.qmail_send"
        system.replace("qmail-send", f"PYTHONPATH={TOP}/src exec {clocked} qmail-send\n")

    def jump(self, seconds: float) -> None:
        """Set it ahead or back, and have qmail-send see that."""
        self.ahead += seconds
        self.path.with_name("new").write_text(str(self.ahead))
        self.path.with_name("new").rename(self.path)
        self.system.signal_and_heed(signal.SIGHUP)


def test_fault_096_a_clock_that_jumps_ahead_makes_nothing_fail_that_was_not_tried_again(system: Sending) -> None:
    clock = Clock(system)
    system.start()
    system.submit("ann@here.example", ["again@here.example"])
    system.submit("ann@here.example", ["temp@here.example"])
    system.until("not queued", lambda: system.kinds() == ["info"] * 2 + ["local"] * 2 + ["mess"] * 2)
    clock.jump(30 * DAY)
    # Each is tried once more, and only who is refused once more has failed.
    system.wait("^delivery [34]: success")
    system.wait("^delivery [34]: failure: .*_too_long./")
    system.wait("^delivery 5: success")
    system.until("not all done", lambda: not system.files())
    assert system.stop() == 0
    assert sorted(Counter(system.orders()).items()) == [
        ("again@here.example", 2), ("ann@here.example", 1), ("temp@here.example", 2),
    ]  # fmt: skip


def test_fault_096_a_clock_that_is_set_back_makes_nothing_wait_for_longer_than_it_ever_would(system: Sending) -> None:
    clock = Clock(system)
    system.start()
    system.submit("s@x", ["temp@here.example"])
    system.until("not queued", lambda: system.kinds() == ["info", "local", "mess"])
    clock.jump(-400 * DAY)
    # What the system refused waits 123 seconds of the new time, not of the old one.
    (system.queue / "info").rename(system.queue / "away")
    system.submit("s@x", ["again@here.example"])
    system.wait("^warning: unable to create info/|^warning: trouble fsyncing")
    (system.queue / "away").rename(system.queue / "info")
    clock.jump(-DAY)
    assert "todo" in system.kinds()
    clock.jump(124)
    system.until("not preprocessed", lambda: system.kinds().count("info") == 2)
    assert system.stop() == 0
    # Whatever time this file was to be tried at, it is within half a day of the clock's time.
    ahead = [path.stat().st_mtime - time.time() - clock.ahead for path in (system.queue / "local").rglob("*/*")]
    assert len(ahead) == 2 and max(ahead) < DAY / 2


# kind, number, text, and what is said of it.
NONSENSE = [
    ("todo", 23, b"", "unknown record type in todo/23"),
    ("todo", 46, b"u1\0p1\0Tgood-no@here.example\0", "unknown record type in todo/46"),
    ("todo", 69, b"u1\0p1\0Fs@x\0Tgood-no@here.example\0Xgood-no@here.example\0", "unknown record type in todo/69"),
    ("todo", 92, b"u1\0p1\0Fs@x\0Tgood-no@here.exam", "unknown record type in todo/92"),
    ("todo", 115, 1 << 30, "unknown record type in todo/115"),
    ("info", 138, b"", "trouble opening info/0/138"),
    ("info", 161, b"Fs@x", "trouble opening info/0/161"),
    ("info", 184, 1 << 30, "trouble opening info/0/184"),
    ("local", 207, b"Xgood-no@here.example\0", "unknown record type in local/0/207"),
    ("local", 230, 1 << 30, "unknown record type in local/0/230"),
    ("local", 253, b"", "unfinished record in local/0/253, which is kept in bad/"),
]  # fmt: skip
STRAY = {"todo/junk": "qmailq", "todo/0999": "qmailq", "local/0/core": "qmails", "info/0/-1": "qmails"}


def test_fault_098_whatever_stands_in_the_queue_is_said_once_and_the_mail_of_others_goes_on(system: Sending) -> None:
    for kind, number, text, _ in NONSENSE:
        system.put("mess", number, b"Subject: t\n\n")
        system.put(kind, number, text if isinstance(text, bytes) else b"Xgood-no@here.example", age=10)
        if isinstance(text, int):
            os.truncate(system.file(kind, number), text)
        if kind == "info":
            system.put("local", number, b"Tgood-no@here.example\0", age=10)
        if kind == "local":
            system.put("info", number, b"Fs@x\0", age=10)
    for name, owner in STRAY.items():
        (system.queue / name).write_bytes(b"x")
        os.chown(system.queue / name, pwd.getpwnam(owner).pw_uid, -1)
    before = set(system.files())
    system.start()
    system.submit("s@x", ["good@here.example"])
    system.wait("^end msg", 2)
    assert int(Path(f"/proc/{system.pid}/statm").read_text().split()[1]) * 4096 < 64 << 20
    for _ in range(3):
        (system.queue / "lock/trigger").write_bytes(b"x")
        time.sleep(0.06)  # so that each of them is a look of its own
    assert system.stop() == 0
    assert system.orders() == ["good@here.example"]
    warnings = [line for line in system.lines() if line.startswith("warning: ")]
    assert sorted(line.partition(";")[0].rstrip("!") for line in warnings) == sorted(
        f"warning: {said}" for *_, said in NONSENSE
    )
    assert before - set(system.files()) == {"info/253", "local/253", "mess/253"}
    assert set(system.files()) - before == {"bad/local.253"}


@pytest.mark.parametrize("kind", ["todo", "info", "local"])
def test_fault_098_what_is_no_file_at_all_holds_nothing_up(system: Sending, kind: str) -> None:
    for number, make in ((23, os.mkfifo), (46, os.mkdir)):
        system.put("mess", number, b"Subject: t\n\n")
        for other in ("info", "local") if kind != "todo" else ():
            system.put(other, number, b"Fs@x\0" if other == "info" else b"Tgood-no@here.example\0", age=10)
        path = system.file(kind, number)
        path.unlink(missing_ok=True)
        make(path)
        os.chown(path, pwd.getpwnam("qmailq" if kind == "todo" else "qmails").pw_uid, -1)
    system.start()
    system.submit("s@x", ["good@here.example"])
    system.wait("^delivery 1: success")
    system.wait("^warning: ", 2)
    assert system.stop() == 0
    assert system.orders() == ["good@here.example"]


def test_fault_101_a_report_on_a_delivery_that_was_never_ordered_harms_nobody(system: Sending) -> None:
    system.start()
    quickly(system, envelope("stray@here.example", "good@here.example"))
    system.wait("^warning: internal error: delivery report out of range")
    system.wait("^end msg")
    assert system.stop() == 0
    assert system.text().count(": success: ") == 2
    assert "failure" not in system.text()


def test_fault_101_a_spawner_that_talks_nonsense_is_a_lost_one_and_the_mail_stays(system: Sending) -> None:
    system.start()
    quickly(system, envelope("garbage@here.example", "good@here.example"))
    assert system.ended() == 0
    assert "alert: oh no! lost spawn connection! dying..." in system.text()
    assert {"todo", "local"} & set(system.kinds())


ANSWERS = "import os\nwhile orders := os.read(0, 9999): os.write(1, {answer} * orders.count(b'\\0'))"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("b'x'", "^warning: qmail-clean unable to clean up todo/"),
        ("b'++'", "^alert: oh no! lost qmail-clean connection"),
    ],
)
def test_fault_101_a_qmail_clean_that_talks_nonsense_loses_and_doubles_nothing(
    system: Sending, answer: str, said: str
) -> None:
    system.replace("qmail-clean", f'exec {sys.executable} -c "{ANSWERS.format(answer=answer)}"\n')
    system.start()
    quickly(system, envelope("good@here.example"))
    system.wait(said)
    assert "todo" in system.kinds(), "nothing of it was removed"
    assert system.orders() == ["good@here.example"]
    if "alert" in said:
        assert system.ended() == 0
    else:
        assert system.stop() == 0
    (system.home / "bin/qmail-clean").unlink()
    (system.home / "bin/qmail-clean").symlink_to(BIN / "qmail-clean")
    system.start()
    system.until("something is left", lambda: not system.files())
    assert system.stop() == 0
    # While it is in todo/ nothing counts as done: a new qmail-send may deliver it once more.
    assert system.orders() == ["good@here.example"] * 2


def test_fault_102_a_storm_of_signals_loses_and_doubles_nothing(system: Sending) -> None:
    system.start()
    names = [f"good{number}-{each}@here.example" for number in range(40) for each in range(20)]
    storm = (signal.SIGALRM, signal.SIGHUP, signal.SIGALRM)
    for number in range(40):
        quickly(system, envelope(*names[number * 20 : number * 20 + 20]))
        for each in storm:
            system.signal(each)
    for number in range(1000):
        system.signal(storm[number % 3])
        if not number % 50:
            time.sleep(0.01)
    system.wait("^end msg", 40)
    system.until("something is left", lambda: not system.files())
    assert system.stop() == 0
    assert sorted(system.orders()) == sorted(names)
    assert "warning" not in system.text() and "alert" not in system.text()


def test_fault_102_term_during_a_thousand_deliveries_waits_for_all_of_them(home: Path) -> None:
    system = Sending(home, control={"concurrencylocal": "1000\n"})
    try:
        system.start(env={"LIMIT": "1000"})
        quickly(system, envelope(*["hold@here.example"] * 1000))
        system.wait("^starting delivery 1000: ")
        system.signal_and_heed(signal.SIGTERM)
        (home.parent / "hold-hold@here.example").touch()
        assert system.ended() == 0
        assert system.text().count(": success: ") == 1000
        system.start(env={"LIMIT": "1000"})
        system.wait("^end msg")
        assert system.stop() == 0
        assert len(system.orders()) == 1000
        assert system.files() == []
    finally:
        system.close()


def test_fault_102_a_qmail_send_that_is_killed_again_and_again_delivers_everything(system: Sending) -> None:
    chance, names = random.Random(102), []
    for number in range(5):
        system.start()
        for each in range(5):
            names.append(f"good{number}-{each}@here.example")
            quickly(system, envelope(names[-1], "again@here.example"))
        time.sleep(chance.random() / 10)
        system.signal(signal.SIGKILL)
        system.ended()
    system.start()
    system.signal(signal.SIGALRM)
    system.until("not delivered", lambda: set(system.orders()) >= set(names))
    system.until(
        "not all done",
        lambda: not [k for k in system.kinds() if k in ("todo", "info")] or system.signal(signal.SIGALRM),
    )
    assert system.stop() == 0
    assert max(Counter(system.orders())[name] for name in names) <= 2


@pytest.mark.prove
def test_fault_099_deliveries_go_on_while_todo_is_full(system: Sending) -> None:
    count = 4_000
    for number in range(1_000_000, 1_000_000 + count):
        todo = system.queue / f"todo/{number}"
        todo.write_bytes(b"u1\0p1\0Fs@x\0Tgood%d@here.example\0" % number)
        (system.queue / f"mess/{number % 23}/{number}").write_bytes(b"Subject: t\n\nx\n")
    system.start()
    system.wait("^starting delivery 1: ")
    assert system.text().count("new msg") < count / 3, "deliveries begin before everything is looked at"
    wait_until(lambda: len(system.orders()) == count, 90)
    assert int(Path(f"/proc/{system.pid}/statm").read_text().split()[1]) * 4096 < 64 << 20
    wait_until(lambda: not system.files(), 90)
    assert system.stop() == 0
    assert len(set(system.orders())) == count
