"""Every call of qmail-lspawn itself fails once: no delivery fails for good, none is reported twice, none is lost.

The spawner may end where it cannot go on; qmail-send then starts another. Each call is tried in turn until one is
not reached any more.
"""

from __future__ import annotations

import os
import select
import subprocess
from pathlib import Path

import pytest

from conftest import BIN, needs_root
from qmail.protocols import spawn

pytestmark = [pytest.mark.prove, needs_root]

FAILING = [
    ("openat", "EMFILE"), ("openat", "EIO"), ("newfstatat", "EIO"), ("newfstatat", "ENOMEM"), ("socketpair", "EMFILE"),
    ("pipe2", "EMFILE"), ("clone", "EAGAIN"), ("clone", "ENOMEM"), ("sendmsg", "ENOBUFS"), ("sendmsg", "EAGAIN"),
    ("sendto", "EPIPE"), ("recvmsg", "ENOMEM"), ("recvfrom", "ECONNRESET"), ("read", "EIO"),
    ("epoll_ctl", "ENOMEM"), ("epoll_wait", "EINTR"), ("close", "EIO"),
]  # fmt: skip
MOST = 1000
ORDERS = ((1, b"joe@h"), (2, b"joe-prog@h"), (3, b"who-is-this@h"))


class Scene:
    def __init__(self, home: Path, top: Path) -> None:
        self.home, self.log, self.user = home, top / "log", top / "joe"
        for part in ("tmp", "new", "cur"):
            (self.user / "Maildir" / part).mkdir(parents=True)
        (self.user / ".qmail-prog").write_text("|echo ran\n")
        self.user.chmod(0o755)
        for path in (self.user, *self.user.rglob("*")):
            os.chown(path, 4242, 4242)
        account = f"joe:4242:4242:{self.user}"
        (home / "users/assign").write_text(f"=joe:{account}:::\n+joe-:{account}:-::\n.\n")
        subprocess.run([BIN / "qmail-newu"], env={"QMAIL_HOME": str(home)}, check=True)
        message = home / "queue/mess/1/1"
        message.write_text("Subject: t\n\nhello\n")
        os.chown(message, (home / "queue").stat().st_uid, -1)

    def first(self, call: str) -> int:
        """The number of the first call of this kind that is not the interpreter's start."""
        self.play(f"{call},chdir", "error=EIO", MOST)
        lines = self.log.read_text().splitlines()
        at = next(at for at, line in enumerate(lines) if line.startswith("chdir("))
        return sum(line.startswith(call + "(") for line in lines[:at]) + 1

    def play(self, call: str, what: str, number: int) -> tuple[int, list[tuple[int, bytes]], bool]:
        """Exit code, reports, and whether the call was reached at all."""
        strace = ["strace", "-qq", "-o", str(self.log), "-e", f"trace={call}"]
        argv = [*strace, "-e", f"inject={call}:{what}:when={number}", str(BIN / "qmail-lspawn"), "./Maildir/"]
        environment = {"PATH": "/usr/bin:/bin", "QMAIL_HOME": str(self.home)}
        pipe = subprocess.PIPE
        with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment) as process:
            assert process.stdin and process.stdout
            orders = [spawn.order(spawn.Order(number, b"1/1", b"s@a", to), False) for number, to in ORDERS]
            reader, reports = spawn.Reports(), []
            try:
                process.stdin.write(b"".join(orders))
                process.stdin.close()
            except BrokenPipeError:
                pass
            while select.select([process.stdout], [], [], 30)[0]:
                data = os.read(process.stdout.fileno(), 65536)
                if not data:
                    break
                reports += reader.feed(data)
            else:
                process.kill()
                raise AssertionError(f"{call} {what} {number}: it hangs, so far {reports}")
            return process.wait(30), reports, "INJECTED" in self.log.read_text()


@pytest.mark.parametrize(("call", "error"), FAILING)
def test_a_call_that_fails_loses_no_delivery(home: Path, tmp_path: Path, call: str, error: str) -> None:
    scene = Scene(home, tmp_path)
    for number in range(scene.first(call), MOST):
        code, reports, reached = scene.play(call, f"error={error}", number)
        told = dict(reports)
        assert len(told) == len(reports), "one report for each"
        # The account that answers for strangers has no mailbox of that name: a lasting failure of its own.
        assert all(text[:1] in (b"K", b"Z") for of, text in reports if of != 3), f"{number}: {reports}"
        # Orders that cannot be read any more have ended.
        assert code != 0 or len(told) == 3 or call == "read", f"{number}: {reports}"
        if not reached:
            assert code == 0 and told[1][:1] == told[2][:1] == b"K"
            return
    raise AssertionError("there is no end to it")
