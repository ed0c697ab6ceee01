"""The whole system, started here and now: what `make up` runs.

One ordinary user, one directory (run/), the port 2525 (or `make up PORT=...`) on loopback. The services are
those of a real installation, kept by svscan; a message is sent through them, and its way is shown. Ctrl-C ends it all.
"""

from __future__ import annotations

import os
import poplib
import pwd
import secrets
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

TOP = Path(__file__).resolve().parent.parent
SHARED = Path("/var/tmp/pyqmail")  # where nobody can read, when the checkout lies in a closed home
HOST = "pyqmail.localhost"
ADDRESS = ("127.0.0.1", int(os.environ.get("PORT") or 2525))
SUBMISSION = (ADDRESS[0], ADDRESS[1] + 1)  # where `you` logs in
POP3S = (ADDRESS[0], ADDRESS[1] + 2)  # where `you` reads
PATIENCE = 30.0  # seconds for the services to come up, and for a message to arrive

sys.path.insert(0, str(TOP / "src"))


T = TypeVar("T")


class Trouble(Exception):
    """What stands in the way, in one line that says what to do."""


def main() -> int:
    """Start, show, wait. Returns the exit code."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # the text stream of a program
    try:
        check_port()
        base, user = become_ordinary()
        run = base / "run"
        prepare(run, base / "bin", user)
        return keep(run)
    except Trouble as trouble:
        print(f"make up: {trouble}", file=sys.stderr)
        return 111


def check_port() -> None:
    """Nothing may stand on our ports."""
    for address in (ADDRESS, SUBMISSION, POP3S):
        check(address)


def check(address: tuple[str, int]) -> None:
    """Is this one free?"""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise Trouble(
                f"port {address[1]} on {address[0]} is in use ({error.strerror});"
                " is 'make up' running elsewhere? Another one: make up PORT=2626"
            ) from None


def become_ordinary() -> tuple[Path, str]:
    """Give root up: the owner of the checkout, or nobody. Returns where bin/ and run/ are, and our name."""
    if os.geteuid():
        return TOP, pwd.getpwuid(os.geteuid()).pw_name
    owner = os.stat(TOP).st_uid
    account = pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
    base = TOP if readable_by(account, TOP / "bin" / "qmail-smtpd") else share()
    run = base / "run"
    run.mkdir(exist_ok=True)
    os.chown(run, account.pw_uid, account.pw_gid)
    from qmail.host import identity

    identity.become(account.pw_uid, account.pw_gid)
    os.environ["HOME"] = str(run)
    return base, account.pw_name


def readable_by(account: pwd.struct_passwd, path: Path) -> bool:
    """Can this account run the program at `path`? Tried, not computed."""
    done = subprocess.run(
        [str(path), "--help"], user=account.pw_uid, group=account.pw_gid, extra_groups=[], cwd="/",
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
    ) if os.access(path, os.X_OK) and _searchable(account, path) else None  # fmt: skip
    return done is not None and done.returncode == 0


def _searchable(account: pwd.struct_passwd, path: Path) -> bool:
    for parent in path.parents:
        status = parent.stat()
        owner, group = status.st_uid == account.pw_uid, status.st_gid == account.pw_gid
        if not status.st_mode & (0o100 if owner else 0o010 if group else 0o001):
            return False
    return True


def share() -> Path:
    """A copy of the programs where everybody can read it."""
    SHARED.mkdir(mode=0o755, exist_ok=True)
    status = SHARED.stat()
    if status.st_uid or status.st_mode & 0o022:
        raise Trouble(f"{SHARED} belongs to somebody else or is writable by others; remove it, or move the checkout")
    for name in ("src", "setup"):
        shutil.rmtree(SHARED / name, ignore_errors=True)
        shutil.copytree(TOP / name, SHARED / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dns", "idna"):
        site = next(iter((TOP / ".venv/lib").glob(f"python3*/site-packages/{name}")), None)
        if site is not None:
            shutil.rmtree(SHARED / name, ignore_errors=True)
            shutil.copytree(site, SHARED / name)
    python = os.path.realpath(sys.executable)
    subprocess.run(
        [python, str(SHARED / "setup/launchers.py"), str(SHARED / "bin"), str(SHARED / "src"), python, str(SHARED)],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return SHARED


def prepare(run: Path, programs: Path, user: str) -> None:
    """Make the home where it is missing; what is there already stays as it is."""
    from qmail.formats.verdict import Ending
    from qmail.stores.configuration import announce, configure
    from qmail.stores.installation import create

    try:
        home = os.fsencode(run)
        fresh = not (run / "control" / "me").exists()
        if not (run / "bin").exists():
            run.mkdir(exist_ok=True)
            (run / "bin").symlink_to(programs)
        create(home)
        if fresh:
            announce(home)
            configure(home, os.fsencode(HOST))
        people(run, user)
        certify(run)
        login(run, user)
        services(run)
    except Ending as end:
        raise Trouble(os.fsdecode(end.text)) from None
    except OSError as error:
        raise Trouble(f"{error.filename or run}: {error.strerror}") from None


def people(run: Path, user: str) -> None:
    """One user, `you`, whose home is run/you; everything else is the alias user's."""
    uid, gid = os.geteuid(), os.getegid()
    for name in ("you", "alias"):
        (run / name).mkdir(mode=0o700, exist_ok=True)
    maildir = run / "you" / "Maildir"
    if not maildir.exists():
        subprocess.run([run / "bin/maildirmake", maildir], check=True)
    for alias in ("postmaster", "mailer-daemon", "root", "abuse"):
        write(run / "alias" / f".qmail-{alias}", f"&you@{HOST}\n", keep_old=True)
    assign = run / "users" / "assign"
    lines = [
        f"=you:{user}:{uid}:{gid}:{run}/you:::",
        f"+you-:{user}:{uid}:{gid}:{run}/you:-::",
        f"+:{user}:{uid}:{gid}:{run}/alias:-::",
        ".",
    ]
    write(assign, "".join(line + "\n" for line in lines), keep_old=True)
    subprocess.run([run / "bin/qmail-newu"], env={"QMAIL_HOME": str(run), "PATH": os.environ["PATH"]}, check=True)


SERVICES = {
    "queued": "exec qmail-queued",
    "rcptd": "exec qmail-rcptd",
    "send": "exec qmail-start ./Maildir/",
    "smtpd": "exec tcpserver -v -R -H -l {host} -x tcp.cdb -c 200 {address} {port} {run}/bin/qmail-smtpd",
}


def certify(run: Path) -> None:
    """A certificate that signs itself, where there is none, and openssl to make it."""
    path = run / "control" / "servercert.pem"
    if path.exists():
        return
    if shutil.which("openssl") is None:
        print("no TLS: there is no openssl here to make a certificate with")
        return
    key, certificate = path.with_name("tls.key"), path.with_name("tls.new")
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "825",
         "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-keyout", key, "-out", certificate],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode:
        print(f"no TLS: openssl says: {made.stderr.strip().splitlines()[-1:]}")
        return
    certificate.chmod(0o600)
    with certificate.open("ab") as file:
        file.write(key.read_bytes())
    key.unlink()
    certificate.replace(path)


def login(run: Path, user: str) -> None:
    """A password for `you`, made up once, and kept where you find it."""
    words = run / "you" / "password"
    if words.exists() and (run / "users/passwords").exists():
        return
    write(words, secrets.token_urlsafe(9) + "\n", mode=0o600)
    command = [f"{run}/bin/qmail-password", "-a", user, "-d", f"{run}/you", "you"]
    environ = {"QMAIL_HOME": str(run), "PATH": os.environ["PATH"]}
    subprocess.run(command, env=environ, input=words.read_bytes(), check=True, capture_output=True)


TLS = {
    "tlsd": "exec qmail-tlsd",
    "authd": "exec qmail-authd",
    "submission": "exec env SMTPAUTH=! tcpserver -v -RH -l {host} -c 100 {address} {submission} {run}/bin/qmail-smtpd",
    "pop3s": "exec tcpserver -v -RH -l {host} -c 40 {address} {pop3s} tlswrap qmail-popup {host} checkpwfile"
    " qmail-pop3d Maildir",
}


def services(run: Path) -> None:
    """The service directories, as the boot of a real installation has them; the rules let this machine relay."""
    environment = f"exec env - QMAIL_HOME={run} PATH={run}/bin:/usr/bin:/bin"
    words = {"host": HOST, "address": ADDRESS[0], "port": ADDRESS[1], "submission": SUBMISSION[1], "pop3s": POP3S[1],
             "run": run}  # fmt: skip
    certified = (run / "control/servercert.pem").exists()
    for name, command in (SERVICES | (TLS if certified else {})).items():
        directory = run / "service" / name
        (directory / "log").mkdir(parents=True, exist_ok=True)
        (run / "log").mkdir(exist_ok=True)
        line = command.format(**words).replace("exec ", "", 1)
        write(directory / "run", f"#!/bin/sh\nexec 2>&1\n{environment} {line}\n", mode=0o755)
        write(directory / "log/run", f"#!/bin/sh\n{environment} multilog t {run}/log/{name}\n", mode=0o755)
    write(run / "tcp.smtp", '127.:allow,RELAYCLIENT=""\n:allow\n', keep_old=True)
    with open(run / "tcp.smtp", "rb") as rules:
        target = run / "service" / "smtpd"
        subprocess.run([run / "bin/tcprules", target / "tcp.cdb", target / "tcp.tmp"], stdin=rules, check=True)


def write(path: Path, text: str, *, mode: int = 0o644, keep_old: bool = False) -> None:
    """Write a small file whole; `keep_old` leaves one that is there, since its owner may have changed it."""
    if keep_old and path.exists():
        return
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.chmod(mode)
    os.replace(new, path)


def keep(run: Path) -> int:
    """Run svscan in the foreground, show one message, and wait for Ctrl-C."""
    ended: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda caught, _frame: ended.append(caught))
    print(f"starting in {run} ...")
    svscan = subprocess.Popen(
        [run / "bin/svscan", "--stop", run / "service"],
        env={"PATH": f"{run}/bin:/usr/bin:/bin", "QMAIL_HOME": str(run)},
        cwd=run, stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    code = 0
    try:
        show(run, svscan, ended)
        while not ended and svscan.poll() is None:
            time.sleep(0.2)
        if svscan.poll() is not None:
            raise Trouble(f"svscan ended by itself with code {svscan.returncode}; the logs are in {run}/log")
    except Trouble as trouble:
        print(f"make up: {trouble}", file=sys.stderr)
        code = 111
    print("\nstopping ...")
    if svscan.poll() is None:
        svscan.terminate()
    svscan.wait(90)
    print(f"stopped. {run} keeps the mail and the queue; 'make up' goes on from there.")
    return code


def show(run: Path, svscan: subprocess.Popen[bytes], ended: list[int]) -> None:
    """Send a message through the port and print what each station said of it."""
    new = run / "you" / "Maildir" / "new"
    before = set(os.listdir(new))
    marks = {name: log_size(run, name) for name in SERVICES}
    subject = f"hello {int(time.time())}"
    talk = wait_for("the SMTP port", svscan, ended, lambda: send(subject))
    if talk is None:
        return
    arrived = wait_for("the Maildir", svscan, ended, lambda: newest(new, before, subject))
    if arrived is None:
        return
    print("\n".join(["", "the talk on the port:", *(f"    {line}" for line in talk)]))
    for name, station in (("smtpd", "tcpserver and qmail-smtpd"), ("send", "qmail-send")):
        wait_for(f"the log of {name}", svscan, ended, partial(finished, run, name, marks[name]))
        print("\n".join(["", f"{station} logged:", *(f"    {line}" for line in readable(run, name, marks[name]))]))
    print(f"\nand the message is here:\n    {arrived}\n")
    if (run / "control/servercert.pem").exists():
        facts = wait_for("submission", svscan, ended, partial(submitted, run))
        print(
            f"STARTTLS works too, with a certificate of its own making, and `you` may log in on port {SUBMISSION[1]}:"
        )
        print(f"    {facts}; the password is in {os.path.relpath(run)}/you/password")
        print(f"\nit came without Date, Message-ID and From, and is fetched by POP3S on port {POP3S[1]} with them:")
        lines = wait_for("POP3S", svscan, ended, partial(fetched, run))
        print("\n".join(f"    {line}" for line in lines or []), end="\n\n")
    print(HELP.format(run=os.path.relpath(run), host=HOST, port=ADDRESS[1], submission=SUBMISSION[1], pop3s=POP3S[1]))


HELP = """what to try next, in another terminal:
  swaks --server 127.0.0.1:{port} --to you@{host}     send a message (or telnet, or any mail program)
  swaks --tls ...; openssl s_client -starttls smtp -connect 127.0.0.1:{port}     the same under TLS
  swaks --tls --server 127.0.0.1:{submission} --auth-user you ...     submission, to anywhere
  curl -k -u you pop3s://127.0.0.1:{pop3s}/            what is there, by POP3S
  ls {run}/you/Maildir/new                                where it arrives
  tail -f {run}/log/send/current | {run}/bin/tai64nlocal      what happens to it
  echo '|cat >> all' > {run}/you/.qmail-list           then send to you-list@{host}
  {run}/bin/svstat {run}/service/*                          the services; svc -t, -d, -u work on them
  {run}/bin/qmail-qread, {run}/bin/qmail-qstat              what is in the queue
  {run}/bin/qmail-send --help                            every program explains itself
Ctrl-C stops everything."""


def wait_for(what: str, svscan: subprocess.Popen[bytes], ended: list[int], ask: Callable[[], T | None]) -> T | None:
    """Ask until there is an answer; None where we were told to stop meanwhile. Raises Trouble after PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while not ended:
        if (answer := ask()) is not None:
            return answer
        if svscan.poll() is not None:
            raise Trouble(f"svscan ended by itself with code {svscan.returncode}")
        if time.monotonic() > deadline:
            raise Trouble(f"nothing came of {what} within {PATIENCE:.0f} seconds; see the logs in run/log")
        time.sleep(0.02)
    return None


def send(subject: str) -> list[str] | None:
    """One message by SMTP; the talk as lines, or None while nobody answers yet."""
    talk = []
    try:
        with socket.create_connection(ADDRESS, 10) as connection, connection.makefile("rwb") as stream:
            for command in (
                b"", b"HELO localhost", b"MAIL FROM:<me@localhost>", b"RCPT TO:<you@" + HOST.encode() + b">", b"DATA",
                b"From: <me@localhost>\r\nSubject: " + subject.encode() + b"\r\n\r\nIt works.\r\n.", b"QUIT",
            ):  # fmt: skip
                if command:
                    stream.write(command + b"\r\n")
                    stream.flush()
                    talk += ["> " + line for line in command.decode().split("\r\n")]
                reply = stream.readline().decode("ascii", "replace").rstrip()
                if not reply or reply.startswith("4"):
                    return None  # the services come up in no order; what is not there yet is temporary
                talk.append(reply)
                if reply[:1] not in "23":
                    raise Trouble(f"the server said: {reply}")
    except ConnectionError:
        return None
    return talk


def submitted(run: Path) -> str | None:
    """Log in as `you` after STARTTLS, and send a message; how the session was protected, None while that cannot be."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with smtplib.SMTP(*SUBMISSION, timeout=10) as client:
            client.starttls(context=context)
            client.login("you", (run / "you/password").read_text().strip())
            client.sendmail(f"you@{HOST}", [f"you@{HOST}"], "Subject: by submission\r\n\r\nIt works.\r\n")
            assert isinstance(client.sock, ssl.SSLSocket)
            cipher = client.sock.cipher()
            return f"{client.sock.version()} {cipher[0] if cipher else ''}"
    except (smtplib.SMTPException, OSError):
        return None


def fetched(run: Path) -> list[str] | None:
    """Log in as `you` by POP3S, and read the header of what came by submission; None while it is not there yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        client = poplib.POP3_SSL(*POP3S, context=context, timeout=10)
        try:
            client.user("you")
            client.pass_((run / "you/password").read_text().strip())
            for number in range(client.stat()[0], 0, -1):
                lines = [line.decode("latin-1") for line in client.top(number, 0)[1]]
                if "Subject: by submission" in lines:
                    return [line for line in lines if line.startswith(("Date:", "Message-ID:", "From:", "Subject:"))]
        finally:
            client.close()  # without QUIT, so that nothing is marked as seen
    except (poplib.error_proto, OSError):
        pass
    return None


def newest(new: Path, before: set[str], subject: str) -> Path | None:
    """The file with this subject that was not there before."""
    for name in set(os.listdir(new)) - before:
        if subject.encode() in (new / name).read_bytes():
            return new / name
    return None


def finished(run: Path, name: str, mark: int) -> bool | None:
    """Has this service logged the end of a session or a message?"""
    return b" end " in log_since(run, name, mark) or None


def log_size(run: Path, name: str) -> int:
    """How long the log of a service is now."""
    try:
        return (run / "log" / name / "current").stat().st_size
    except FileNotFoundError:
        return 0


def log_since(run: Path, name: str, mark: int) -> bytes:
    """What a service has logged since `mark`."""
    try:
        text = (run / "log" / name / "current").read_bytes()
    except FileNotFoundError:
        return b""
    return text[mark:] if mark <= len(text) else text


def readable(run: Path, name: str, mark: int) -> list[str]:
    """The same as lines, with the labels as local time."""
    done = subprocess.run(
        [run / "bin/tai64nlocal"], input=log_since(run, name, mark), stdout=subprocess.PIPE, check=True
    )
    return done.stdout.decode("ascii", "replace").splitlines()


if __name__ == "__main__":
    sys.exit(main())
