"""From inside each domain: what must not work does not, and what is needed does."""

from __future__ import annotations

import ast
import errno
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import TOP
from qmail.host import sandbox, syscalls

HAVE = sandbox.available()
DOMAINS = (
    "smtpd", "remote", "dns", "queued", "clean", "send", "tlsd", "stsd", "fetching", "tlsrptd", "verifyd", "authd",
    "authd that asks",
)  # fmt: skip
INTERNET = {"internet socket", "internet 6 socket", "connect", "bind to any port"}
ALWAYS = {"signal itself", "write /dev/null", "late import"}
OPEN = {  # of those whose reading is not confined
    "read control/me", "read what a link leads to", "read users/assign", "read /etc/passwd", "read /proc", "read alias",
    "list alias", "read mess", "list todo", "fork", "run a program", "local socket", "qq/socket",
}  # fmt: skip
WORKS = {
    "smtpd": {"read control/me", "read what a link leads to", "local socket", "qq/socket", "interfaces"},
    "remote": {
        "read control/me", "read what a link leads to", "local socket", "qq/socket", "interfaces", "write tcpto",
        "read /etc/passwd", "write trigger", *INTERNET,
    },
    "verifyd": {
        "read control/me", "read what a link leads to", "local socket", "qq/socket", "interfaces", "write tcpto",
        "read /etc/passwd", "write trigger", "fork", *INTERNET,
    },
    "dns": {"local socket", "qq/socket", "interfaces", "read /etc/passwd", *INTERNET},
    "queued": {*OPEN, "write tcpto", "write trigger", "write mess", "make in pid", "from pid to mess"},
    "tlsd": set(),
    "authd": {"read control/me", "read what a link leads to", "read users/assign"},
    "authd that asks": {
        "read control/me", "read what a link leads to", "read users/assign", "local socket", "qq/socket",
    },
    "stsd": {
        "read control/me", "read what a link leads to", "local socket", "qq/socket", "interfaces", "read /etc/passwd",
        "fork", "make in sts", *INTERNET,
    },
    "fetching": {"local socket", "qq/socket", "interfaces", "read /etc/passwd", *INTERNET},
    "tlsrptd": {"make in tlsrpt"},
    "clean": {"read mess", "list todo", "write mess", "make in pid", "from pid to mess"},
    "send": {*OPEN, "write tcpto", "write trigger", "make in info", "make in qs"},
}  # fmt: skip


@pytest.fixture
def tries(home: Path, tmp_path: Path) -> Iterator[Callable[[str], tuple[dict[str, int], dict[str, int]]]]:
    """What came of each try in a domain. As root, so that it is the domain that forbids, and not the user."""
    (home / "control/me").write_text("here.example\n")
    (home / "control/late").write_text("late.example\n")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/name").write_text("there.example\n")
    (home / "control/helohost").symlink_to(tmp_path / "elsewhere/name")
    (home / "users/assign").write_text(".\n")
    (home / "alias/.qmail-root").write_text("&joe\n")
    (home / "queue/mess/0/23").write_text("Subject: x\n\n")
    abstract = f"pyqmail-test-{os.getpid()}"
    with (
        socket.socket(socket.AF_UNIX) as queued,
        socket.socket(socket.AF_UNIX) as foreign,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        queued.bind(str(home / "qq/socket"))
        queued.listen()
        foreign.bind("\0" + abstract)
        foreign.listen()

        def run(domain: str) -> tuple[dict[str, int], dict[str, int]]:
            script = Path(__file__).with_name("confined.py")
            words = [
                "/usr/bin/python3",
                "-IS",
                script,
                TOP / "src",
                home,
                domain,
                str(server.getsockname()[1]),
                abstract,
            ]
            done = subprocess.run(words, capture_output=True, timeout=30, check=False)
            assert done.returncode == 0, done.stderr.decode()
            before, found = ast.literal_eval(done.stdout.decode())
            return before, found

        yield run


def test_this_kernel_has_all_of_it() -> None:
    """What doctor tells; a kernel that is too old fails here, and the programs go on without."""
    assert HAVE.seccomp
    assert HAVE.landlock >= sandbox.LEAST_ABI


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_domain_holds_what_is_needed_and_nothing_else(
    tries: Callable[[str], tuple[dict[str, int], dict[str, int]]], domain: str
) -> None:
    before, found = tries(domain)
    calls = {name: found.pop(name) for name in syscalls.FORBIDDEN if name in found}
    assert set(calls.values()) == {errno.EPERM}, calls
    if os.geteuid() == 0:
        assert errno.EPERM not in before.values(), before
    assert found.pop("clone with a namespace") == errno.EPERM
    assert found.pop("clone3") == errno.ENOSYS
    assert found.pop("another machine's call") == errno.EPERM
    for name, needs in (("bind", 4), ("abstract socket", 6), ("signal the parent", 6)):
        outcome = found.pop(name)
        assert outcome in (errno.EPERM, errno.EACCES) or HAVE.landlock < needs, name
    works = {name for name, outcome in found.items() if outcome == 0}
    assert works == WORKS[domain] | ALWAYS
    assert {outcome for outcome in found.values() if outcome} <= {errno.EPERM, errno.EACCES, errno.EXDEV}


def test_what_the_kernel_lacks_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "MACHINES", {})
    monkeypatch.setattr(sandbox, "_kernel", None)
    monkeypatch.setattr(sandbox, "LEAST_ABI", 1000)
    none = sandbox.available()
    assert (none.landlock, none.seccomp) == (0, False)
    pid = os.fork()
    if not pid:
        try:
            sandbox.enter(sandbox.Domain())
            open("/etc/passwd").close()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_process_that_starts_itself_anew_again_and_again_is_confined_each_time(tmp_path: Path) -> None:
    """The kernel takes 16 domains, one in the other; after that, the last one counts."""
    pid = os.fork()
    if not pid:
        try:
            for _ in range(20):
                sandbox.enter(sandbox.Domain(changes=[os.fsencode(tmp_path)], starts=True))
            (tmp_path / "file").write_text("x")
            try:
                (tmp_path.parent / "file").write_text("x")
            except PermissionError:
                os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.parametrize(("column", "architecture"), [(0, 0xC000003E), (1, 0xC00000B7)])
@pytest.mark.parametrize("starts", [True, False])
def test_a_filter_decides_as_its_tables_say(column: int, architecture: int, starts: bool) -> None:
    """The program is run here as the kernel runs it, for machines that this one is not."""
    domain = sandbox.Domain(families=(1, 16), starts=starts)
    program = sandbox._program(column, domain)
    allowed, eperm, enosys = 0x7FFF0000, 0x00050001, 0x00050026
    forbidden = {row[column] for row in syscalls.FORBIDDEN.values()}
    starting = {row[column] for row in syscalls.STARTING.values()}
    for number in range(500):
        if number in (syscalls.SOCKET[column], syscalls.CLONE[column]):
            continue
        bad = number in forbidden or (not starts and number in starting)
        wanted = enosys if number == syscalls.CLONE3[column] else eperm if bad else allowed
        assert decided(program, number, architecture) == wanted, number
    assert decided(program, 39 if column else 165, architecture ^ 1) == eperm
    assert decided(program, 0x40000001, architecture) == eperm
    for family, verdict in ((1, allowed), (16, allowed), (2, eperm), (10, eperm), (17, eperm)):
        assert decided(program, syscalls.SOCKET[column], architecture, family) == verdict
    for flags, verdict in ((17, allowed), (0x10000000, eperm), (0x02000000, eperm), (0x00020000, eperm)):
        assert decided(program, syscalls.CLONE[column], architecture, flags) == (verdict if starts else eperm)


def decided(program: bytes, number: int, architecture: int, argument: int = 0) -> int:
    """What this filter answers: the five instructions it is made of, run one by one."""
    data = {0: number, 4: architecture, 16: argument}
    lines = list(sandbox._INSTRUCTION.iter_unpack(program))
    at = value = 0
    while True:
        code, true, false, constant = lines[at]
        at += 1
        if code == 0x06:
            return int(constant)
        if code == 0x20:
            value = data[constant]
        else:
            met = {0x15: value == constant, 0x35: value >= constant, 0x45: bool(value & constant)}[code]
            at += true if met else false
