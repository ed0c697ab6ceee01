"""The faults that the queue's protocol names, each made for real: what must happen, and how it heals.

Calls that fail at each place in turn, and deaths at each, are in tests/crash.
"""

from __future__ import annotations

import os
import pwd
import re
import signal
import smtplib
import subprocess
from pathlib import Path

import pytest

from conftest import BIN, needs_root, start_queued, wait_until
from faults.disks import free, read_only, small_disk
from faults.refusing import refusing
from journeys.conftest import Host, User, eventually
from nameserver import NameServer
from programs.test_qmail_lspawn import Users, below, deliver
from sender import Sender
from sending import Sending
from submitting import Talk, files, frame, kinds, message

pytestmark = needs_root

Queued = subprocess.Popen[bytes]


# ---- disks that fail


@pytest.mark.parametrize(("when", "left"), [("1", []), ("2", []), ("3", []), ("4", ["intd", "mess", "todo"])])
def test_q01_a_queue_writer_whose_sync_fails_refuses_and_only_a_name_that_is_linked_stays(
    home: Path, queued: Queued, when: str, left: list[str]
) -> None:
    # Of one message its two files and mess/s are synced, and then todo/.
    talk = Talk(home)
    with refusing([queued.pid], "fsync", "EIO", when):
        talk.say(message(b"x\n"))
        assert talk.answer()[:1] == [b"53"]
    assert kinds(home) == left
    talk.say(message(b"y\n"))
    assert talk.answer()[:1] == [b"0"]


def test_q02_a_message_that_cannot_be_read_is_deferred_with_its_path_and_others_are_delivered(home: Path) -> None:
    users = Users(home)
    users.add("joe", 4242, maildir=True)
    sender = Sender(home, "qmail-lspawn", "./Maildir/")
    try:
        bad, good = sender.message(1), sender.message(2)
        assert deliver(sender, b"joe@h") == [b"Kdid 1+0+0\n"]
        pids = [sender.process.pid, *below(sender.process.pid)]
        path = home / "queue/mess" / bad.decode()
        with refusing(pids, "pread64,read", "EIO", path=path):
            sender.order((1, bad, b"s@a", b"joe@h"), (2, good, b"s@a", b"joe@h"))
            reports = sender.reports(2)
        assert reports[1] == b"ZUnable to read message %b: input/output error. (#4.3.0)\n" % os.fsencode(path)
        assert reports[2] == b"Kdid 1+0+0\n"
        sender.order((1, bad, b"s@a", b"joe@h"))
        assert sender.reports(1) == {1: b"Kdid 1+0+0\n"}
    finally:
        assert sender.end() == 0


@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EDQUOT"])
def test_q03_what_cannot_be_preprocessed_stays_in_todo_and_is_tried_again(system: Sending, error: str) -> None:
    system.start()
    with refusing([system.pid], "fsync", error):
        system.submit("s@x", ["again@here.example"])
        system.wait("^warning: trouble ")
        assert "todo" in system.kinds()
        assert system.orders() == ["again@here.example"]
    system.signal(signal.SIGALRM)
    system.wait("^end msg")
    assert system.orders() == ["again@here.example"] * 2
    assert system.stop() == 0
    assert system.files() == []


# ---- disks that are full


TEXT = b"Subject: large\n\n" + b"x" * 79 + b"\n"


def test_q04_a_full_disk_of_a_users_defers_and_what_was_begun_is_taken_back(home: Path) -> None:
    users = Users(home)
    place = users.add("joe", 4242, maildir=True)
    users.says(place, "./mbox\n", ".qmail-mbox")
    (place / "mbox").write_bytes(b"From x\nold\n\n")
    users.give(place, 4242)
    sender = Sender(home, "qmail-lspawn", "./Maildir/")
    try:
        with small_disk(place, "size=200k"):
            (place / "ballast").write_bytes(bytes(free(place) - 100_000))
            for recipient in (b"joe@h", b"joe-mbox@h"):
                (report,) = deliver(sender, recipient, text=b"y" * 300_000)
                assert report[:1] == b"Z", report
            assert not [*(place / "Maildir/tmp").iterdir(), *(place / "Maildir/new").iterdir()]
            assert (place / "mbox").read_bytes() == b"From x\nold\n\n"
            assert deliver(sender, b"joe@h", b"joe-mbox@h", text=TEXT) == [b"Kdid 1+0+0\n"] * 2
            assert (place / "mbox").read_bytes().startswith(b"From x\nold\n\nFrom s@a.example ")
    finally:
        assert sender.end() == 0


def smtp(host: Host, recipient: str, text: bytes) -> tuple[int, bytes]:
    """What the server says to one message, at last."""
    with smtplib.SMTP("127.0.0.1", host.port, timeout=30) as client:
        try:
            client.sendmail("s@a.example", [recipient], text)
        except smtplib.SMTPDataError as error:
            return error.smtp_code, error.smtp_error  # type: ignore[return-value]  # always bytes
        return 250, b""


def later(host: Host) -> User:
    """A user who gets no mail before he is ready."""
    joe = host.user("joe")
    joe.file(".qmail", "|test -f ready || exit 111\n./Maildir/\n")
    return joe


def test_q05_a_full_queue_says_so_and_what_is_in_it_goes_on_and_makes_room(host: Host) -> None:
    joe = later(host)
    ann = host.user("ann")
    queue = host.home / "queue"
    with small_disk(queue, "size=2m", "nr_inodes=400"):
        host.start()
        large = b"Subject: large\r\n\r\n" + (b"x" * 78 + b"\r\n") * 15_000
        assert smtp(host, "joe@here.example", large)[0] == 250
        host.wait_for_log("send", "deferral: ")
        assert smtp(host, "joe@here.example", large) == (452, b"qq write error or disk full (#4.3.1)")
        assert smtp(host, "ann@here.example", b"Subject: small\r\n\r\nx\r\n")[0] == 250
        ann.wait_for_mail()
        joe.file("ready", "")
        host.services["send"].send_signal(signal.SIGALRM)
        joe.wait_for_mail()
        host.wait_for_empty_queue()
        assert smtp(host, "joe@here.example", large)[0] == 250
        joe.wait_for_mail(2)
        host.wait_for_empty_queue()
        # No inode is left: that is a full disk, too.
        taken = 0
        try:
            while True:
                (queue / f"lock/{taken}").touch()
                taken += 1
        except OSError:
            pass
        assert smtp(host, "joe@here.example", b"x\r\n") == (452, b"qq write error or disk full (#4.3.1)")
        for number in range(taken):
            (queue / f"lock/{number}").unlink()
        assert smtp(host, "joe@here.example", b"x\r\n")[0] == 250
        joe.wait_for_mail(3)
        host.wait_for_empty_queue()
        host.stop()


# ---- no processes, no descriptors


FORKS = "clone,clone3,fork,vfork"


@pytest.mark.parametrize("error", ["EAGAIN", "ENOMEM"])
def test_q06_where_no_process_can_be_made_deliveries_are_deferred(home: Path, tmp_path: Path, error: str) -> None:
    (tmp_path / "remote").write_text("#!/bin/sh\nprintf 'r\\0Kdone\\n\\0'\n")
    (tmp_path / "remote").chmod(0o755)
    users = Users(home)
    users.says(users.add("joe", 4242), "|echo done\n")
    for sender, recipient, helpers in (
        (Sender(home, QMAILREMOTE=str(tmp_path / "remote")), b"r@h", 0),
        (Sender(home, "qmail-lspawn", "./Mailbox"), b"joe@h", 2),
    ):
        try:
            name = sender.message(1)
            pid = sender.process.pid
            wait_until(lambda pid=pid, helpers=helpers: len(below(pid)) == helpers)
            with refusing([pid, *below(pid)], FORKS, error):
                sender.order((1, name, b"s@a", recipient), (2, name, b"s@a", recipient))
                assert {text[:1] for text in sender.reports(2).values()} == {b"Z"}
            sender.order((1, name, b"s@a", recipient))
            assert sender.reports(1)[1].startswith(b"Kdone\n")
        finally:
            assert sender.end() == 0


def test_q06_a_server_that_cannot_fork_drops_that_connection(tmp_path: Path) -> None:
    from serving import Start

    with Start(tmp_path) as start:
        server = start("-v", program=["echo", "hi"])
        with refusing([server.process.pid], FORKS, "EAGAIN", "1"):
            assert server.talk() == b""
            assert server.talk() == b"hi\n"
        server.until("warning: dropping connection, unable to run echo: temporary failure")


@pytest.mark.parametrize("error", ["EMFILE", "ENFILE"])
def test_q06_without_descriptors_what_runs_goes_on_and_the_rest_is_tried_again(system: Sending, error: str) -> None:
    system.start()
    system.submit("s@x", ["hold@here.example"])
    system.wait("^starting delivery 1")
    system.until("still in todo", lambda: system.kinds() == ["info", "local", "mess"])
    with refusing([system.pid], "openat,socket,accept4,pipe2", error):
        system.submit("s@x", ["again@here.example"])
        system.wait("^warning: unable to create ")
        (system.home.parent / "hold-hold@here.example").touch()
        system.wait("^delivery 1: success")
    system.signal(signal.SIGALRM)
    system.wait("^end msg")
    system.until("not all done", lambda: not system.files() or system.signal(signal.SIGALRM))
    assert system.stop() == 0
    assert system.orders().count("again@here.example") == 2


def test_q06_a_queue_writer_without_descriptors_serves_those_who_are_there(home: Path, queued: Queued) -> None:
    there = [Talk(home) for _ in range(4)]
    for talk in there:
        talk.say(message(b"x\n"))
        assert talk.answer()[0] == b"0"
    with refusing([queued.pid], "accept4,openat", "EMFILE"):
        late = [Talk(home) for _ in range(20)]
        there[0].say(message(b"y\n"))
        assert there[0].answer()[0] == b"63"
    for talk in (*there, *late):
        talk.say(message(b"z\n"))
        assert talk.answer()[0] == b"0"


# ---- users that mean no good


HOARDER = """
import os, resource, select, socket, sys
path, begun, whole = sys.argv[1], open(sys.argv[2], "rb").read(), open(sys.argv[3], "rb").read()
limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
os.setgid(65534), os.setuid(int(sys.argv[4]))
held = []
def connected():
    one = socket.socket(socket.AF_UNIX)
    one.connect(path)
    one.setblocking(False)
    return one
for number in range(1000):
    held.append(connected())
    try:
        held[-1].send(begun)
    except OSError:
        pass
print(flush=True)
while not select.select([0], [], [], 0)[0]:
    flood, deaf = connected(), connected()
    try:
        for one in (flood, deaf):
            for _ in range(20):
                one.send(whole)
        select.select([flood], [], [], 1)
        flood.recv(65536)
    except OSError:
        pass
"""


HONEST = """
import os, socket, sys
os.setuid(int(sys.argv[3]))
one = socket.socket(socket.AF_UNIX)
one.settimeout(20)
one.connect(sys.argv[1])
for _ in range(20):
    one.sendall(open(sys.argv[2], "rb").read())
    print(one.recv(100)[5:6].decode())
"""


def test_q07_a_hoard_a_flood_and_a_deaf_reader_keep_nobody_else_from_sending(home: Path) -> None:
    queued = start_queued(home, "prlimit", "--nofile=1000")
    paths = [home / "qq/socket", *(home.parent / name for name in ("begun", "whole", "mine"))]
    for path, data in zip(
        paths[1:], (frame(b"B") + 2 * frame(b"M", b"x" * 40_000), message(b"flood\n"), message(b"mine\n")), strict=True
    ):
        path.write_bytes(data)
    hoarders = [
        subprocess.Popen(
            ["/usr/bin/python3", "-c", HOARDER, *paths[:3], uid], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for uid in ("65534", "4711")
    ]
    try:
        for hoarder in hoarders:
            assert hoarder.stdout
            hoarder.stdout.readline()
        done = subprocess.run(
            ["/usr/bin/python3", "-c", HONEST, paths[0], paths[3], "4712"], capture_output=True, timeout=60, check=True
        )
        assert done.stdout.split() == [b"0"] * 20
    finally:
        for hoarder in hoarders:
            hoarder.communicate(b"\n", timeout=30)
        queued.terminate()
        queued.wait(30)
    texts = [text.partition(b"\n")[2] for name, text in files(home).items() if name.startswith("mess/")]
    assert texts.count(b"mine\n") == 20


# ---- names that nobody knows


def test_q08_without_dns_only_remote_mail_waits_and_only_a_name_that_is_none_fails(host: Host) -> None:
    joe = host.user("joe")
    host.smtp_environment = {"RELAYCLIENT": ""}
    broken = {"servfail.example": 2, "refused.example": 5}
    with NameServer({("null.example", "MX"): ["0 ."]}, codes=broken) as names:
        host.environment |= names.environ
        host.start()
        with smtplib.SMTP("127.0.0.1", host.port) as client:
            for name in ("servfail", "refused", "none", "null"):
                client.sendmail("joe@here.example", [f"x@{name}.example"], f"Subject: {name}\r\n\r\n")
            client.sendmail("s@a.example", ["joe@here.example"], "Subject: local\r\n\r\n")
        host.wait_for_log("send", "failure: ", 2)
        host.wait_for_log("send", "deferral: CNAME_lookup|deferral: Sorry,_I_couldn't_find_any_host_by_that_name", 2)
        joe.wait_for_mail(3)
    # Now there is none at all.
    host.environment["DNSCACHEIP"] = "127.0.0.1@9"
    host.stop_service("send")
    host.run("send", "qmail-start", "./Maildir/")
    host.wait_for_log("send", "exiting(.|\n)*status: local")
    with smtplib.SMTP("127.0.0.1", host.port) as client:
        client.sendmail("s@a.example", ["x@gone.example", "joe@here.example"], "Subject: both\r\n\r\n")
    joe.wait_for_mail(4)
    host.wait_for_log("send", "exiting(.|\n)*deferral: Sorry,_I_couldn't_find_any_host_by_that_name")
    assert len(re.findall("failure: ", host.log())) == 2


@pytest.mark.prove
def test_q08_a_silent_name_server_defers(home: Path) -> None:
    (home / "control/me").write_text("here.example\n")
    with NameServer({}, twists={"silent.example": lambda _: None}) as names:
        done = subprocess.run(
            [BIN / "qmail-remote", "silent.example", "s@a", "r@silent.example"], input=b"x\n", capture_output=True,
            env={"QMAIL_HOME": str(home), "PATH": "/usr/bin:/bin", **names.environ}, timeout=100,
        )  # fmt: skip
    assert done.stdout == b"ZSorry, I couldn't find any host by that name. (#4.1.2)\n\0"


# ---- processes that are killed


HELPERS = ("qmail-clean", "qmail-rspawn", "qmail-lspawn", "zygote")


def family(host: Host) -> dict[str, int]:
    """Pids of what qmail-send's side and qmail-queued's are made of, once all of them are there."""
    send = host.services["send"].pid
    found: dict[str, int] = {}

    def all_there() -> bool:
        found.update({words[-1] if words[-1] == "zygote" else name: pid for pid, (name, words) in below(send).items()})
        return found.keys() >= set(HELPERS)

    wait_until(all_there)
    return {"qmail-send": send, "qmail-queued": host.services["queued"].pid, **found}


@pytest.mark.parametrize("name", ["qmail-send", *HELPERS, "qmail-queued"])
def test_q11_whatever_is_killed_mail_goes_on_once_it_is_started_again(host: Host, name: str) -> None:
    joe = host.user("joe")
    host.start()
    pids = family(host)
    for number in range(3):
        assert smtp(host, "joe@here.example", b"Subject: %d\r\n\r\n" % number)[0] == 250
    os.kill(pids[name], signal.SIGKILL)
    if name == "qmail-queued":
        host.services.pop("queued").wait(30)
        assert smtp(host, "joe@here.example", b"Subject: 3\r\n\r\n")[0] == 451
        host.run("queued", "qmail-queued")
        eventually("it accepts", lambda: smtp(host, "joe@here.example", b"Subject: 3\r\n\r\n")[0] == 250)
    elif name != "zygote":
        send = host.services.pop("send")
        assert send.wait(30) == (-signal.SIGKILL if name == "qmail-send" else 0)
        lost = {"qmail-clean": "qmail-clean connection", "qmail-send": ""}.get(name, "spawn connection")
        assert f"alert: oh no! lost {lost}! dying..." in host.log() or not lost
        wait_until(lambda: not [pid for helper, pid in pids.items() if helper in HELPERS and running(pid)])
        since = len(host.log())
        host.run("send", "qmail-start", "./Maildir/")
        eventually("qmail-send", lambda: "status: local" in host.log()[since:])
    if name != "qmail-queued":
        assert smtp(host, "joe@here.example", b"Subject: 3\r\n\r\n")[0] == 250

    def all_there() -> bool:
        # What was being delivered by what was killed is deferred.
        host.services["send"].send_signal(signal.SIGALRM)
        return all(any(b"Subject: %d\n" % number in text for text in joe.mail()) for number in range(4))

    eventually("all mail", all_there)
    eventually("all done", lambda: not [path for path in host.queued() if {"todo", "info"} & set(path.parts)])


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# ---- logs


@pytest.mark.prove
def test_q12_mail_goes_on_while_the_disk_of_the_log_is_full_and_no_line_is_lost(system: Sending) -> None:
    logs = system.home.parent / "logs"
    logs.mkdir()
    os.chown(logs, pwd.getpwnam("qmaill").pw_uid, -1)
    with small_disk(logs, "size=1m"):
        (logs / "ballast").write_bytes(bytes(free(logs) - 8192))
        system.start("./Mailbox", f"{BIN}/multilog", "s16000000", str(logs / "main"), wait=None)
        many = [f"good{number:04}-{'x' * 100}@here.example" for number in range(400)]
        system.until("no queue", lambda: (system.home / "qs/notes").exists())
        for at in range(0, 400, 100):
            system.submit("s@x", many[at : at + 100])
        system.wait("multilog: warning: unable to write to .*, pausing: out of disk space")
        system.until("not delivered", lambda: len(system.orders()) == 400 and not system.files())
        (logs / "ballast").unlink()
        system.signal(signal.SIGTERM)
        assert system.ended() == 0
        log = logs / "main/current"
        system.until("not written", lambda: log.read_bytes().endswith(b"status: exiting\n"))
        text = log.read_bytes()
    assert (text.count(b": success: "), text.count(b"\nend msg ")) == (400, 4)


# ---- restored queues, read-only disks


def test_q16_on_a_disk_that_became_read_only_nothing_is_delivered_again_and_it_heals(system: Sending) -> None:
    system.start()
    system.submit("s@x", ["hold@here.example"])
    system.submit("s@x", ["again@here.example"])
    system.wait("^delivery 2: deferral")
    system.until("not written", lambda: system.kinds().count("local") == 2)
    with read_only(system.queue):
        talk = Talk(system.home)
        talk.say(message(b"x\n"))
        assert talk.answer()[0] == b"63"
        (system.home.parent / "hold-hold@here.example").touch()
        system.wait("^delivery 1: success")
        system.wait("^warning: ")
        assert len(system.orders()) == 2
    system.signal(signal.SIGALRM)
    system.wait("^end msg", 2)
    talk.say(message(b"x\n", b"Fs@x\0Tgood@here.example\0\0"))
    assert talk.answer()[0] == b"0"
    system.wait("^end msg", 3)
    assert system.stop() == 0
    assert sorted(system.orders()) == ["again@here.example"] * 2 + ["good@here.example", "hold@here.example"]


def test_q17_a_queue_whose_numbers_are_not_inodes_is_delivered(system: Sending) -> None:
    system.start()
    system.submit("s@x", ["temp@here.example", "good@here.example"])
    system.until("not queued", lambda: system.kinds() == ["info", "local", "mess"])
    assert system.stop() == 0
    system.submit("s@x", ["good2@here.example"])
    # A backup brings names and contents back, and no inode numbers.
    for path in [path for path in system.queue.rglob("*") if path.is_file() and path.parent.name != "lock"]:
        copy = path.with_name("copy")
        subprocess.run(["cp", "-p", path, copy], check=True)
        copy.rename(path)
    before = {path.name for path in (system.queue / "mess").rglob("*") if path.is_file()}
    assert not [
        path for path in (system.queue / "mess").rglob("*") if path.is_file() and str(path.stat().st_ino) == path.name
    ]
    system.start()
    system.wait("^end msg")
    system.submit("s@x", ["good3@here.example"])
    system.wait("^end msg", 2)
    system.until("still there", lambda: len(before & {name.partition("/")[2] for name in system.files()}) == 1)
    assert system.stop() == 0
    assert system.orders() == [f"{name}@here.example" for name in ("temp", "good", "good2", "good3")]
