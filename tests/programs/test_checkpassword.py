"""checkpassword and checkpwfile: descriptor 3, the system's accounts, PAM, and a file of passwords."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from accounts import PASSWORD, Accounts
from conftest import BIN, TOP, needs_root
from qmail.host import libcrypt

PAM = "auth required pam_unix.so nullok nodelay\naccount required pam_unix.so\n"
SHOW = ["sh", "-c", 'echo "$(id -u) $(id -g) $(id -G) $(pwd) $USER $HOME $SHELL $MORE"']
UID = os.geteuid()

Done = tuple[int, bytes, bytes]


def say(name: bytes, password: bytes, more: bytes = b"") -> bytes:
    return name + b"\0" + password + b"\0<1.2@h>\0" + more


def run(command: list[str], said: bytes | None, **environ: str) -> Done:
    """Run a checker with this on descriptor 3."""
    reader, writer = os.pipe()
    if said is not None:
        os.write(writer, said)
    os.close(writer)
    env = {"PATH": f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin", **environ}
    script = 'exec "$@" 3<&-' if said is None else f'exec "$@" 3<&{reader} {reader}<&-'
    done = subprocess.run(
        ["bash", "-c", script, "sh", *command],
        capture_output=True, env=env, timeout=60, pass_fds=[reader], cwd="/", stdin=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(reader)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(params=["shadow", "pam"])
def accounts(request: pytest.FixtureRequest, tmp_path: Path) -> Accounts:
    return Accounts(tmp_path, pam=PAM if request.param == "pam" else None)


def checkpassword(accounts: Accounts, name: str, password: bytes, *program: str, **environ: str) -> Done:
    command = [*accounts.command, str(BIN / "checkpassword"), *(program or ("echo", "in"))]
    return run(command, say(name.encode(), password), **environ)


@needs_root
def test_the_program_runs_as_the_user_at_home(accounts: Accounts) -> None:
    uid, home = accounts.uid("joe"), accounts.home("joe")
    done = checkpassword(accounts, "joe", PASSWORD, *SHOW, MORE="kept")
    assert done == (0, f"{uid} {uid} {uid} {home} joe {home} /usr/sbin/nologin kept\n".encode(), b"")


@needs_root
@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("joe", b"wrong"), ("joe", b""), ("joe", PASSWORD + b" "), ("nobodysuch", PASSWORD), ("", PASSWORD), ("", b""),
        ("locked", PASSWORD), ("empty", b""), ("empty", b"x"), ("expired", PASSWORD), ("stale", PASSWORD),
        ("root", b""), ("root", b"x"), ("toor", PASSWORD), ("daemon", b"*"), ("JOE", PASSWORD), ("../joe", PASSWORD),
        ("4301", PASSWORD), ("joe:x", PASSWORD), ("jo\u00eb", PASSWORD), ("%n%s", b"%n%s"),
    ],
)  # fmt: skip
def test_nobody_else_is_let_in(accounts: Accounts, name: str, password: bytes) -> None:
    assert checkpassword(accounts, name, password) == (1, b"", b"")


@needs_root
def test_each_has_a_password_of_another_kind(accounts: Accounts) -> None:
    assert checkpassword(accounts, "ann", PASSWORD) == (0, b"in\n", b"")


@needs_root
def test_a_home_that_is_not_there_now_is_no_refusal(accounts: Accounts) -> None:
    code, out, words = checkpassword(accounts, "homeless", PASSWORD)
    assert (code, out) == (111, b"")
    assert b"unable to go to" in words


@needs_root
def test_where_nobody_may_log_in_they_are_told_to_come_again(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path, nologin=True)
    assert checkpassword(accounts, "joe", PASSWORD)[:2] == (111, b"")


@needs_root
def test_a_program_that_is_not_there_is_temporary(accounts: Accounts) -> None:
    assert checkpassword(accounts, "joe", PASSWORD, "no-such-program")[0] == 111


@needs_root
@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ("auth required pam_permit.so\naccount required pam_permit.so\n", 0),
        ("auth required pam_permit.so\naccount required pam_deny.so\n", 1),
        ("auth required pam_deny.so\naccount required pam_permit.so\n", 1),
        ("auth required no_such_module.so\naccount required pam_permit.so\n", 111),
    ],
)
def test_the_services_file_of_pam_decides(tmp_path: Path, lines: str, code: int) -> None:
    assert checkpassword(Accounts(tmp_path, pam=lines), "locked", b"anything")[0] == code


@needs_root
def test_pam_is_told_the_clients_address_and_tells_variables(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("FROMPAM=yes\n")
    script = tmp_path / "script"
    script.write_text(f'#!/bin/sh\nread word; echo "$PAM_USER $PAM_RHOST $PAM_SERVICE $word" > {tmp_path}/told\n')
    script.chmod(0o755)
    lines = (
        f"auth required pam_exec.so expose_authtok {script}\n"
        f"auth required pam_env.so readenv=1 envfile={tmp_path}/env\n"
        "auth required pam_permit.so\naccount required pam_permit.so\n"
    )
    done = checkpassword(
        Accounts(tmp_path, pam=lines), "joe", b"a word", "sh", "-c", "echo $FROMPAM", TCPREMOTEIP="192.0.2.7"
    )
    assert done == (0, b"yes\n", b"")
    assert (tmp_path / "told").read_text() == "joe 192.0.2.7 qmail a word\n"


@needs_root
def test_an_account_without_a_password_stays_closed_whatever_pams_file_says(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path, pam="auth required pam_unix.so nullok nodelay\naccount required pam_unix.so\n")
    for password in (b"", b"x"):
        assert checkpassword(accounts, "empty", password)[0] == 1


COUNT = """
import sys
sys.path.insert(0, "TREE")
from qmail.host import libcrypt
from qmail.stores import systemlogins
seen, real = [], libcrypt.crypt
def crypt(password, setting):
    seen.append(setting.split(b"$")[1])
    return real(password, setting)
libcrypt.crypt = crypt
for name in sys.argv[1:]:
    seen.clear()
    account = systemlogins.check(name.encode(), b"wrong", b"")
    print(name, account and account.name, len(seen))
"""
NAMES = ["joe", "locked", "empty", "toor", "root", "daemon", "nobodysuch", "", "x" * 400]


@needs_root
@pytest.mark.parametrize(("pam", "known"), [(None, 1), (PAM, 0)])  # with PAM it is PAM that hashes for those it knows
def test_fault_054_every_name_costs_the_work_of_one_hash(tmp_path: Path, pam: str | None, known: int) -> None:
    accounts = Accounts(tmp_path, pam=pam)
    script = tmp_path / "count.py"
    script.write_text(COUNT.replace("TREE", str(TOP / "src")))
    done = subprocess.run(
        [*accounts.command, sys.executable, str(script), *NAMES], capture_output=True, check=True, timeout=60, text=True
    )
    counted = [known if name in ("joe", "toor") else 1 for name in NAMES]
    assert done.stdout.splitlines() == [f"{name} None {count}" for name, count in zip(NAMES, counted, strict=True)]


@needs_root
def test_fault_054_an_unknown_name_is_a_refusal_like_another(accounts: Accounts) -> None:
    assert checkpassword(accounts, "nobodysuch", b"x") == checkpassword(accounts, "joe", b"x") == (1, b"", b"")


@pytest.fixture
def logins(home: Path) -> Path:
    """A home with joe in users/passwords, who becomes nobody, or us in single-user mode."""
    hashed = libcrypt.crypt(PASSWORD, b"$1$salt$")
    assert hashed is not None
    (home.parent / "mail/joe").mkdir(parents=True)
    lines = [
        f"joe:{hashed.decode()}:nobody:{home.parent}/mail/joe",
        f"locked:!{hashed.decode()}:nobody:/",
        f"nouser:{hashed.decode()}",
        f"zero:{hashed.decode()}:root:/",
        f"daemon:{hashed.decode()}",
        f"below:{hashed.decode()}:daemon:../bin",
    ]
    (home / "users/passwords").write_text("\n".join(lines) + "\n")
    (home / "users/passwords").chmod(0o600)
    return home


def checkpwfile(home: Path, said: bytes | None, *program: str) -> Done:
    return run([str(BIN / "checkpwfile"), *program], said, QMAIL_HOME=str(home))


def test_a_login_of_the_file_runs_as_its_account(logins: Path) -> None:
    import pwd

    entry = pwd.getpwnam("nobody") if UID == 0 else pwd.getpwuid(UID)
    place = logins.parent / "mail/joe"
    code, out, words = checkpwfile(logins, say(b"joe", PASSWORD), *SHOW)
    ids = f"{entry.pw_uid} {entry.pw_gid} " + (f"{entry.pw_gid} " if UID == 0 else "")
    assert (code, words) == (0, b"")
    assert out.startswith(ids.encode()) and out.endswith(
        f"{place} {entry.pw_name} {place} {entry.pw_shell} \n".encode()
    )


@pytest.mark.parametrize(
    ("name", "password"),
    [(b"joe", b"wrong"), (b"joe", b""), (b"jo", PASSWORD), (b"locked", PASSWORD), (b"", b""), (b"joe\n", PASSWORD)],
)
def test_other_words_are_refused(logins: Path, name: bytes, password: bytes) -> None:
    assert checkpwfile(logins, say(name, password), "echo", "in") == (1, b"", b"")


@needs_root
def test_the_account_of_a_login_decides(logins: Path) -> None:
    assert checkpwfile(logins, say(b"zero", PASSWORD), "echo", "in") == (1, b"", b"")
    code, out, words = checkpwfile(logins, say(b"nouser", PASSWORD), "echo", "in")
    assert (code, out, words.count(b"\n")) == (111, b"", 1)
    assert checkpwfile(logins, say(b"daemon", PASSWORD), "sh", "-c", "pwd; echo $USER")[1].endswith(b"\ndaemon\n")
    below = checkpwfile(logins, say(b"below", PASSWORD), "sh", "-c", "pwd -P; echo $HOME")
    assert below == (0, b"/usr/bin\n/usr/sbin/../bin\n", b""), "a home below the account's"


@pytest.mark.parametrize("text", [None, b"joe:$nosuch$kind$\n"])
def test_no_answer_is_no_refusal(logins: Path, text: bytes | None) -> None:
    path = logins / "users/passwords"
    path.unlink()
    if text is not None:
        path.write_bytes(text)
        path.chmod(0o600)
    code, out, words = checkpwfile(logins, say(b"joe", PASSWORD), "echo", "in")
    assert (code, out, words.count(b"\n")) == (111, b"", 1)
    assert PASSWORD not in words and b"joe" not in words


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (None, 2), (b"", 2), (b"joe", 2), (b"joe\0" + PASSWORD, 2), (b"joe\0" + PASSWORD + b"\0", 2),
        (say(b"joe", PASSWORD), 0), (say(b"joe", PASSWORD, b"more\0and more"), 0),
        (say(b"joe", PASSWORD).ljust(512, b"\0"), 0), (say(b"joe", PASSWORD).ljust(513, b"\0"), 1),
        (b"x" * 100_000, 1),
    ],
)  # fmt: skip
def test_descriptor_3_has_three_parts_in_512_bytes(logins: Path, said: bytes | None, code: int) -> None:
    assert checkpwfile(logins, said and said[:60_000], "true")[0] == code


def test_a_program_must_be_named(logins: Path) -> None:
    usage = b"checkpwfile: usage: checkpwfile program [ argument ... ]\n"
    assert checkpwfile(logins, say(b"joe", PASSWORD)) == (2, b"", usage)


def test_what_was_said_is_gone_when_the_program_runs(logins: Path) -> None:
    code, out, _ = checkpwfile(
        logins,
        say(b"joe", PASSWORD),
        "sh",
        "-c",
        "ls /proc/self/fd | tr '\\n' ' '; cat /proc/$$/environ | tr '\\0' ' '",
    )
    assert code == 0
    assert out.startswith(b"0 1 2 3 PWD=")  # 3: the directory that ls reads
    assert PASSWORD not in out
