"""fastforward, and the programs that make and show its files."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import BIN, Run, needs_root
from keeping import Keeper

TEXT = b"Subject: t\n\nhello\n"
VARIABLES = {
    "SENDER": "s@a.example", "RECIPIENT": "joe@b.example", "HOST": "b.example",
    "DTLINE": "Delivered-To: joe@b.example\n", "RPLINE": "Return-Path: <s@a.example>\n",
    "UFLINE": "From s@a.example Thu Jan  1 00:00:00 1970\n",
}  # fmt: skip
NO_MAILBOX = b"Sorry, no mailbox here by that name. (#5.1.1)\n"


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    return Keeper(tmp_path)


Forward = Callable[..., "tuple[int, bytes, bytes]"]


@pytest.fixture
def forward(home: Path, keeper: Keeper, program: Run, tmp_path: Path) -> Forward:
    """Compile a table, and run fastforward with it as qmail-local does: the message a file on descriptor 0."""

    def run(table: str, *words: str, text: bytes = TEXT, without: str = "", **more: str) -> tuple[int, bytes, bytes]:
        assert program("setforward", "t.cdb", "t.tmp", stdin=table.encode()).returncode == 0
        env = {"PATH": f"{BIN}:/usr/bin:/bin", "QMAIL_HOME": str(home), "QMAILQUEUE": str(keeper.path), **VARIABLES}
        env |= more
        env.pop(without, None)
        (tmp_path / "message").write_bytes(text)
        with open(tmp_path / "message", "rb") as message:
            done = subprocess.run(
                [BIN / "fastforward", *words, "t.cdb"], stdin=message, capture_output=True, env=env, cwd=tmp_path,
                timeout=60,
            )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    return run


def test_a_message_goes_to_everybody_at_once(forward: Forward, keeper: Keeper, program: Run) -> None:
    program("setmaillist", "l.bin", "l.tmp", stdin=b"ann@c.example\nsue@c.example\n")
    code, out, words = forward("joe@b.example: ?o@b.example, sue@c.example, ./l.bin, x y@d;")
    assert (code, out) == (0, b"")
    assert words.startswith(b"fastforward: qp ")
    ((message, envelope),) = keeper.kept
    assert message == b"Delivered-To: joe@b.example\n" + TEXT
    assert envelope == b"Fo@b.example\0Tsue@c.example\0Tann@c.example\0Txy@d\0\0"


@pytest.mark.parametrize(
    ("words", "variables", "code"),
    [
        ([], {}, 0),
        (["-p"], {}, 99),
        (["-pP"], {}, 0),
        ([], {"RECIPIENT": "x@b.example"}, 100),
        (["-p"], {"RECIPIENT": "x@b.example"}, 0),
        (["-d"], {"RECIPIENT": "x@b.example", "DEFAULT": "joe", "EXT": "x"}, 0),
        (["-d"], {"RECIPIENT": "x@b.example", "EXT": "joe"}, 0),
        (["-dD"], {"DEFAULT": "x"}, 0),
    ],
)
def test_options_say_who_it_is_for_and_what_comes_next(
    forward: Forward, keeper: Keeper, words: list[str], variables: dict[str, str], code: int
) -> None:
    done = forward("joe@b.example: a@x;", *words, **variables)
    known = variables.get("RECIPIENT") is None or "-d" in words
    assert done[:2] == (code, b"")
    assert len(keeper.kept) == known
    if code == 100:
        assert done[2] == NO_MAILBOX


@pytest.mark.parametrize(
    ("without", "words", "said"),
    [
        ("RECIPIENT", [], b"$RECIPIENT must be set"),
        ("HOST", ["-d"], b"$DEFAULT or $EXT must be set"),
        ("SENDER", [], b"$SENDER must be set"),
        ("DTLINE", [], b"DTLINE not set"),
        ("UFLINE", ["-D"], b"$UFLINE must be set"),
    ],
)
def test_a_missing_variable_is_named(
    forward: Forward, keeper: Keeper, without: str, words: list[str], said: bytes
) -> None:
    table = "joe@b.example: !true, a@x;" if without == "UFLINE" else "joe@b.example: a@x;"
    assert forward(table, *words, without=without) == (100, b"", b"fastforward: fatal: " + said + b"\n")
    assert keeper.kept == []


def test_programs_get_the_message_first(forward: Forward, keeper: Keeper) -> None:
    heads = "".join(VARIABLES[name] for name in ("UFLINE", "RPLINE", "DTLINE")).encode()
    code, out, _ = forward("joe@b.example: a@x, |cat, !cat\\ -; @b.example: x@y;")
    assert (code, out) == (0, TEXT + heads + TEXT)
    assert keeper.kept == [(b"Delivered-To: joe@b.example\n" + TEXT, b"Fs@a.example\0Ta@x\0\0")]


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 99", 0), ("exit 100", 100), ("exit 64", 100), ("exit 1", 111), ("exit 111", 111),
     ("kill -9 $$", 111)],
)  # fmt: skip
@pytest.mark.parametrize("mark", ["|", "!"])
def test_a_program_that_fails_keeps_everything_back(
    forward: Forward, keeper: Keeper, script: str, code: int, mark: str
) -> None:
    command = mark + ("cat >/dev/null; " + script).replace(" ", "\\ ").replace(";", "\\;")
    assert forward(f"joe@b.example: a@x, {command}, |echo\\ next;")[:2] == (code, b"next\n" if code == 0 else b"")
    assert len(keeper.kept) == (code == 0)


def test_what_would_be_done_is_shown(forward: Forward, keeper: Keeper) -> None:
    table = "joe@b.example: a@x, |cat, ann@b.example; ann@b.example: b@x; self@b.example: self@b.example; p@: |p;"
    assert forward(table, "-n") == (0, b"run |cat\nfrom <s@a.example>\nto <a@x>\nto <b@x>\n", b"")
    assert forward(table, "-np", without="SENDER")[1].split(b"\n")[1] == b"from <original envelope sender>"
    assert forward(table, "-n", RECIPIENT="p@q") == (0, b"run |p\nno forwarding\n", b"")
    assert keeper.kept == []


def test_a_circle_bounces_and_is_not_swallowed(forward: Forward, keeper: Keeper) -> None:
    done = forward("joe@b.example: ann@b.example; ann@b.example: JOE@b.example, ann@b.example;")
    assert done == (100, b"", b"Sorry, that address leads only back to itself. (#5.4.6)\n")


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "other", "directory", "fifo"])
def test_a_database_that_cannot_be_read_defers(program: Run, tmp_path: Path, damage: str) -> None:
    program("setforward", "t.cdb", "t.tmp", stdin=b"joe@b.example: a@x;")
    path = tmp_path / "t.cdb"
    data = path.read_bytes()
    path.unlink()
    if damage == "directory":
        path.mkdir()
    elif damage == "fifo":
        os.mkfifo(path)
    elif damage != "missing":
        path.write_bytes({"empty": b"", "cut": data[:2000], "other": b"\xff" * 4096}[damage])
    done = program("fastforward", "t.cdb", env=VARIABLES)
    assert done.returncode == 111
    assert done.stderr.startswith(b"fastforward: fatal: unable to read t.cdb: ")


@pytest.mark.parametrize("damage", ["missing", "cut", "foreign", "directory", "fifo", "private"])
def test_a_list_that_cannot_be_read_defers(forward: Forward, keeper: Keeper, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "l.bin"
    if damage == "directory":
        path.mkdir()
    elif damage == "fifo":
        os.mkfifo(path)
        path.chmod(0o666)
    elif damage != "missing":
        path.write_bytes({"cut": b"&a@x\0&b", "foreign": b"&a@x\0|x\0"}.get(damage, b"&a@x\0"))
        path.chmod(0o640 if damage == "private" else 0o644)
    code, _, words = forward("joe@b.example: a@x, ./l.bin;")
    assert code == 111
    assert b"./l.bin" in words
    assert keeper.kept == []


def test_what_the_queue_says_is_passed_on(forward: Forward, tmp_path: Path) -> None:
    (tmp_path / "no").mkdir()
    for code, exits, words in ((31, 100, "permanently rejected"), (71, 111, "temporarily rejected")):
        refusing = Keeper(tmp_path / "no", code)
        done = forward("joe@b.example: a@x;", QMAILQUEUE=str(refusing.path))
        assert done[0] == exits
        assert words.encode() in done[2]
        (tmp_path / "no").rename(tmp_path / f"no{code}")
        (tmp_path / "no").mkdir()


ROUND = {
    "setforward": (b"a@b:\n, &c\\ d@e\n, |x\\ \\;\n, ./l\n;\na@b: ?o@p;\n", "printforward"),
    "setmaillist": (b"&a@b\n/l\n./l\n& x\n", "printmaillist"),
}


@pytest.mark.parametrize("compiler", ROUND)
def test_what_was_compiled_is_shown_as_it_was(program: Run, tmp_path: Path, compiler: str) -> None:
    text, printer = ROUND[compiler]
    done = program(compiler, "new", "tmp", stdin=text)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o644
    assert not (tmp_path / "tmp").exists()
    assert program(printer, stdin=(tmp_path / "new").read_bytes()).stdout == text
    assert program(printer, stdin=b"nonsense").returncode == 100
    with open("/dev/full", "wb") as full, open(tmp_path / "new", "rb") as given:
        assert subprocess.run([BIN / printer], stdin=given, stdout=full, stderr=subprocess.PIPE).returncode == 111


BAD = {
    "setforward": ([], b"good: a@b; bad", 100),
    "setmaillist": ([], b"good@b\nba\0d\n", 111),
    "newinclude": (["list"], b"good@b\n|bad\n", 111),
    "newaliases": (["list"], b"good: a@b\nbad: /file\n", 111),
}


@pytest.mark.parametrize("compiler", BAD)
def test_bad_syntax_leaves_the_old_file(program: Run, home: Path, tmp_path: Path, compiler: str) -> None:
    words, text, code = BAD[compiler]
    (home / "control/me").write_text("h.example\n")
    target = tmp_path / {"newinclude": "list.bin", "newaliases": "list.cdb"}.get(compiler, "new")
    (tmp_path / "list").write_bytes(text)
    target.write_text("old")
    done = program(compiler, *(words or ["new", "tmp"]), stdin=text, env={"QMAIL_HOME": str(home)})
    assert done.returncode == code
    assert done.stderr.startswith(compiler.encode() + b": fatal: ")
    assert target.read_text() == "old"


@pytest.mark.parametrize("compiler", ["setforward", "setmaillist", "newinclude", "fastforward"])
def test_usage_is_said(program: Run, compiler: str) -> None:
    done = program(compiler)
    assert done.returncode == 100
    assert done.stderr.startswith(f"{compiler}: usage: ".encode())


def test_a_reader_finds_the_old_table_or_the_new_one(program: Run, tmp_path: Path) -> None:
    """While a table is replaced again and again, whoever looks finds one of the two, whole."""
    tables = [b"".join(b"u%d@h: %b@x;" % (n, to) for n in range(2000)) for to in (b"old", b"new")]
    program("setforward", "t.cdb", "t.tmp", stdin=tables[0])
    over = threading.Event()

    def replace() -> None:
        for turn in range(8):
            program("setforward", "t.cdb", "t.tmp", stdin=tables[turn % 2])
        over.set()

    writer = threading.Thread(target=replace)
    writer.start()
    seen = []
    while not over.is_set():
        with open(tmp_path / "t.cdb", "rb") as file:
            data = file.read()
        shown = program("printforward", stdin=data)
        assert shown.returncode == 0
        seen.append((shown.stdout.count(b"&old@x"), shown.stdout.count(b"&new@x")))
    writer.join()
    assert set(seen) <= {(2000, 0), (0, 2000)} and seen


# From a process that is small itself: what a child was before exec counts as well.
MEASURE = """
import os, sys
pid = os.fork()
if not pid:
    os.execv(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss // 1024, file=sys.stderr)
"""


def measured(argv: list[str], given: Path, home: Path) -> tuple[int, int]:
    """(exit code, MiB that the program had at most)."""
    env = {"PATH": f"{BIN}:/usr/bin:/bin", "QMAIL_HOME": str(home), **VARIABLES}
    command = [sys.executable, "-IS", "-c", MEASURE, str(BIN / argv[0]), *argv[1:]]
    with open(given, "rb") as text:
        done = subprocess.run(
            command, stdin=text, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env, cwd=given.parent
        )
    code, size = done.stderr.split(b"\n")[-2].split()
    return int(code), int(size)


def long_list(path: Path) -> Path:
    with open(path, "w") as file:
        file.writelines(f"member.{n:06d}@a-long-name-of-a-host.example\n" for n in range(100_000))
    return path


def test_mail_to_a_list_of_100000_takes_bounded_memory(
    home: Path, queued: subprocess.Popen[bytes], program: Run, tmp_path: Path
) -> None:
    code, size = measured(["setmaillist", "l.bin", "tmp"], long_list(tmp_path / "list"), home)
    assert code == 0 and size < 40
    code, size = measured(["printmaillist"], tmp_path / "l.bin", home)
    assert code == 0 and size < 40
    program("setforward", "t.cdb", "t.tmp", stdin=b"joe@b.example: ./l.bin;")
    (tmp_path / "message").write_bytes(TEXT)
    code, size = measured(["fastforward", "t.cdb"], tmp_path / "message", home)
    assert code == 0 and size < 100
    (entry,) = (home / "queue/todo").iterdir()
    assert entry.read_bytes().count(b"\0T") == 100_000


@pytest.mark.prove
def test_an_include_file_of_100000_is_compiled_in_bounded_memory(home: Path, program: Run, tmp_path: Path) -> None:
    (home / "control/me").write_text("h.example\n")
    program("setmaillist", "l.bin", "tmp", stdin=long_list(tmp_path / "list").read_bytes())
    code, size = measured(["newinclude", "list"], tmp_path / "list", home)
    assert code == 0 and size < 40
    assert (tmp_path / "list.bin").read_bytes() == (tmp_path / "l.bin").read_bytes()


def test_newaliases_refuses_where_nothing_runs_fastforward(program: Run, home: Path) -> None:
    (home / "control/me").write_text("h.example\n")
    (home / "alias/.qmail-postmaster").write_text("&fastforward@x.example\n")
    for command in (["newaliases"], ["sendmail", "-bi"]):
        done = program(*command, env={"QMAIL_HOME": str(home)})
        assert done.returncode == 100
        assert done.stderr.startswith(b"newaliases: fatal: nothing reads /etc/aliases.cdb: put `| fastforward -d ")


def test_newaliases_compiles_any_file_that_is_named(program: Run, home: Path, tmp_path: Path) -> None:
    (home / "control/me").write_text("h.example\n")
    (tmp_path / "mine").write_text("List: a, :include:/l\nowner-list: b\n")
    done = program("newaliases", "mine", env={"QMAIL_HOME": str(home)})
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    shown = program("printforward", stdin=(tmp_path / "mine.cdb").read_bytes()).stdout
    assert shown == (
        b"list@:\n, &a@h.example\n, /l.bin\n;\nlist@: ?owner-list@h.example;\nowner-list@:\n, &b@h.example\n;\n"
    )


@needs_root
def test_newaliases_compiles_etc_aliases(home: Path) -> None:
    (home / "control/me").write_text("h.example\n")
    (home / "alias/.qmail-default").write_text("| fastforward -d /etc/aliases.cdb\n")
    script = f"""mount -t tmpfs none /etc && echo 'root: joe' >/etc/aliases && {BIN}/sendmail -bi &&
        {BIN}/printforward </etc/aliases.cdb && ls /etc"""
    env = {"PATH": "/usr/bin:/bin:/sbin", "QMAIL_HOME": str(home)}
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, env=env, timeout=60)
    assert done.stdout == b"root@:\n, &joe@h.example\n;\naliases\naliases.cdb\n", done.stderr
