"""qmail-queued: who may take how much of it, how it ends, and whom it tells."""

from __future__ import annotations

import fcntl
import os
import pwd
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from conftest import BIN, TOP, needs_root, start_queued, wait_until
from qmail.formats import note
from qmail.host import localsocket
from submitting import ENVELOPE, Talk, files, frame, kinds, message

Queued = subprocess.Popen[bytes]


def test_many_messages_follow_each_other_on_one_connection(home: Path, queued: Queued) -> None:
    talk = Talk(home)
    numbers = set()
    for _number in range(20):
        talk.say(message(b"x\n"))
        code, qp = talk.answer()
        assert code == b"0"
        numbers.add(qp)
    assert len(numbers) == 20, "each has a number of its own"
    assert kinds(home).count("todo") == 20


def test_messages_of_many_connections_are_each_answered(home: Path, queued: Queued) -> None:
    talks = [Talk(home) for _ in range(8)]
    for turn in range(5):
        for number, talk in enumerate(talks):
            talk.say(message(b"message %d of %d\n" % (turn, number)))
        for talk in talks:
            assert talk.answer()[0] == b"0"
    texts = {text.partition(b"\n")[2] for name, text in files(home).items() if name.startswith("mess/")}
    assert texts == {b"message %d of %d\n" % (turn, number) for turn in range(5) for number in range(8)}


def test_an_abandoned_message_is_answered_and_leaves_nothing(home: Path, queued: Queued) -> None:
    talk = Talk(home)
    talk.say(frame(b"B") + 3 * frame(b"M", b"x" * 60_000))
    wait_until(lambda: "mess" in kinds(home))
    talk.say(frame(b"A"))
    assert talk.answer()[0] == b"54"
    assert files(home) == {}
    talk.say(message(b"x\n"))
    assert talk.answer()[0] == b"0"


def test_an_early_answer_is_followed_by_the_next_message(home: Path, queued: Queued) -> None:
    talk = Talk(home)
    talk.say(frame(b"B") + frame(b"M", b"x" * 50_000) + frame(b"E", b"X" * 50_000))
    assert talk.answer()[0] == b"91"
    talk.say(frame(b"E", b"X" * 50_000) + frame(b"."))
    talk.say(message(b"x\n"))
    assert talk.answer()[0] == b"0"


def test_whoever_does_not_speak_the_protocol_is_dropped_and_the_others_go_on(home: Path, queued: Queued) -> None:
    other = Talk(home)
    for data in (b"GET / HTTP/1.0\r\n\r\n", b"M\xff\xff\xff\xff", frame(b"B") + frame(b"B"), frame(b".")):
        talk = Talk(home)
        talk.say(data)
        assert talk.answer() == []
    other.say(message(b"x\n"))
    assert other.answer()[0] == b"0"


def test_a_message_in_single_bytes_arrives(home: Path, queued: Queued) -> None:
    talk = Talk(home)
    for byte in message(b"x\n"):
        talk.say(bytes([byte]))
    assert talk.answer()[0] == b"0"
    talk.say(frame(b"B") + b"".join(frame(b"M", b"y") for _ in range(5000)) + frame(b"E", ENVELOPE) + frame(b"."))
    assert talk.answer()[0] == b"0"
    assert any(text.endswith(b"\n" + b"y" * 5000) for text in files(home).values())


@needs_root
def test_one_user_cannot_take_everything_and_others_are_served(home: Path) -> None:
    limited = start_queued(home, "prlimit", "--nofile=1000")
    hoarder = pwd.getpwnam("nobody").pw_uid
    script = f"""
import os, socket, sys
os.setuid({hoarder})
held = []
for _ in range(300):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect({str(home / "qq/socket")!r})
    try:
        s.sendall({frame(b"B") + 2 * frame(b"M", b"x" * 40_000)!r})
    except OSError:
        pass
    held.append(s)
refused = held.pop().recv(100).startswith(b"R")  # the last one is answered last
for s in held:
    try:
        s.setblocking(False)
        refused += s.recv(100).startswith(b"R\\0\\0\\0\\x0471 0")
    except OSError:
        pass
print(300 - refused, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        ["/usr/bin/python3", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as hoarding:
        assert hoarding.stdout
        held = int(hoarding.stdout.readline())
        assert 8 <= held <= 80, "a quarter of a quarter"
        talk = Talk(home)
        talk.say(message(b"mine\n"))
        assert talk.answer()[0] == b"0"
        assert hoarding.stdin
        hoarding.stdin.close()
    wait_until(lambda: kinds(home) == ["intd", "mess", "todo"])
    limited.terminate()
    assert limited.wait(30) == 0


def test_a_client_that_never_reads_is_dropped(home: Path, queued: Queued) -> None:
    deaf = Talk(home)
    deaf.socket.setblocking(False)
    sent = 0
    with pytest.raises(OSError):  # its buffer is full, or it was hung up on
        for _ in range(20_000):
            deaf.say(message(b"x\n"))
            sent += 1
    other = Talk(home)
    other.say(message(b"other\n"))
    assert other.answer()[0] == b"0"


def test_term_ends_what_is_under_way_first(home: Path) -> None:
    process = start_queued(home)
    idle, busy = Talk(home), Talk(home)
    whole = message(b"x" * 100_000)
    busy.say(whole[:90_000])
    wait_until(lambda: "mess" in kinds(home))
    process.terminate()
    assert idle.answer() == []
    busy.say(whole[90_000:])
    assert busy.answer()[0] == b"0"
    assert process.wait(20) == 0
    assert kinds(home) == ["intd", "mess", "todo"]


def test_a_second_one_says_so_and_touches_nothing(home: Path, queued: Queued) -> None:
    before = os.stat(home / "qq/socket").st_ino
    second = subprocess.run([str(BIN / "qmail-queued")], env={"QMAIL_HOME": str(home)}, capture_output=True, timeout=20)
    assert second.returncode == 111
    assert second.stderr == b"qmail-queued: fatal: cannot start: qmail-queued is already running\n"
    assert os.stat(home / "qq/socket").st_ino == before
    talk = Talk(home)
    talk.say(message(b"x\n"))
    assert talk.answer()[0] == b"0"


def test_one_of_another_version_gives_way_to_the_one_that_asks(home: Path) -> None:
    first = start_queued(home)
    again = [str(BIN / "qmail-queued"), "-s"]
    assert subprocess.run(again, env={"QMAIL_HOME": str(home)}, stderr=subprocess.PIPE, timeout=20).returncode == 111
    (home / "qq/lock").write_text(f"{first.pid} 0.0.1\n")
    second = subprocess.Popen(again, env={"QMAIL_HOME": str(home)})
    assert first.wait(20) == 0
    wait_until(lambda: (home / "qq/lock").read_text().startswith(f"{second.pid} "))
    second.terminate()
    assert second.wait(20) == 0


def test_a_stand_in_gives_way_to_a_service_and_not_the_other_way_round(home: Path) -> None:
    environment = {"QMAIL_HOME": str(home)}
    stand_in = subprocess.Popen([str(BIN / "qmail-queued"), "-s"], env=environment)
    wait_until(lambda: (home / "qq/lock").exists() and "stand-in" in (home / "qq/lock").read_text())
    service = start_queued(home)
    assert stand_in.wait(20) == 0
    wait_until(lambda: (home / "qq/lock").read_text().startswith(f"{service.pid} "))
    late = subprocess.run([str(BIN / "qmail-queued"), "-s"], env=environment, stderr=subprocess.PIPE, timeout=20)
    assert late.returncode == 111
    assert service.poll() is None
    service.terminate()
    assert service.wait(20) == 0


def test_a_stand_in_that_is_quicker_than_the_service_gives_way_as_well(home: Path) -> None:
    """It holds the lock when the service comes; another one takes it before the service can."""
    path = home / "qq/lock"
    begun = start_queued(home)
    begun.terminate()
    assert begun.wait(20) == 0
    words = path.read_text().split()
    queue = "qmailq" if os.geteuid() == 0 else None
    with (
        open(path, "r+") as held,
        subprocess.Popen(["sleep", "60"], user=queue) as first,
        subprocess.Popen(["sleep", "60"], user=queue) as following,
    ):
        fcntl.flock(held, fcntl.LOCK_EX)
        path.write_text(f"{first.pid} {words[1]} stand-in\n")
        service = subprocess.Popen([str(BIN / "qmail-queued")], env={"QMAIL_HOME": str(home)})
        assert first.wait(20) == -signal.SIGTERM
        path.write_text(f"{following.pid} {words[1]} stand-in\n")
        assert following.wait(20) == -signal.SIGTERM
    wait_until(lambda: path.read_text().startswith(f"{service.pid} "))
    service.terminate()
    assert service.wait(20) == 0


def test_after_a_kill_the_next_one_starts(home: Path) -> None:
    first = start_queued(home)
    talk = Talk(home)
    talk.say(message(b"x" * 100_000)[:90_000])
    wait_until(lambda: "mess" in kinds(home))
    first.kill()
    first.wait(20)
    assert talk.answer() == []
    second = start_queued(home)
    talk = Talk(home)
    talk.say(message(b"y\n"))
    assert talk.answer()[0] == b"0"
    second.terminate()
    assert second.wait(20) == 0


def test_hup_starts_it_anew_under_its_old_number(home: Path, queued: Queued) -> None:
    before = os.stat(home / "qq/socket").st_ino
    queued.send_signal(signal.SIGHUP)
    wait_until(lambda: os.stat(home / "qq/socket").st_ino != before)
    talk = Talk(home)
    talk.say(message(b"x\n"))
    assert talk.answer()[0] == b"0"
    assert (home / "qq/lock").read_text().split()[0] == str(queued.pid)


def often_looking(home: Path) -> Queued:
    """A qmail-queued that looks after itself all the time."""
    script = (
        f"import sys; sys.path.insert(0, {str(TOP / 'src')!r}); sys.argv = ['qmail-queued']; "
        "from qmail.programs.queue import qmail_queued; from qmail.host.program import run; "
        "qmail_queued.SWEEP = 0.05; run(qmail_queued.main)"
    )
    environment = {"QMAIL_HOME": str(home), "PATH": "/usr/bin:/bin"}
    process = subprocess.Popen(["/usr/bin/python3", "-c", script], env=environment, stderr=subprocess.PIPE)
    wait_until((home / "qq/socket").exists)
    return process


def test_a_socket_that_is_taken_away_is_made_again(home: Path) -> None:
    with often_looking(home) as process:
        (home / "qq/socket").unlink()
        wait_until((home / "qq/socket").exists)
        talk = Talk(home)
        talk.say(message(b"x\n"))
        assert talk.answer()[0] == b"0"
        process.terminate()
        assert process.wait(20) == 0


def test_it_ends_when_its_home_is_gone(home: Path) -> None:
    with often_looking(home) as process:
        home.rename(home.parent / "gone")
        assert process.wait(20) == 111
        assert process.stderr
        assert b"unable to start anew: " in process.stderr.read()


def test_qmail_send_is_told_by_a_note_that_fits_the_file(home: Path, queued: Queued) -> None:
    path = os.fsencode(home / "qs/notes")
    listener = localsocket.Listener(path, 0o666, localsocket.PACKETS)
    trigger = os.open(home / "queue/lock/trigger", os.O_RDONLY | os.O_NONBLOCK)
    talk = Talk(home)
    peers: list[localsocket.Peer] = []
    for turn in range(3):
        talk.say(message(b"x\n"))
        assert talk.answer()[0] == b"0"
        if not peers:
            wait_until(lambda: bool((peer := listener.accept()) and not peers.append(peer)))
            assert peers[0].uid == os.stat(home / "qq/socket").st_uid
        os.set_blocking(peers[0].descriptor, True)
        (told,) = note.unpack(os.read(peers[0].descriptor, 200_000))
        status = os.stat(home / "queue/todo" / str(told.number))
        assert (told.inode, told.size, told.ctime_ns) == (status.st_ino, status.st_size, status.st_ctime_ns), turn
        assert told.todo == (home / "queue/todo" / str(told.number)).read_bytes()
    assert not _pulled(trigger)
    # It goes away: the trigger is pulled instead, and a new one is found again.
    os.close(peers[0].descriptor)
    listener.close()
    talk.say(message(b"x\n"))
    assert talk.answer()[0] == b"0"
    wait_until(lambda: _pulled(trigger))
    listener = localsocket.Listener(path, 0o666, localsocket.PACKETS)
    talk.say(message(b"x\n"))
    assert talk.answer()[0] == b"0"
    wait_until(lambda: listener.accept() is not None)
    listener.close()
    os.close(trigger)


def _pulled(trigger: int) -> bool:
    try:
        return os.read(trigger, 100) != b""
    except BlockingIOError:
        return False


@pytest.mark.parametrize("kind", ["missing", "file", "directory"])
def test_fault_100_a_broken_trigger_refuses_nothing(home: Path, queued: Queued, kind: str) -> None:
    trigger = home / "queue/lock/trigger"
    trigger.unlink()
    if kind == "file":
        trigger.touch(0o666)
    elif kind == "directory":
        trigger.mkdir()
    talk = Talk(home)
    talk.say(message(b"x\n"))
    assert talk.answer()[0] == b"0"


def test_a_listener_that_never_reads_its_notes_holds_nothing_up(home: Path, queued: Queued) -> None:
    listener = localsocket.Listener(os.fsencode(home / "qs/notes"), 0o666, localsocket.PACKETS)
    talk = Talk(home)
    recipients = b"".join(b"Trecipient-%d@example.org\0" % number for number in range(500))
    for _number in range(40):
        talk.say(message(b"x\n", b"Fa\0" + recipients + b"\0"))
        assert talk.answer()[0] == b"0"
    listener.close()


@needs_root
def test_it_runs_as_qmailq_with_its_name_shown(home: Path, queued: Queued) -> None:
    status = Path(f"/proc/{queued.pid}/status").read_text()
    entry = pwd.getpwnam("qmailq")
    assert f"Uid:\t{entry.pw_uid}\t{entry.pw_uid}\t{entry.pw_uid}" in status
    assert f"Groups:\t{entry.pw_gid}" in status
    assert Path(f"/proc/{queued.pid}/comm").read_text() == "qmail-queued\n"
    assert Path(f"/proc/{queued.pid}/cmdline").read_bytes().startswith(b"qmail-queued\0")


def test_who_opens_a_file_while_it_is_asked_who_has_it_open_ends_nothing(
    home: Path, queued: subprocess.Popen[bytes]
) -> None:
    """The kernel says so by SIGIO (fcntl(2), F_SETLEASE)."""
    queued.send_signal(signal.SIGIO)
    talk = Talk(home)
    talk.say(message(b"x\n"))
    assert talk.answer()[0] == b"0"
    assert queued.poll() is None


def test_a_log_that_nobody_reads_holds_nothing_up(home: Path) -> None:
    reader, writer = os.pipe()
    environment = {"QMAIL_HOME": str(home), "PATH": f"{BIN}:/usr/bin:/bin"}
    process = subprocess.Popen([str(BIN / "qmail-queued")], env=environment, stderr=writer)
    wait_until(lambda: (home / "qq/socket").exists())
    talk = Talk(home)
    talk.say(message(b"x\n"))
    assert talk.answer()[0] == b"0", "it runs"
    (home / "queue/mess").rename(home / "queue/away")
    for _number in range(2000):
        talk.say(message(b"x\n"))
        assert talk.answer()[0] == b"64"
    (home / "queue/away").rename(home / "queue/mess")
    talk.say(message(b"x\n"))
    assert talk.answer()[0] == b"0"
    process.terminate()
    assert process.wait(20) == 0
    os.close(reader)
    os.close(writer)


def test_whoever_says_that_nothing_more_comes_has_its_answer_and_is_let_go(home: Path, queued: Queued) -> None:
    """While others are waited for, too, and those who go on are heard again."""
    staying = Talk(home)
    for _ in range(5):
        talks = [Talk(home) for _ in range(6)]
        for talk in talks:
            talk.say(message(b"x\n"))
            talk.socket.shutdown(socket.SHUT_WR)
        staying.say(message(b"y\n"))
        assert [talk.answer()[0] for talk in (*talks, staying)] == [b"0"] * 7
        assert [talk.answer() for talk in talks] == [[]] * 6
    assert kinds(home).count("todo") == 35
