"""qmail-takeover and qmail-giveback: the programs change, everything else stays."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import cqmail
from conftest import BIN, Run, needs_root
from qmail.formats import cdb, tcprules

pytestmark = needs_root


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A home of C qmail."""
    return cqmail.make(tmp_path / "qmail")


def env(home: Path) -> dict[str, str]:
    return {"QMAIL_HOME": str(home)}


def take(program: Run, home: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    return program("qmail-takeover", "--services", str(home / "nowhere"), *words, env=env(home))


def test_the_programs_change_places_and_no_setuid_bit_is_left(old: Path, program: Run) -> None:
    before = cqmail.picture(old)
    done = take(program, old)
    assert (done.returncode, done.stderr) == (0, b"")
    for name in ("qmail-send", "qmail-queue", "sendmail", "qmail-takeover"):
        assert b"# pyqmail " + name.encode() in (old / "bin" / name).read_bytes()
    assert not [
        path for path in (*(old / "bin").iterdir(), *(old / "bin.qmail-c").iterdir()) if path.stat().st_mode & 0o6000
    ]
    assert (old / "bin.qmail-c/qmail-queue").read_bytes() == Path("/bin/true").read_bytes()
    after = cqmail.picture(old)
    for name, seen in before.items():
        if not name.startswith("bin"):
            assert after[name] == seen, name
    helped = subprocess.run([old / "bin/qmail-qstat"], env=env(old), capture_output=True, cwd="/", timeout=60)
    assert helped.stdout == b"messages in queue: 0\nmessages in queue but not yet preprocessed: 0\n"


def test_giving_back_keeps_every_byte_owner_and_mode(old: Path, program: Run) -> None:
    queue = cqmail.Queue(old)
    queue.queued(b"x\n", b"a@b", [b"Tjoe@here.example", b"Dann@here.example"])
    queue.waiting(b"y\n", b"a@b", [b"joe@here.example"])
    script = old / "bin/my-filter"
    script.write_text("#!/bin/sh\nexec cat\n")
    script.chmod(0o6755)
    (old / "bin/extra").mkdir()
    (old / "bin/extra/thing").write_text("t")
    before = cqmail.picture(old)
    assert take(program, old).returncode == 0
    assert (old / "bin/my-filter").stat().st_mode & 0o7777 == 0o6755
    assert (old / "bin/extra/thing").read_text() == "t"
    assert take(program, old).returncode == 0
    done = subprocess.run([old / "bin/qmail", "giveback"], env=env(old), capture_output=True, cwd="/", timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    after = cqmail.picture(old)
    assert after == before
    assert program("qmail-giveback", env=env(old)).returncode == 100


def test_what_came_into_bin_meanwhile_is_kept(old: Path, program: Run) -> None:
    assert take(program, old).returncode == 0
    (old / "bin/new-tool").write_text("new")
    (old / "bin/qmail-queue").unlink()
    (old / "bin/qmail-queue").write_text("#!/bin/sh\nfilter\n")
    done = program("qmail-giveback", env=env(old))
    assert done.returncode == 0
    assert (old / "bin/new-tool").read_text() == "new"
    assert (old / "bin/qmail-queue").stat().st_mode & 0o7777 == 0o4711
    assert [path.name for path in (old / "bin.pyqmail").iterdir()] == ["qmail-queue"]
    assert os.fsencode(old / "bin.pyqmail") in done.stdout


def test_nothing_happens_while_qmail_send_runs(old: Path, program: Run) -> None:
    before = cqmail.picture(old)
    with open(old / "queue/lock/sendmutex", "r+b") as mutex:
        fcntl.flock(mutex, fcntl.LOCK_EX)
        done = take(program, old)
        assert done.returncode == 111
        assert b"qmail-send is running" in done.stderr
        assert take(program, old, "--dry-run").returncode == 0
        assert cqmail.picture(old) == before
    assert take(program, old).returncode == 0
    with open(old / "queue/lock/sendmutex", "r+b") as mutex:
        fcntl.flock(mutex, fcntl.LOCK_EX)
        assert program("qmail-giveback", env=env(old)).returncode == 111


def test_a_service_is_stopped_and_started_again(old: Path, program: Run, tmp_path: Path) -> None:
    service = tmp_path / "service"
    service.mkdir()
    mutex = old / "queue/lock/sendmutex"
    (service / "run").write_text(f"#!/bin/sh\necho up >> {tmp_path}/ups\nexec 9<>{mutex}\nflock 9\nexec sleep 1000\n")
    (service / "run").chmod(0o755)
    supervise = subprocess.Popen([BIN / "supervise", service])
    try:
        subprocess.run(["/bin/sh", "-c", f"until ! flock -n {mutex} true; do sleep 0.05; done"], check=True, timeout=30)
        assert take(program, old, "--stop", str(service)).returncode == 0
        assert (old / "bin.qmail-c").exists()
        subprocess.run(
            ["/bin/sh", "-c", f"until test $(wc -l < {tmp_path}/ups) = 2; do sleep 0.05; done"], check=True, timeout=30
        )
    finally:
        program("svc", "-dx", str(service))
        supervise.wait(30)


def test_another_split_is_left_as_it_is(tmp_path: Path, program: Run) -> None:
    home = cqmail.make(tmp_path / "qmail", split=7)
    assert take(program, home).returncode == 0
    assert sorted(path.name for path in (home / "queue/mess").iterdir()) == sorted(map(str, range(7)))


@pytest.mark.parametrize("kind", ["todo", "intd"])
def test_a_divided_todo_is_in_the_way(old: Path, program: Run, kind: str) -> None:
    (old / "queue" / kind / "3").mkdir()
    for words in ([], ["--dry-run"]):
        done = take(program, old, *words)
        assert done.returncode == 100
        assert b"in the way: queue/" + kind.encode() in done.stdout
    assert not (old / "bin.qmail-c").exists()


def test_our_own_home_is_not_taken_over(home: Path, program: Run) -> None:
    done = take(program, home)
    assert (done.returncode, b"ours already" in done.stderr) == (100, True)


CALLS = ("renameat2", "rename", "link,linkat", "fchmod", "mkdir", "chown,lchown,fchownat", "rmdir", "unlink,unlinkat")
# The first deaths of each kind; with `make prove-all` more of them.
DEATHS = (1, 2, 3, 9) if os.environ.get("PYQMAIL_PROVE") == "all" else (1, 3)


@pytest.mark.parametrize(
    ("calls", "times"), [(("renameat2",), (1,)), pytest.param(CALLS, DEATHS, marks=pytest.mark.prove)]
)
def test_a_death_at_any_step_is_mended_by_doing_it_again(
    tmp_path: Path, program: Run, calls: tuple[str, ...], times: tuple[int, ...]
) -> None:
    """It is killed at such calls: `strace` makes it die there."""
    home = cqmail.make(tmp_path / "qmail")
    (home / "bin/my-filter").write_text("mine")
    before = cqmail.picture(home)
    for call in calls:
        for when in times:
            for name in ("qmail-takeover", "qmail-giveback"):
                words = [name, "--services", str(home / "nowhere")] if name == "qmail-takeover" else [name]
                killed = program(
                    shutil.which("strace") or "strace", "-f", "-o", "/dev/null", "-e",
                    f"inject={call}:signal=KILL:when={when}", BIN / words[0], *words[1:], env=env(home),
                )  # fmt: skip
                assert killed.returncode in (0, -9, 137), killed.stderr
                again = program(*words, env=env(home))
                assert again.returncode in ((0,) if name == "qmail-takeover" else (0, 100)), again.stderr
                if name == "qmail-takeover":
                    assert (home / "bin.qmail-c/qmail-send").read_bytes() == Path("/bin/true").read_bytes()
                    assert (home / "bin/my-filter").read_text() == "mine"
            assert cqmail.picture(home) == before, (call, when)


def injected(program: Run, home: Path, word: str, *faults: str) -> int:
    """Run one of the two with such faults of the system. Returns its code."""
    words = ["--services", str(home / "nowhere")] if word == "takeover" else []
    inject = [part for fault in faults for part in ("-e", f"inject={fault}")]
    strace = shutil.which("strace") or "strace"
    return program(strace, "-f", "-o", "/dev/null", *inject, BIN / f"qmail-{word}", *words, env=env(home)).returncode


NO_EXCHANGE = "renameat2:error=EINVAL"


def test_a_file_system_that_cannot_exchange_names_is_good_enough(old: Path, program: Run) -> None:
    before = cqmail.picture(old)
    assert injected(program, old, "takeover", NO_EXCHANGE) == 0
    assert (old / "bin.qmail-c/qmail-send").read_bytes() == Path("/bin/true").read_bytes()
    assert b"# pyqmail qmail-send" in (old / "bin/qmail-send").read_bytes()
    assert injected(program, old, "giveback", NO_EXCHANGE) == 0
    assert cqmail.picture(old) == before


@pytest.mark.prove
def test_a_death_between_two_renames_of_the_exchange_is_mended(old: Path, program: Run) -> None:
    before = cqmail.picture(old)
    launchers = len(list(BIN.iterdir()))
    for when in range(launchers, launchers + 12):
        assert injected(program, old, "takeover", NO_EXCHANGE, f"rename:signal=KILL:when={when}") in (0, -9, 137)
        assert take(program, old).returncode == 0, when
        assert b"# pyqmail qmail-send" in (old / "bin/qmail-send").read_bytes()
        assert (old / "bin.qmail-c/qmail-send").read_bytes() == Path("/bin/true").read_bytes()
        assert injected(program, old, "giveback", NO_EXCHANGE, f"rename:signal=KILL:when={when % 5 + 1}") in (
            0,
            -9,
            137,
        )
        assert program("qmail-giveback", env=env(old)).returncode in (0, 100), when
        assert cqmail.picture(old) == before, when


def compile_rules(path: Path, text: bytes) -> None:
    path.write_bytes(cdb.make(tcprules.records(list(tcprules.rules(text.splitlines(True))))))


REPORTED = {
    "no rcpthosts": (b"control/rcpthosts is missing", lambda home: (home / "control/rcpthosts").unlink()),
    "a patch's file": (b"control/dh2048.pem is not of qmail", lambda home: write(home, "control/dh2048.pem")),
    "many at once": (b"control/concurrencyremote is 500", lambda home: write(home, "control/concurrencyremote", "500")),
    "a size limit": (b"control/databytes is set", lambda home: write(home, "control/databytes", "1000\n")),
    "a filter": (b"bin/qmail-queue is a script", lambda home: write(home, "bin/qmail-queue", "#!/bin/sh\n")),
    "little memory": (b"softlimit -m 3000000 is too little", lambda home: run(home, "softlimit -m 3000000 x")),
    "a patch's AUTH": (b"qmail-smtpd is given arguments", lambda home: run(home, "tcpserver 0 25 qmail-smtpd h cp")),
    "users": (b"has rules for users (joe@", lambda home: ruled(home, b"joe@1.2.3.4:allow\n")),
    "no IPv6": (b"none for IPv6", lambda home: ruled(home, b'127.:allow,RELAYCLIENT=""\n:allow\n')),
    "a variable": (b"sets SPFBEHAVIOR", lambda home: ruled(home, b':allow,SPFBEHAVIOR="3"\n')),
    "a capital": (b"wildcards that end in a capital", lambda home: write(home, "users/cdb", cdb.make([(b"", b"Z-")]))),
    "a link": (b"a link in a directory that is not the user's", lambda home: linked(home)),
    "setuid": (b"bin/vchkpw is setuid", lambda home: write(home, "bin/vchkpw", "x", 0o4755)),
    "another mark": (b"in the way: the old programs divide", lambda home: write(
        home, "bin/qmail-showctl", "#!/bin/sh\necho 'user-ext delimiter: +.'\n", 0o755)),
}  # fmt: skip


def write(home: Path, name: str, text: str | bytes = "x", mode: int = 0o644) -> None:
    (home / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    (home / name).chmod(mode)


def run(home: Path, command: str) -> None:
    (home / "supervise/smtpd").mkdir(parents=True)
    write(home, "supervise/smtpd/run", f"#!/bin/sh\nexec {command} 2>&1\n", 0o755)


def linked(home: Path) -> None:
    (home.parent / "spool").mkdir()
    (home.parent / "spool/joe").symlink_to("elsewhere")
    (home.parent / "joe").mkdir()
    os.chown(home.parent / "joe", 4242, 4242)
    write(home, "../joe/.qmail", f"{home.parent}/spool/joe\n")
    record = f"joe\0{4242}\0{4242}\0{home.parent}/joe\0\0".encode()
    write(home, "users/cdb", cdb.make([(b"!joe\0", record), (b"", b"")]))


def ruled(home: Path, text: bytes) -> None:
    compile_rules(home / "tcp.cdb", text)
    run(home, f"tcpserver -x {home}/tcp.cdb 0 25 {home}/bin/qmail-smtpd")


@pytest.mark.parametrize("case", REPORTED)
def test_a_difference_is_said_with_what_to_do(old: Path, program: Run, case: str) -> None:
    expected, prepare = REPORTED[case]
    plain = program("qmail-takeover", "--dry-run", "--services", str(old / "supervise"), env=env(old))
    assert plain.stdout == b"nothing in this configuration will be different\n"
    prepare(old)
    done = program("qmail-takeover", "--dry-run", "--services", str(old / "supervise"), env=env(old))
    assert expected in done.stdout
    assert done.returncode == (100 if b"in the way" in expected else 0)
    assert not (old / "bin.qmail-c").exists()
