"""Each limit of qmail-limits(7): the number is that of the code, and beyond it the real program says what it says."""

from __future__ import annotations

import base64
import importlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from conftest import BIN, TOP, start_queued, wait_until
from keeping import Keeper
from measuring import Measured, measured
from nexthops import Hop
from programs import doorlimits, tlslimits
from qmail.formats.netstring import netstring
from qmail.protocols import recipients
from scripted import Peer

sys.path.insert(0, str(TOP / "setup"))

import limits
import manpages

UID = 4242 if os.geteuid() == 0 else None
MAIL, RCPT = b"MAIL FROM:<a@b>", b"RCPT TO:<c@example.org>"


class Place:
    """A home with control files, and a queue program that takes everything."""

    def __init__(self, home: Path, tmp_path: Path) -> None:
        self.home, self.place = home, tmp_path
        self.keeper = Keeper(tmp_path)
        self.control("me", b"host.example\n")
        self.control("rcpthosts", b"example.org\n")

    def control(self, name: str, text: bytes) -> None:
        (self.home / "control" / name).write_bytes(text)

    def run(
        self, *argv: str, stdin: bytes = b"", envelope: bytes | None = None, user: int | None = None, **env: str
    ) -> Measured:
        """Run a program of this home."""
        environ = {"QMAIL_HOME": str(self.home), "QMAILQUEUE": str(self.keeper.path), "USER": "joe", **env}
        return measured(*argv, place=self.place, stdin=stdin, envelope=envelope, env=environ, user=user)

    def inject(self, text: bytes, **env: str) -> Measured:
        return self.run("qmail-inject", stdin=text, **env)

    def smtpd(self, *lines: bytes, **env: str) -> Measured:
        return self.run("qmail-smtpd", stdin=b"".join(line + b"\r\n" for line in (*lines, b"QUIT")), **env)

    def local(self, text: bytes) -> Measured:
        user = self.place / "joe"
        user.mkdir(mode=0o755, exist_ok=True)
        (user / ".qmail").write_bytes(text)
        return self.run("qmail-local", "--", "joe", str(user), "joe", "", "", "h", "s@a", "./Mailbox", envelope=b"")

    def qmtpd(self, *recipients: bytes, sender: bytes = b"s@a") -> Measured:
        head = netstring(b"\nx\n") + netstring(sender)
        return self.run("qmail-qmtpd", stdin=head + netstring(b"".join(map(netstring, recipients))))

    def qmqpd(self, *recipients: bytes, sender: bytes = b"s@a") -> Measured:
        bundle = netstring(b"x\n") + netstring(sender) + b"".join(map(netstring, recipients))
        return self.run("qmail-qmqpd", stdin=netstring(bundle))

    def remote(self, reply: bytes) -> Measured:
        with Peer([b"220 hi\r\n", "line", b"250 ok\r\n", "line", reply, "line"]) as peer:
            self.control("smtproutes", b":[127.0.0.1]:%d\n" % peer.port)
            return self.run("qmail-remote", "example.org", "s@a", "r@b", stdin=b"x\n")


MAIL, RCPT = b"MAIL FROM:<a@b>", b"RCPT TO:<c@example.org>"


def header(place: Place, limit: int) -> Measured:
    done = place.inject(b"To: a\nSubject: " + b"y" * limit)
    assert (done.code, done.err) == (100, b"qmail-inject: fatal: a header of more than %d bytes\n" % limit)
    return done


def words(place: Place, limit: int) -> Measured:
    done = place.inject(b"To: a" + b"," * (limit - 5) + b"\nCc: " + b"a " * 6)
    said = b"qmail-inject: fatal: more than %d words in fields with addresses\n" % limit
    assert (done.code, done.err) == (100, said)
    return done


def lists(place: Place, limit: int) -> Measured:
    (place.place / "lists").write_bytes(b"l@h\n" * (limit // 4) + b"#")
    done = place.inject(b"To: a\n", QMAILMFTFILE="lists")
    assert (done.code, done.err) == (111, b"qmail-inject: fatal: lists is larger than %d bytes\n" % limit)
    return done


def command(place: Place, limit: int) -> Measured:
    done = place.smtpd(b"NOOP " + b"x" * (limit - 6), b"NOOP " + b"x" * limit, b"NOOP " + b"x" * 10 * limit)
    assert re.findall(rb"^(?:250|500).*\r\n", done.out, re.M)[-3:] == [
        b"250 ok\r\n", b"500 line too long (#5.5.2)\r\n", b"500 line too long (#5.5.2)\r\n"
    ]  # fmt: skip
    return done


def address(place: Place, limit: int) -> Measured:
    done = place.smtpd(b"MAIL FROM:<" + b"a" * limit + b">", b"MAIL FROM:<" + b"a" * (limit + 1) + b">")
    assert done.out.split(b"\r\n")[1:3] == [b"250 ok", b"555 syntax error (#5.5.4)"]
    return done


def smtp_recipients(place: Place, limit: int) -> Measured:
    recipient = b"RCPT TO:<" + b"c" * 887 + b"@example.org>"
    room = limit // (899 + 64)
    done = place.smtpd(MAIL, *[recipient] * (room + 1), b"DATA", b"", b".")
    codes = re.findall(rb"^\d{3} [a-z]+", done.out, re.M)
    assert codes.count(b"250 ok") == 1 + room + 1 and codes[-4:] == [b"452 too", b"354 go", b"250 ok", b"221 host"]
    ((_, envelope),) = place.keeper.kept
    assert envelope.count(b"\0T") == room
    return done


def chunk(place: Place, limit: int) -> Measured:
    place.control("smtpextensions", b"CHUNKING\n")
    done = place.smtpd(b"BDAT %d" % (limit + 1), b"NOOP")
    assert done.out.splitlines()[1:] == [b"501 no such size of a chunk (#5.5.4)"]
    return done


def introduction(place: Place, limit: int) -> Measured:
    lines = [b"XCLIENT HELO=" + b"x" * size for size in (limit + 1, limit)]
    done = place.smtpd(*lines, XCLIENT="")
    assert [line[:9] for line in done.out.splitlines()[1:]] == [b"501 5.5.4", b"220 host.", b"221 host."]
    return done


def parameter(place: Place, limit: int, line: bytes, *before: bytes) -> Measured:
    """Where qmail-queue is our own, or there are none."""
    place.control("smtpextensions", b"DSN\n")
    lines = (*before, line + b"x" * limit, *before, line + b"x" * (limit + 1), b"QUIT")
    text = b"".join(each + b"\r\n" for each in lines)
    done = measured("qmail-smtpd", place=place.place, stdin=text, env={"QMAIL_HOME": str(place.home)})
    replies = done.out.split(b"\r\n")
    assert (replies[len(before) + 1][:3], replies[-3]) == (b"250", b"501 no such value of a parameter (#5.5.4)")
    return done


def envelope_id(place: Place, limit: int) -> Measured:
    return parameter(place, limit, b"MAIL FROM:<a@b> ENVID=")


def original_recipient(place: Place, limit: int) -> Measured:
    return parameter(place, limit - len(b"rfc822;"), RCPT + b" ORCPT=rfc822;", MAIL)


def hops(place: Place, limit: int) -> Measured:
    done = place.smtpd(MAIL, RCPT, b"DATA", *[b"Received: x"] * (limit + 1), b"", b".")
    assert done.out.split(b"\r\n")[-3] == b"554 too many hops, this message is looping (#5.4.6)"
    return done


def queue(place: Place, *envelopes: bytes) -> list[int]:
    """The exit codes of qmail-queue; qmail-queued stays small, too."""
    with start_queued(place.home) as queued:
        done = [place.run("qmail-queue", stdin=b"x\n", envelope=envelope) for envelope in envelopes]
        status = Path(f"/proc/{queued.pid}/status").read_text()
        queued.terminate()
    assert max(each.memory for each in done) <= limits.MEMORY["qmail-queue"]
    assert int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) <= limits.QUEUED * 1024
    return [each.code for each in done]


def queue_parameters(place: Place, limit: int) -> None:
    record = b"rcpt NEVER = %b@x\0" % (b"a" * 1000)
    most = limit // len(record)
    assert queue(place, *(b"Fa\0Tb\0\0+parameters\0" + record * n + b"\0" for n in (most, most + 1))) == [0, 91]


def queue_address(place: Place, limit: int) -> None:
    assert queue(place, *(b"F%b\0Tb\0\0" % (b"a" * size) for size in (limit, limit + 1))) == [0, 11]


def queue_envelope(place: Place, limit: int) -> None:
    record = b"T%b\0" % (b"b" * 1000)
    room = limit // len(record)
    assert queue(place, *(b"Fa\0" + record * count + b"\0" for count in (room, room + 1))) == [0, 31]


def queue_recipients(place: Place, limit: int) -> None:
    assert queue(place, *(b"Fa\0" + b"Tb\0" * count + b"\0" for count in (limit, limit + 1))) == [0, 31]


def qmtp_address(place: Place, limit: int) -> Measured:
    done = place.qmtpd(b"a" * limit, b"a" * (limit + 1))
    assert re.fullmatch(rb"\d+:Kok [^,]*,46:Dsorry, I can't handle that recipient \(#5.1.3\),", done.out)
    assert b"Dunacceptable sender (#5.1.7)" in place.qmtpd(b"a", sender=b"a" * (limit + 1)).out
    return done


def qmtp_recipients(place: Place, limit: int) -> Measured:
    assert place.qmtpd(*[b"a"] * limit).out.count(b"Kok") == limit
    done = place.qmtpd(*[b"a"] * (limit + 1))
    assert (done.code, done.out) == (111, b"")
    return done


def qmtp_bytes(place: Place, limit: int) -> Measured:
    room = limit // (999 + 64)
    whole = place.qmtpd(*[b"a" * 999] * room)
    assert whole.out.count(b"Kok") == room and whole.memory <= limits.MEMORY["qmail-qmtpd"]
    done = place.qmtpd(*[b"a" * 999] * (room + 1))
    assert (done.code, done.out) == (111, b"")
    return done


def qmtp_netstring(place: Place, limit: int) -> Measured:
    done = place.run("qmail-qmtpd", stdin=b"%d:" % (limit + 1))
    assert (done.code, done.out) == (111, b"")
    assert place.run("qmail-qmtpd", stdin=b"%d:" % limit).code == 0, "the client ended"
    return done


def qmqp_address(place: Place, limit: int) -> Measured:
    assert b":Kok " in place.qmqpd(b"a" * limit).out
    done = place.qmqpd(b"b", b"a" * (limit + 1))
    assert done.out == b"51:Dsorry, I can't accept addresses like that (#5.1.3),"
    return done


def qmqp_recipients(place: Place, limit: int) -> Measured:
    assert b":Kok " in place.qmqpd(*[b"a"] * limit).out
    done = place.qmqpd(*[b"a"] * (limit + 1))
    assert (done.code, done.out) == (111, b"")
    return done


def qmqp_bytes(place: Place, limit: int) -> Measured:
    room = limit // (999 + 64)
    whole = place.qmqpd(*[b"a" * 999] * room)
    assert b":Kok " in whole.out and whole.memory <= limits.MEMORY["qmail-qmqpd"]
    done = place.qmqpd(*[b"a" * 999] * (room + 1))
    assert (done.code, done.out) == (111, b"")
    return done


def qmqp_netstring(place: Place, limit: int) -> Measured:
    done = place.run("qmail-qmqpd", stdin=b"%d:" % (limit + 1))
    assert (done.code, done.out) == (111, b"")
    return done


def dot_qmail(place: Place, limit: int) -> Measured:
    done = place.local(b"# " + b"x" * (limit - 10) + b"\n&a@b\n")
    assert done.out.startswith(b"did 0+1+0\n") or done.code == 0
    done = place.local(b"\n" * limit + b"#")
    assert (done.code, done.err) == (111, b"Unable to open .qmail: larger than %d bytes. (#4.3.0)\n" % limit)
    return done


def instructions(place: Place, limit: int) -> Measured:
    whole = place.local(b"&%b@example.org\n" % (b"a" * 100) * limit)
    assert whole.code == 0 and whole.memory <= limits.MEMORY["qmail-local"]
    assert place.keeper.kept[-1][1].count(b"\0T") == limit
    done = place.local(b"&a\n" * (limit + 1))
    said = b"Unable to follow .qmail: more than %d instructions. (#4.3.0)\n" % limit
    assert (done.code, done.err) == (111, said)
    return done


def dot_forward(place: Place, limit: int) -> Measured:
    (place.place / ".forward").write_bytes(b"\n" * (limit + 1))
    done = place.run("dot-forward", ".forward")
    assert (done.code, done.err) == (111, b"dot-forward: fatal: .forward is larger than 4 MiB\n")
    return done


DIED = b"ZConnected to 127.0.0.1 but connection died. (#4.4.2)\n\0"


def reply_bytes(place: Place, limit: int) -> Measured:
    assert place.remote(b"550-%b\r\n550 no\r\n" % (b"x" * (limit - 20))).out.startswith(b"DConnected to 127.0.0.1")
    done = place.remote(b"550-%b" % (b"x" * limit))
    assert (done.code, done.out) == (0, DIED)
    return done


def reply_lines(place: Place, limit: int) -> Measured:
    assert place.remote(b"550-x\r\n" * (limit - 1) + b"550 no\r\n").out.startswith(b"DConnected to 127.0.0.1")
    done = place.remote(b"550-x\r\n" * (limit + 1))
    assert (done.code, done.out) == (0, DIED)
    return done


def reply_text(place: Place, limit: int) -> Measured:
    done = place.remote(b"550 %b\r\n" % (b"x" * 2 * limit))
    assert done.out.endswith(b"550 " + b"x" * (limit - 4) + b"\0")
    return done


def pop3_command(place: Place, limit: int) -> Measured:
    for name in ("", "new", "cur", "tmp"):
        (place.place / "Maildir" / name).mkdir(mode=0o777)
    said = b"NOOP \n" + b"NOOP " + b"x" * limit + b"\nNOOP " + b"x" * 100 * limit + b"\n"
    done = place.run("qmail-pop3d", "Maildir", stdin=said, user=UID)
    assert done.out.split(b"\r\n")[:4] == [b"+OK ", b"+OK ", b"-ERR unimplemented", b"-ERR unimplemented"]
    return done


def popup_command(place: Place, limit: int) -> Measured:
    done = place.run("qmail-popup", "h", "false", stdin=b"NOOP\nNOOP " + b"x" * 100 * limit + b"\n")
    assert done.out.split(b"\r\n")[1:] == [b"+OK ", b"-ERR authorization first", b""]
    return done


def pop3_messages(place: Place, limit: int) -> None:
    """A million files take too long: here the limit is two."""
    directory = place.place / "Maildir"
    for name in ("", "new", "cur", "tmp"):
        (directory / name).mkdir(mode=0o777)
    for name in "abc":
        (directory / "new" / name).write_bytes(b"x\n")
        os.utime(directory / "new" / name, (1, 1))
    code = (
        "import sys; from qmail.stores import maildir; maildir.MOST = 2; from qmail.programs.retrieve import "
        "qmail_pop3d; sys.exit(qmail_pop3d.main([b'qmail-pop3d', b'Maildir'], {}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=b"STAT\r\n", capture_output=True, cwd=place.place, user=UID, check=True,
        env={"PYTHONPATH": str(TOP / "src")},
    )  # fmt: skip
    assert done.stdout == b"+OK there are too many messages to show all of them\r\n+OK 2 4\r\n"


def control_file(place: Place, limit: int) -> Measured:
    place.control("rcpthosts", b"")
    os.truncate(place.home / "control/rcpthosts", limit + 1)
    done = place.smtpd()
    assert done.out == b"421 unable to read controls (#4.3.0)\r\n"
    return done


def more_hosts(place: Place, limit: int) -> Measured:
    place.control("morercpthosts.cdb", b"")
    os.truncate(place.home / "control/morercpthosts.cdb", limit + 1)
    done = place.smtpd(MAIL, RCPT, b"RCPT TO:<c@elsewhere.example>")
    assert done.out.endswith(b"250 ok\r\n421 unable to read controls (#4.3.0)\r\n")
    return done


@contextmanager
def asked(place: Place, program: str, path: str, user: str = "") -> Iterator[socket.socket]:
    """A connection to a service of this home that answers questions about recipients."""
    who = [f"{TOP}/bin/setuidgid", user] if user and UID else []
    environ = {"QMAIL_HOME": str(place.home), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen([*who, f"{TOP}/bin/{program}"], env=environ, stdin=subprocess.DEVNULL) as process:
        try:
            wait_until((place.home / path).exists)
            with socket.socket(socket.AF_UNIX) as asking:
                asking.settimeout(60)
                asking.connect(str(place.home / path))
                yield asking
        finally:
            process.kill()


def refused_at_once(asking: socket.socket, texts: list[bytes], few: int) -> tuple[int, bytes]:
    """Of many questions, the lowest number among the first few that are answered; and the one answer of these."""
    asking.sendall(b"".join(recipients.question(tag, text) for tag, text in enumerate(texts)))
    reader, told = recipients.Answers(), []
    while len(told) < few:
        told += reader.feed(asking.recv(65536))
    (verdict,) = {verdict for _, verdict in told[:few]}
    return min(tag for tag, _ in told[:few]), verdict


def checks(place: Place, limit: int) -> None:
    """Programs that go on: so many of them run at most, and so many questions wait."""
    begun = place.place / "begun"
    begun.mkdir(mode=0o777)
    begun.chmod(0o777)
    script = place.place / "check"
    script.write_text(f"#!/bin/sh\n: >{begun}/$$\nexec sleep 10\n")
    script.chmod(0o755)
    place.control("rcptcheck", b"%b\n" % os.fsencode(script))
    with asked(place, "qmail-checkd", "qc/check") as asking:
        if limit == 1000:
            first, verdict = refused_at_once(asking, [b"c@example.org"] * 1200, 100)
            assert first >= limit and verdict == recipients.TROUBLE
        else:
            asking.sendall(b"".join(recipients.question(tag, b"c@example.org") for tag in range(limit + 5)))
            wait_until(lambda: len(list(begun.iterdir())) >= limit)
            assert len(list(begun.iterdir())) == limit


def verifying(place: Place, limit: int) -> None:
    """Hosts that let us wait: so many questions are under way, with all of them and with one, and so many wait."""
    with ExitStack() as stack:
        servers = [stack.enter_context(Hop()) for _ in range(15)]
        routes = [b"h%d.example:[127.0.0.1]:%d\n" % (at, each.port) for at, each in enumerate(servers)]
        place.control("smtproutes", b"".join(routes))
        asking = stack.enter_context(asked(place, "qmail-verifyd", "qr/verify", "qmailr"))
        if limit == 1000:
            first, verdict = refused_at_once(asking, [b"999-%d@h0.example" % i for i in range(1200)], 190)
            assert first >= limit and verdict == recipients.UNTOLD
            return
        some = servers[:1] if limit == 2 else servers
        texts = [b"999-%d@h%d.example" % (i, at) for at in range(len(some)) for i in range(3)]
        asking.sendall(b"".join(recipients.question(tag, text) for tag, text in enumerate(texts)))
        wait_until(lambda: sum(len(each.asked_for()) for each in some) >= limit)
        assert sum(len(each.asked_for()) for each in some) == limit and max(each.most for each in some) == 2


def more_relay_recipients(place: Place, limit: int) -> None:
    place.control("morerelayrecipients.cdb", b"")
    os.truncate(place.home / "control/morerelayrecipients.cdb", limit + 1)
    with asked(place, "qmail-rcptd", "qp/rcpt", "qmailp") as asking:
        asking.sendall(recipients.question(1, b"c@elsewhere.example"))
        assert asking.recv(5) == recipients.answer(1, recipients.TROUBLE)


def within(table: dict[str, Callable[[Path, int], None]]) -> dict[str, Callable[[Place, int], Measured | None]]:
    """The same, of a place."""
    return {name: lambda place, limit, try_it=try_it: try_it(place.home, limit) for name, try_it in table.items()}  # type: ignore[misc]


def user_header(place: Place, limit: int) -> Measured:
    (place.home / "qp").mkdir(exist_ok=True)
    environ = {"QMAIL_HOME": str(place.home)}
    command = [BIN / "qmail-password", "-a", "nobody", "joe"]
    subprocess.run(command, input=b"secret\n", env=environ, check=True, capture_output=True)
    authd = subprocess.Popen([BIN / "qmail-authd"], env=environ)
    wait_until((place.home / "qp/login").is_socket)
    login = b"AUTH PLAIN " + base64.b64encode(b"\0joe\0secret")
    text = b"X: " + b"x" * (limit - 4)
    said = [b"EHLO x", login, b"MAIL FROM:<joe@example.org>", RCPT]
    kept = [*said, b"DATA", text, b"", b"."]
    try:
        secured = {"SSL_PROTOCOL": "TLSv1.3", "SMTPAUTH": ""}
        words = b"\r\n".join([*kept, *said[2:], b"DATA", b"y" + text, b"", b".", b"QUIT", b""])
        done = place.run("qmail-smtpd", stdin=words, **secured)
    finally:
        authd.kill()
        authd.wait()
    assert done.out.split(b"\r\n")[-3:-2][0].startswith(b"552 5.3.4 sorry, that header is longer"), done.out
    (whole,) = [message for message, envelope in place.keeper.kept if envelope]
    assert text in whole
    return done


BEYOND: dict[str, dict[str, Callable[[Place, int], Measured | None]]] = {
    "qmail-inject": {"header_fields:LARGEST": header, "header_tokens:MOST": words, "qmail_inject:MOST_LISTS": lists},
    "qmail-smtpd": {
        "smtplines:LONGEST_LINE": command,
        "smtppath:LONGEST": address,
        "smtpenvelope:LARGEST_RECIPIENTS": smtp_recipients,
        "smtpchunks:MOST": chunk,
        "smtpmeasure:MOST_HOPS": hops,
        "mailparameters:LONGEST_ENVID": envelope_id,
        "mailparameters:LONGEST_ORCPT": original_recipient,
        "smtpxclient:LONGEST": introduction,
        "completing:MOST_HELD": user_header,
    },
    "qmail-queue": {
        "envelope:LONGEST_ADDRESS": queue_address,
        "envelope:MOST_BYTES": queue_envelope,
        "envelope:MOST_RECIPIENTS": queue_recipients,
        "mailparameters:LARGEST": queue_parameters,
    },
    "qmail-qmtpd": {
        "qmtp:LONGEST_ADDRESS": qmtp_address,
        "qmtp:MOST_RECIPIENTS": qmtp_recipients,
        "qmtp:LARGEST_RECIPIENTS": qmtp_bytes,
        "netstring:LARGEST": qmtp_netstring,
    },
    "qmail-qmqpd": {
        "qmtp:LONGEST_ADDRESS": qmqp_address,
        "qmtp:MOST_RECIPIENTS": qmqp_recipients,
        "qmtp:LARGEST_RECIPIENTS": qmqp_bytes,
        "netstring:LARGEST": qmqp_netstring,
    },
    "qmail-local": {"userhome:LARGEST": dot_qmail, "userhome:MOST": instructions},
    "dot-forward": {"dot_forward:LARGEST": dot_forward},
    "qmail-remote": {
        "replyreader:LONGEST": reply_bytes,
        "replyreader:MOST_LINES": reply_lines,
        "replyreader:KEPT": reply_text,
    },
    "qmail-stsd": within(tlslimits.STSD),
    "qmail-tlsrptd": within(tlslimits.TLSRPTD),
    "qmail-pop3d": {"pop3:LONGEST_LINE": pop3_command, "maildir:MOST": pop3_messages},
    "qmail-popup": {"pop3:LONGEST_LINE": popup_command},
    "qmail-tlsd": within(doorlimits.TLSD),
    "qmail-authd": within(doorlimits.AUTHD),
    "qmail-checkpwd": within(doorlimits.CHECKPWD),
    "qmail-checkd": {"qmail_checkd:MOST_RUNNING": checks, "qmail_checkd:MOST_WAITING": checks},
    "qmail-verifyd": {
        "qmail_verifyd:MOST_RUNNING": verifying,
        "qmail_verifyd:MOST_AT_HOP": verifying,
        "qmail_verifyd:MOST_WAITING": verifying,
    },
    "control files": {
        "control:LIMIT": control_file,
        "reception:LARGEST_MORE": more_hosts,
        "relayrecipients:LARGEST_MORE": more_relay_recipients,
    },
}
ROWS = [(program.name, limit) for program in limits.TABLE for limit in program.limits]


def test_the_page_is_made_from_the_table() -> None:
    assert (TOP / "docs/reference" / manpages.LIMITS).read_text() == limits.page(), "make man writes it"


@pytest.mark.parametrize(("program", "limit"), ROWS, ids=lambda each: getattr(each, "constant", each))
def test_a_limit_is_that_of_the_code(program: str, limit: limits.Limit) -> None:
    module, _, constant = limit.constant.partition(":")
    assert getattr(importlib.import_module(module), constant) == limit.number


@pytest.mark.parametrize(("program", "limit"), ROWS, ids=lambda each: getattr(each, "constant", each))
def test_what_is_beyond_a_limit_gets_its_answer(home: Path, tmp_path: Path, program: str, limit: limits.Limit) -> None:
    done = BEYOND[program][limit.constant.rpartition(".")[2]](Place(home, tmp_path), limit.number)
    assert done is None or done.memory <= limits.MEMORY[program]


@pytest.mark.prove
@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"To: a " + b"(" * 1000 + b"x" + b")" * 1000 + b"\n", 0),
        (b"To: a " + b"(" * 3_000_000 + b")" * 3_000_000 + b"\n", 0),
        (b"To: a " + b"(" * 6_000_000 + b"\n", 0),
        (b"Subject: " + b"y" * 100_000_000 + b"\n", 100),
        (b"To: " + b"a@b, " * 20_000_000 + b"\n", 100),
        (b"X: y\n" * 1_000_000, 0),
        (b"To: a\n" * 250_000 + b"Subject: x\n" * 750_000, 0),
        (b"X: y\n" + b" z\n" * 1_000_000, 0),
        (b"To: " + b"a " * 499_000 + b"\n", 0),
        (b"To: a@b" + b"." * 499_000 + b"\n", 0),
        (b'To: "' + b"\\" * 10_000_000 + b'" <a>\n', 0),
        (b"To: " + b"a\\ " * 5_000_000 + b"<a>\n", 0),
    ],
    ids=[
        "nested", "nested-deeply", "never-closed", "line", "line-of-addresses", "lines", "lines-of-addresses",
        "folds", "words", "dots", "backslashes", "quoted-blanks",
    ],
)  # fmt: skip
def test_a_hostile_header_ends_in_bounded_time_and_memory(home: Path, tmp_path: Path, text: bytes, code: int) -> None:
    place = Place(home, tmp_path)
    done = place.run("qmail-inject", "-H", "x", stdin=text + b"\nbody\n")
    assert done.code == code, done.err
    assert done.memory <= limits.MEMORY["qmail-inject"]
    assert len(place.keeper.kept) == (code == 0)
