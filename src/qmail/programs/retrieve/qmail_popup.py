"""qmail-popup: greet a POP3 client, and have its name and password checked.

Usage: qmail-popup HOSTNAME CHECKER [ARGUMENT...]

    tcpserver 0 pop3 qmail-popup pop.example.org checkpassword qmail-pop3d Maildir

HOSTNAME stands in the greeting. CHECKER is checkpassword, checkpwfile, or
another one of their kind. The password crosses the network as it is, unless the
client uses APOP or STLS, or tlswrap(1) stands in front.

Behaviour:
CHECKER finds name, password and the greeting's time stamp on descriptor 3, each
ended by a NUL; where they are right it becomes the user and runs its arguments,
which go on with the conversation on descriptors 0 and 1. USER and PASS, or APOP
(RFC 1939 7), are understood, and QUIT. Our own checkers keep no password that
APOP could be checked with: in front of them the greeting has no time stamp, and
APOP is refused. Where CHECKER exits with another code than 0, the client hears
that authorization failed; either way the conversation ends with it.

Where qmail-tlsd runs, and the client comes by TCP, CAPA (RFC 2449) and STLS (RFC
2595) are understood too: qmail-tlsd speaks TLS on the connection, and what it
makes of it takes its place. Anything behind STLS in one segment is the end.
Under TLS, that of tlswrap(1) too, there is AUTH PLAIN (RFC 5034), which gives
CHECKER the same as USER and PASS. There is no SCRAM: CHECKER must see the
password.

Each wait for the client ends after 1,200 seconds; a command of more than 8 KiB
is none. A CHECKER that is at work for 120 seconds while the client, by TCP,
hears nothing from anybody is ended; not so under TLS, where that is not seen.

Environment: PATH, to find CHECKER; SSL_PROTOCOL: TLS is there already, as
tlswrap(1) says. After STLS it sets what tlswrap(1) sets.
Files: QMAIL_HOME/qt/socket.
Runs as: root, so that CHECKER may become the user.
Faces: the network.
Exit codes: 1 always.
"""

from __future__ import annotations

import os

from qmail.host import clock, execute, fds, program, signals, sockets
from qmail.host.timedio import Conversation, ended, segments_sent
from qmail.protocols import pop3, pop3login
from qmail.stores import home, tlsdoor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from qmail.protocols import sasl

PATIENCE = 1200  # seconds
SILENCE = 120  # seconds in which a checker must have decided
HASHERS = (b"checkpassword", b"checkpwfile")
NO_APOP = pop3.bad(b"no APOP, since passwords are not kept here as they are; use USER and PASS")
NO_ANSWER = pop3.bad(b"aack, the checker does not answer")
USAGE = pop3.bad(b"usage: popup hostname subprogram")
FIRST = pop3.bad(b"authorization first")
NOTHING_BEHIND = pop3.bad(b"nothing may follow STLS before the handshake")
NO_TLS = pop3.bad(b"TLS is not to be had now")
CAPABILITIES = pop3.good(b"here they are") + b"TOP\r\nUIDL\r\nUSER\r\n%b%b" + pop3.END


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 3:
        program.say(1, USAGE)
        return 1
    try:
        _Login(argv[1], argv[2:], environ, home.find(argv[0], environ)).talk()
    except OSError:
        pass  # the client is gone, or says nothing
    return 1


class _Login:
    """One client until it is known, or gone."""

    def __init__(self, host: bytes, checker: list[bytes], environ: dict[bytes, bytes], place: home.Home) -> None:
        self._checker, self._environ = checker, environ
        self._stamp = b"<%d.%d@%b>" % (os.getpid(), int(clock.now()), host)
        self._apop = not _hashes(checker[0], environ)
        self._greeting = pop3.good(self._stamp if self._apop else host)
        self._client = Conversation(0, 1, PATIENCE)
        self._user = b""
        self._home = place
        self._secured = b"SSL_PROTOCOL" in environ
        self._auth = pop3login.Login()
        self._offers = not self._secured and tlsdoor.is_there(place) and sockets.is_tcp(0)
        self._lists = self._offers or self._secured  # what it is capable of

    def talk(self) -> None:
        """Raises OSError."""
        client, lines = self._client, pop3.Lines()
        client.say(self._greeting)
        while data := client.hear():
            told = list(lines.feed(data))
            for at, line in enumerate(told, 1):
                if self._auth.awaited:
                    if self._let_in(self._auth.line(line)):
                        return
                    continue
                verb, argument = pop3.command(line)
                if verb == b"stls" and self._offers:
                    if at < len(told) or not data.endswith(b"\n"):
                        # What somebody on the way has put behind it would be taken for what comes under TLS.
                        client.say(NOTHING_BEHIND)
                        client.flush()
                        return
                    if not self._secure():
                        return
                    lines = pop3.Lines()
                elif verb == b"quit":
                    client.say(pop3.OK)
                    client.flush()
                    return
                elif self._known(verb, argument):
                    return

    def _secure(self) -> bool:
        # The client goes to qmail-tlsd, and what comes from there takes its place. False: it is over.
        try:
            door = tlsdoor.knock(self._home)
        except OSError:
            self._client.say(NO_TLS)
            return True
        self._client.say(pop3.good(b"begin"))
        self._client.flush()
        facts = tlsdoor.secure(door, 0)
        if facts is None:
            return False
        fds.copy(door, 0)
        fds.move(door, 1)
        self._environ = {**self._environ, **facts.variables}
        self._user, self._offers, self._secured = b"", False, True
        return True

    def _known(self, verb: bytes, argument: bytes) -> bool:
        """Obey one command. True: name and password went to the checker."""
        if verb == b"pass" and not self._user:
            self._client.say(pop3.bad(b"USER first"))
        elif verb in (b"user", b"pass") and not argument:
            self._client.say(pop3.SYNTAX)
        elif verb == b"user":
            self._user = argument
            self._client.say(pop3.OK)
        elif verb == b"pass":
            self._check(self._user, argument)
            return True
        elif verb == b"capa" and self._lists:
            tls, login = b"STLS\r\n" if self._offers else b"", pop3login.KEYWORD if self._secured else b""
            self._client.say(CAPABILITIES % (tls, login))
        elif verb == b"auth" and self._secured:
            return self._let_in(self._auth.command(argument))
        elif verb == b"apop" and not self._apop:
            self._client.say(NO_APOP)
        elif verb == b"apop":
            user, blank, digest = argument.partition(b" ")
            if blank:
                self._check(user, digest)
                return True
            self._client.say(pop3.SYNTAX)
        else:
            self._client.say(pop3.OK if verb == b"noop" else FIRST)
        return False

    def _let_in(self, answer: bytes | sasl.Password) -> bool:
        if isinstance(answer, bytes):
            self._client.say(answer)
            return False
        self._check(answer.name, answer.password)
        return True

    def _check(self, user: bytes, secret: bytes) -> None:
        self._client.flush()
        reader, writer = os.pipe()
        said = segments_sent(1)
        pid = execute.spawn(self._checker, self._environ, {3: reader})
        os.close(reader)
        try:
            fds.write_all(writer, b"%b\0%b\0%b\0" % (user, secret, self._stamp))
        except OSError:
            pass  # it has made up its mind without reading
        os.close(writer)
        self._client.say(_verdict(pid, said))
        self._client.flush()


def _verdict(pid: int, said: int | None) -> bytes:
    """What remains to be said when the checker, and what it has become, is over. `said`: what the client had heard."""
    handle = os.pidfd_open(pid)
    if not ended(handle, SILENCE) and said is not None and segments_sent(1) == said:
        signals.send(handle, signals.KILL)
        os.waitpid(pid, 0)
        return NO_ANSWER
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code < 0:
        return pop3.bad(b"aack, child crashed")
    return pop3.bad(b"authorization failed") if code else b""


def _hashes(checker: bytes, environ: Mapping[bytes, bytes]) -> bool:
    """Is this checker one of ours, which know nothing but hashes?"""
    for path in execute.candidates(checker, environ):
        if os.access(path, os.X_OK):
            return any(home.is_own(path, name) for name in HASHERS)
    return False
