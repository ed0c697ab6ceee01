"""qmail-lspawn: local deliveries, each as the user it is for, by processes that stay or by programs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import BIN, TOP, alive, needs_root, wait_until
from qmail.protocols import spawn
from sender import Sender

ROOT = os.geteuid() == 0
MAILBOX = "./Mailbox"


class Users:
    """Homes and assignments; as root of users of their own, else all ours."""

    def __init__(self, home: Path, owner: int | None = None) -> None:
        self.home, self.owner = home, owner
        self.assign: list[str] = []
        self.uids: dict[str, int] = {}

    def add(self, name: str, uid: int, *, maildir: bool = False) -> Path:
        """A user, for all the addresses NAME and NAME-ext."""
        if not ROOT or self.owner is not None:
            uid = self.owner or os.geteuid()
        place = self.home.parent / name
        place.mkdir()
        place.chmod(0o755)
        for part in ("", "/tmp", "/new", "/cur") if maildir else ():
            Path(f"{place}/Maildir{part}").mkdir()
        self.uids[name] = uid
        self.give(place, uid)
        self.assign += [f"={name}:{name}:{uid}:{uid}:{place}:::\n", f"+{name}-:{name}:{uid}:{uid}:{place}:-::\n"]
        self.write()
        return place

    def give(self, place: Path, uid: int) -> None:
        if ROOT:
            for path in (place, *place.rglob("*")):
                os.chown(path, uid, uid)

    def write(self) -> None:
        """users/assign and users/cdb."""
        (self.home / "users/assign").write_text("".join(self.assign) + ".\n")
        done = subprocess.run(
            [BIN / "qmail-newu"], env={"QMAIL_HOME": str(self.home)}, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def says(self, place: Path, text: str, name: str = ".qmail") -> None:
        """A .qmail file."""
        (place / name).write_text(text)
        (place / name).chmod(0o600)
        self.give(place, os.stat(place).st_uid)


@pytest.fixture
def users(home: Path) -> Users:
    return Users(home)


@pytest.fixture
def started(home: Path) -> Iterator[list[Sender]]:
    """Spawners to be ended at the end of the test."""
    senders: list[Sender] = []
    yield senders
    for sender in senders:
        if sender.process.poll() is None:
            assert sender.end() == 0


def spawner(started: list[Sender], home: Path, default: str = MAILBOX, **more: object) -> Sender:
    started.append(Sender(home, "qmail-lspawn", default, **more))  # type: ignore[arg-type]
    return started[-1]


def deliver(sender: Sender, *recipients: bytes, text: bytes = b"Subject: t\n\nhello\n") -> list[bytes]:
    """One message to each; the reports."""
    name = sender.message(1, text)
    sender.order(*((number, name, b"s@a.example", recipient) for number, recipient in enumerate(recipients)))
    reports = sender.reports(len(recipients))
    return [reports[number] for number in range(len(recipients))]


def below(pid: int) -> dict[int, tuple[str, list[str]]]:
    """Name and arguments of the processes that a spawner has made."""
    parents, found = {}, {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                fields = (path / "stat").read_text().rpartition(")")[2].split()
                if fields[0] != "Z":
                    parents[int(path.name)] = int(fields[1])
                    words = (path / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
                    found[int(path.name)] = ((path / "comm").read_text().strip(), [os.fsdecode(word) for word in words])
            except OSError:
                continue
    family = {pid}
    while more := {each for each, parent in parents.items() if parent in family} - family:
        family |= more
    return {each: found[each] for each in family - {pid} if each in found}


def workers(sender: Sender) -> list[int]:
    return [pid for pid, (name, _) in below(sender.process.pid).items() if name == "qmail-local"]


WHO = '|echo "$PPID $(id -u) $(id -g) $(id -G)"\n'


def test_deliveries_for_one_user_are_made_by_one_process_that_stays(
    home: Path, users: Users, started: list[Sender]
) -> None:
    users.says(users.add("joe", 4242), WHO)
    sender = spawner(started, home)
    first, second = deliver(sender, b"joe@h")[0], deliver(sender, b"joe@h")[0]
    assert first == second
    pid = int(first[1:].split()[0])
    name, words = below(sender.process.pid)[pid]
    assert name == "qmail-local" and words[:2] == ["qmail-local", "joe"]
    uid = b"%d" % users.uids["joe"]
    if ROOT:
        assert first.split()[1:4] == [uid, uid, uid]
        assert os.stat(f"/proc/{pid}/cwd").st_ino == os.stat("/").st_ino


@needs_root
def test_no_two_users_share_a_process(home: Path, users: Users, started: list[Sender]) -> None:
    for name, uid in (("joe", 4242), ("ann", 4243)):
        users.says(users.add(name, uid), WHO)
    sender = spawner(started, home)
    joe, ann = deliver(sender, b"joe@h", b"ann@h")
    assert (joe.split()[1], ann.split()[1]) == (b"4242", b"4243")
    assert joe.split()[0] != ann.split()[0]


@needs_root
def test_a_worker_keeps_nothing_of_root(home: Path, users: Users, started: list[Sender]) -> None:
    users.says(users.add("joe", 4242), WHO)
    sender = spawner(started, home)
    pid = int(deliver(sender, b"joe@h")[0][1:].split()[0])
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert status["Uid"].split() == ["4242"] * 4 and status["Gid"].split() == ["4242"] * 4
    assert status["Groups"].split() == ["4242"]
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    open_files = {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()}
    others = {file for file in open_files if not file.startswith("socket:") and file != "/dev/null"}
    assert others == {f"/proc/{pid}/mem"}, "nothing but its link, and its own memory for its name"
    assert sum(file.startswith("socket:") for file in open_files) == 1


def test_many_messages_to_a_maildir_come_in_few_packets_and_all_arrive(
    home: Path, users: Users, started: list[Sender]
) -> None:
    place = users.add("joe", 4242, maildir=True)
    sender = spawner(started, home, "./Maildir/", wide=True)
    for _ in range(3):
        assert set(deliver(sender, *[b"joe@h"] * 100)) == {b"Kdid 1+0+0\n"}
    messages = list((place / "Maildir/new").iterdir())
    assert len(messages) == 300 and not list((place / "Maildir/tmp").iterdir())
    lines = b"Return-Path: <s@a.example>\nDelivered-To: joe@h\n"
    assert {path.read_bytes() for path in messages} == {lines + b"Subject: t\n\nhello\n"}
    assert len(workers(sender)) <= 3


def test_messages_for_many_addresses_in_one_maildir_each_say_for_whom(
    home: Path, users: Users, started: list[Sender]
) -> None:
    place = users.add("joe", 4242, maildir=True)
    users.says(place, "./Maildir/\n", ".qmail-default")
    sender = spawner(started, home, wide=True)
    addresses = [b"joe-%d@h" % number for number in range(100)]
    assert set(deliver(sender, *addresses)) == {b"Kdid 1+0+0\n"}
    lines = {path.read_bytes().split(b"\n")[1] for path in (place / "Maildir/new").iterdir()}
    assert lines == {b"Delivered-To: " + address for address in addresses}
    assert len(workers(sender)) <= 2


def test_many_messages_to_an_mbox_stand_one_behind_the_other(home: Path, users: Users, started: list[Sender]) -> None:
    place = users.add("joe", 4242)
    sender = spawner(started, home)
    assert set(deliver(sender, *[b"joe@h"] * 60)) == {b"Kdid 1+0+0\n"}
    assert (place / "Mailbox").read_bytes().count(b"hello\n\n") == 60


def test_programs_of_one_user_run_at_the_same_time(home: Path, users: Users, started: list[Sender]) -> None:
    # Each waits until all five have begun.
    place = users.add("joe", 4242)
    users.says(place, "|mkdir $HOME/$$; until [ $(ls -d [0-9]* | wc -l) -ge 5 ]; do sleep .02; done; echo done\n")
    reports = deliver(spawner(started, home), *[b"joe@h"] * 5)
    assert set(reports) == {b"Kdone\ndid 0+0+1\n"}


def test_files_and_programs_of_one_user_may_come_mixed(home: Path, users: Users, started: list[Sender]) -> None:
    place = users.add("joe", 4242, maildir=True)
    users.says(place, "./Maildir/\n")
    users.says(place, "./Maildir/\n|cat\n", ".qmail-both")
    users.says(place, "#\n", ".qmail-none")
    recipients = [b"joe@h", b"joe-both@h", b"joe-none@h", b"joe-gone@h"] * 5
    reports = deliver(spawner(started, home), *recipients)
    assert reports[:4] == [
        b"Kdid 1+0+0\n",
        b"KSubject: t\n\nhello\ndid 1+0+1\n",
        b"Kdid 0+0+0\n",
        b"DSorry, no mailbox here by that name. (#5.1.1)\n",
    ]
    assert reports == reports[:4] * 5
    assert len(list((place / "Maildir/new").iterdir())) == 10


def test_one_message_that_loops_does_not_hold_up_the_others(home: Path, users: Users, started: list[Sender]) -> None:
    place = users.add("joe", 4242, maildir=True)
    sender = spawner(started, home, "./Maildir/")
    names = [sender.message(1, b"A: b\n\nx\n"), sender.message(2, b"Delivered-To: joe@h\n\nx\n")]
    sender.order(*((number, names[number % 2], b"s@a", b"joe@h") for number in range(8)))
    reports = sender.reports(8)
    assert {number for number, text in reports.items() if text.startswith(b"K")} == {0, 2, 4, 6}
    assert reports[1] == b"DThis message is looping: it already has my Delivered-To line. (#5.4.6)\n"
    assert len(list((place / "Maildir/new").iterdir())) == 4


def test_a_worker_that_is_killed_has_its_jobs_deferred(home: Path, users: Users, started: list[Sender]) -> None:
    place = users.add("joe", 4242)
    users.says(place, "|kill -9 $PPID; echo was there\n")
    sender = spawner(started, home)
    assert deliver(sender, b"joe@h") == [b"Zqmail-local crashed.\n"]
    users.says(place, "|echo again\n")
    assert deliver(sender, b"joe@h") == [b"Kagain\ndid 0+0+1\n"]


def test_hup_lets_the_workers_go(home: Path, users: Users, started: list[Sender]) -> None:
    users.says(users.add("joe", 4242), WHO)
    sender = spawner(started, home)
    first = deliver(sender, b"joe@h")[0]
    sender.process.send_signal(signal.SIGHUP)
    wait_until(lambda: not workers(sender))
    assert deliver(sender, b"joe@h")[0].split()[0] != first.split()[0]


def test_a_new_users_cdb_counts_at_once_and_the_old_workers_go(home: Path, users: Users, started: list[Sender]) -> None:
    users.says(users.add("joe", 4242), WHO)
    sender = spawner(started, home)
    assert deliver(sender, b"joe@h")[0].startswith(b"K")
    other = users.add("ann", 4243)
    users.assign = [line.replace(f":{home.parent}/joe:", f":{other}:") for line in users.assign]
    users.says(other, "|pwd\n")
    if ROOT:
        users.assign = [line.replace(":4242:4242:", ":4243:4243:") for line in users.assign]
    users.write()
    assert deliver(sender, b"joe@h") == [b"K%b\ndid 0+0+1\n" % os.fsencode(other)]
    wait_until(lambda: len(workers(sender)) == 1)


def replaced(home: Path) -> Path:
    """A bin/ of this home alone, in which programs can be replaced."""
    (home / "bin").unlink()
    (home / "bin").mkdir()
    for path in BIN.iterdir():
        (home / "bin" / path.name).symlink_to(path)
    return home / "bin"


def put(path: Path, text: str) -> None:
    new = path.parent / ".new"
    new.write_text(text)
    new.chmod(0o755)
    new.replace(path)


def test_a_replaced_qmail_local_is_run_from_when_it_is_there(home: Path, users: Users, started: list[Sender]) -> None:
    place = users.add("joe", 4242)
    programs = replaced(home)
    sender = spawner(started, home, "|echo ours")
    assert deliver(sender, b"joe@h") == [b"Kours\ndid 0+0+1\n"]
    put(programs / "qmail-local", '#!/bin/sh\necho "$@"; cat; pwd; echo "${QMAILSPAWN-unset}" >&2; exit ${CODE-0}\n')
    words = f"-- joe {place} joe-Ext - Ext h s@a.example |echo ours"
    assert deliver(sender, b"joe-Ext@h") == [f"K{words}\nSubject: t\n\nhello\n{home}\nunset\n".encode()]
    (programs / "qmail-local").unlink()
    assert deliver(sender, b"joe@h") == [b"ZUnable to run qmail-local.\n"]
    (programs / "qmail-local").symlink_to(BIN / "qmail-local")
    assert deliver(sender, b"joe@h") == [b"Kours\ndid 0+0+1\n"]


@pytest.mark.parametrize(
    ("code", "report"),
    [
        (0, b"Kx\n"), (111, b"Zx\n"), (71, b"Zx\n"), (100, b"Dx\n"), (1, b"Dx\n"),
        (112, b"ZInternal qmail-lspawn bug.\n"), (115, b"ZNFS failure in qmail-local.\n"),
    ],
)  # fmt: skip
def test_the_exit_code_of_a_replaced_qmail_local_decides(
    home: Path, users: Users, started: list[Sender], code: int, report: bytes
) -> None:
    users.add("joe", 4242)
    put(replaced(home) / "qmail-local", f"#!/bin/sh\necho x; exit {code}\n")
    assert deliver(spawner(started, home), b"joe@h") == [report]


def test_a_replaced_qmail_getpw_is_asked(home: Path, users: Users, started: list[Sender]) -> None:
    place = users.add("joe", 4242)
    uid = users.uids["joe"]
    record = "\\000".join(["joe", str(uid), str(uid), str(place), "-", "x", ""])
    put(replaced(home) / "qmail-getpw", f"#!/bin/sh\n[ $1 = gone ] && exit 116\nprintf '{record}'\n")
    users.says(place, "|echo $LOCAL $EXT\n", ".qmail-x")
    reports = deliver(spawner(started, home), b"who@h", b"gone@h")
    assert reports == [b"Kwho x\ndid 0+0+1\n", b"ZUnable to find alias user!\n"]


def test_without_zygote_and_looker_programs_do_their_work(home: Path, users: Users, started: list[Sender]) -> None:
    users.says(users.add("joe", 4242), WHO)
    (home / "alias").chmod(0o755)
    sender = spawner(started, home)
    wait_until(
        lambda: sorted(words[-1] for _, words in below(sender.process.pid).values()) == ["qmail-getpw", "zygote"]
    )
    for pid in below(sender.process.pid):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not below(sender.process.pid))
    report = deliver(sender, b"joe@h")[0]
    assert report.startswith(b"K") and report.split()[1] == b"%d" % users.uids["joe"]
    assert deliver(sender, b"nobody-has-this-name@h")[0][:1] in (b"D", b"Z")
    assert not below(sender.process.pid)


@pytest.mark.prove
def test_what_is_killed_of_its_company_is_started_again(home: Path, users: Users, started: list[Sender]) -> None:
    users.says(users.add("joe", 4242), WHO)
    (home / "alias").chmod(0o755)
    sender = spawner(started, home)

    def zygotes() -> list[int]:
        return [pid for pid, (_, words) in below(sender.process.pid).items() if words[-1] == "zygote"]

    def delivered_by_a_worker() -> bool:
        report = deliver(sender, b"joe@h")[0]
        assert report.startswith(b"K") and report.split()[1] == b"%d" % users.uids["joe"]
        return "qmail-local" in [name for pid in zygotes() for name, _ in below(pid).values()]

    for _ in range(2):
        wait_until(lambda: len(zygotes()) == 1)
        # Its workers would live on, and deliver.
        for pid in below(sender.process.pid):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not below(sender.process.pid))
        wait_until(delivered_by_a_worker, 60)
        deliver(sender, b"nobody-has-this-name@h")
        names = [(name, words[-1]) for name, words in below(sender.process.pid).values() if name != "qmail-local"]
        assert sorted(names) == [("qmail-getpw", "qmail-getpw"), ("qmail-lspawn", "zygote")]


def test_fault_090_what_a_program_leaves_in_the_background_is_waited_for(
    home: Path, users: Users, started: list[Sender]
) -> None:
    users.says(users.add("joe", 4242), "|(sleep .3; echo late) & echo now\n")
    assert deliver(spawner(started, home), b"joe@h") == [b"Know\ndid 0+0+1\nlate\n"]


def test_fault_090_a_program_may_write_a_hundred_megabytes(home: Path, users: Users, started: list[Sender]) -> None:
    users.says(users.add("joe", 4242), "|yes | head -c 100000000\n")
    report = deliver(spawner(started, home), b"joe@h")[0]
    assert report.startswith(b"Ky\ny\n") and report.endswith(b"\nError report too long, sorry.\n")
    assert len(report) <= 3001


@pytest.mark.parametrize(
    ("name", "report"),
    [
        (b"1/link", b"DInternal error: messid has nonnumerics. (#5.3.5)\n"),
        (b"2/2", b"Zqmail-spawn unable to open message. (#4.3.0)\n"),
        (b"3/3", b"ZSorry, message has wrong type. (#4.3.5)\n"),
        (b"4/4", b"Zqmail-spawn unable to open message. (#4.3.0)\n"),
        (b"9/" + b"9" * 99, b"DInternal error: messid too long. (#5.3.5)\n"),
    ],
)
def test_what_is_no_message_of_the_queue_is_not_delivered(
    home: Path, users: Users, started: list[Sender], name: bytes, report: bytes
) -> None:
    users.add("joe", 4242)
    mess = home / "queue/mess"
    os.mkfifo(mess / "3/3")
    (mess / "4/4").symlink_to("/etc/passwd")
    sender = spawner(started, home)
    sender.order((0, name, b"s@a", b"joe@h"))
    assert sender.reports(1) == {0: report}


@needs_root
def test_a_file_of_somebody_else_is_no_message(home: Path, users: Users, started: list[Sender]) -> None:
    users.add("joe", 4242)
    sender = spawner(started, home)
    name = sender.message(1)
    os.chown(home / "queue/mess" / name.decode(), 4242, 4242)
    sender.order((0, name, b"s@a", b"joe@h"))
    assert sender.reports(1) == {0: b"ZSorry, message has wrong owner. (#4.3.5)\n"}


def test_an_address_without_host_and_a_number_in_use_are_refused(
    home: Path, users: Users, started: list[Sender]
) -> None:
    users.says(users.add("joe", 4242), "|sleep .2\n")
    sender = spawner(started, home)
    name = sender.message(1)
    sender.order(
        (0, name, b"s@a", b"joe@h"), (0, name, b"s@a", b"joe@h"), (120, name, b"", b"joe@h"), (1, name, b"", b"x")
    )
    assert sender.reports(3) == {
        0: b"ZInternal error: delnum in use. (#4.3.5)\n",
        120: b"ZInternal error: delnum too big. (#4.3.5)\n",
        1: b"DSorry, address must include host name. (#5.1.3)\n",
    }
    assert sender.reports(1) == {0: b"Kdid 0+0+1\n"}


def test_the_wide_dialect_takes_a_thousand_deliveries(home: Path, users: Users, started: list[Sender]) -> None:
    place = users.add("joe", 4242, maildir=True)
    sender = spawner(started, home, "./Maildir/", wide=True)
    assert set(deliver(sender, *[b"joe@h"] * 1000)) == {b"Kdid 1+0+0\n"}
    assert sender.reader.limit == 1000
    assert len(list((place / "Maildir/new").iterdir())) == 1000


def test_when_the_orders_end_what_runs_is_still_reported(home: Path, users: Users, started: list[Sender]) -> None:
    users.says(users.add("joe", 4242), "|sleep .3; echo done\n")
    sender = spawner(started, home)
    sender.order((0, sender.message(1), b"s@a", b"joe@h"))
    assert sender.process.stdin
    sender.process.stdin.close()
    assert sender.reports(1) == {0: b"Kdone\ndid 0+0+1\n"}
    assert sender.process.wait(20) == 0


@pytest.mark.parametrize("program", [("qmail-lspawn", "./Mailbox"), ("qmail-rspawn",)])
def test_what_was_not_begun_when_qmail_send_died_is_left_to_the_next_one(home: Path, program: tuple[str, ...]) -> None:
    """That may have finished the message by now, and its number be another message's."""
    reader, writer = os.pipe2(0)
    read_report, report = os.pipe2(0)
    words, environment = [f"{home}/bin/{program[0]}", *program[1:]], {"QMAIL_HOME": str(home)}
    sender = f"import subprocess; subprocess.Popen({words}, stdin={reader}, stdout={report}); input()"
    qmail_send = subprocess.Popen(
        [sys.executable, "-c", sender], stdin=subprocess.PIPE, env=environment, pass_fds=(reader, report)
    )
    os.close(reader)
    os.close(report)
    with open(writer, "wb", buffering=0) as orders, open(read_report, "rb", buffering=0) as reports:
        assert reports.read(1)  # how many it takes
        qmail_send.communicate(b"\n", 20)
        (home / "queue/mess/1/1").write_bytes(b"Subject: of somebody else\n\n")
        orders.write(spawn.order(spawn.Order(0, b"1/1", b"s@a", b"joe@h"), wide=False))
        assert reports.read(100) == b"\0Zqmail-send is gone. (#4.3.0)\n\0"


HIDDEN = b"Subject: t\n\nhello\n" * 9000


def hidden(sender: Sender, *, named_twice: bool) -> tuple[bytes, Path]:
    """A message in a file that serves others later, or did; its name."""
    name = sender.message(1, HIDDEN)
    file = sender.home / "queue/mess" / os.fsdecode(name)
    file.chmod(0o640)
    if named_twice:
        (sender.home / "queue/mess/spare").hardlink_to(file)
    return name, file


@needs_root
@pytest.mark.parametrize("named_twice", [True, False])
@pytest.mark.parametrize("line", ["|cat /dev/stdin > seen", "|cat > seen", "|cat > /dev/null\n|cat /dev/stdin > seen"])
def test_a_program_gets_a_copy_of_a_file_that_serves_others_later(
    home: Path, users: Users, started: list[Sender], line: str, named_twice: bool
) -> None:
    """It may read its copy again by name, and keep it; of the file itself it may do neither (queue-files(5))."""
    place = users.add("joe", 4242)
    sender = spawner(started, home)
    name, file = hidden(sender, named_twice=named_twice)
    look = "|ls -iL /dev/stdin > inode; ls -l /proc/$$/fd > opened\n"
    users.says(place, f"{line}\n{look}")
    sender.order((0, name, b"s@a", b"joe@h"))
    assert sender.reports(1)[0].startswith(b"Kdid 0+0+")
    assert (place / "seen").read_bytes() == HIDDEN
    assert int((place / "inode").read_text().split()[0]) != file.stat().st_ino
    assert str(file) not in (place / "opened").read_text()


@needs_root
def test_so_does_a_replaced_qmail_local(home: Path, users: Users, started: list[Sender]) -> None:
    """Its user can have what it has open (ptrace(2)), and what is spliced from a file is not seen by a lease."""
    place = users.add("joe", 4242)
    put(replaced(home) / "qmail-local", '#!/bin/sh\ncd "$3" && ls -iL /dev/stdin > inode && cat /dev/stdin > seen\n')
    sender = spawner(started, home)
    name, file = hidden(sender, named_twice=True)
    sender.order((0, name, b"s@a", b"joe@h"))
    assert sender.reports(1)[0] == b"K"
    assert (place / "seen").read_bytes() == HIDDEN
    assert int((place / "inode").read_text().split()[0]) != file.stat().st_ino


def test_no_process_outlives_its_spawner(home: Path, users: Users, started: list[Sender]) -> None:
    users.says(users.add("joe", 4242), WHO)
    sender = spawner(started, home)
    deliver(sender, b"joe@h")
    family = list(below(sender.process.pid))
    assert len(family) == 3
    sender.process.kill()
    sender.process.wait(20)
    wait_until(lambda: not any(alive(pid) for pid in family))


@needs_root
def test_fault_066_root_is_never_delivered_to(home: Path, users: Users, started: list[Sender]) -> None:
    users.add("joe", 4242)
    users.assign = [line.replace(":4242:", ":0:") for line in users.assign]
    users.write()
    sender = spawner(started, home)
    assert deliver(sender, b"joe@h") == [b"ZNot allowed to perform deliveries as root.\n"]
    (home / "bin").unlink()
    (home / "bin").mkdir()
    assert deliver(sender, b"joe@h") == [b"ZNot allowed to perform deliveries as root.\n"]


@needs_root
def test_one_ordinary_user_can_have_a_system_of_his_own(tmp_path: Path, started: list[Sender]) -> None:
    home, uid = tmp_path / "own", 4711
    tmp_path.chmod(0o777)
    code = f"import sys; sys.path.insert(0, {str(TOP / 'src')!r}); from qmail.stores.installation import create; "
    code += f"create({os.fsencode(home)!r})"
    subprocess.run([sys.executable, "-c", code], user=uid, group=uid, extra_groups=[], check=True)
    shutil.rmtree(home / "bin")
    (home / "bin").symlink_to(BIN)
    users = Users(home, uid)
    users.says(users.add("joe", uid), WHO)
    (home / "alias/.qmail-root").write_text("|echo $USER; id -u\n")
    users.assign.append(f"=other:other:1234:1234:{home}:::\n")
    users.write()
    sender = spawner(started, home, user=uid)
    joe, other, root, gone = deliver(sender, b"joe@h", b"other@h", b"root@h", b"gone@h")
    assert joe.startswith(b"K") and joe.split()[1] == b"%d" % uid
    assert other == b"Zother has another uid than this system, which is that of one user. (#4.3.5)\n"
    assert root == b"Kalias\n%d\ndid 0+0+1\n" % uid
    assert gone == b"DSorry, no mailbox here by that name. (#5.1.1)\n"


def test_what_reads_mail_is_not_even_loaded_where_root_works() -> None:
    code = "import sys; import qmail.services.local_delivery; print(*sys.modules)"
    environment = {"PYTHONPATH": str(TOP / "src")}
    done = subprocess.run([sys.executable, "-S", "-c", code], env=environment, capture_output=True, check=True)
    loaded = set(done.stdout.decode().split())
    assert "qmail.programs.deliver.qmail_lspawn" in loaded
    reading = {"stores.message", "stores.maildir", "stores.mboxfile", "stores.userhome", "formats.dotqmail"}
    assert not loaded & {f"qmail.{name}" for name in reading}
    assert not loaded & {"socket", "re", "typing", "enum", "logging", "threading", "asyncio", "subprocess", "pickle"}
