"""Names for a process that must not wait: questions go out, answers come back through its loop.

Asked is qmail-dns over its socket; where none runs, or $DNSCACHEIP names a server of its own, a child that
this process forks, with the DNS library in it, answers in the same language (protocols/dnsquery).
"""

from __future__ import annotations

import _socket
import os

from qmail.formats.verdict import Ending
from qmail.host import fds, program, sandbox, signals
from qmail.host.loop import Loop
from qmail.protocols import dnsquery
from qmail.protocols.dnsquery import TROUBLE, Answer
from qmail.stores import confinement
from qmail.stores.names import SOCKET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qmail.stores.home import Home

    Done = Callable[[Answer], None]

MOST_WAITING = 4096  # questions under way; more are in trouble at once


class Lookups:
    """The asking side, in the caller's loop. `name`: the program's, for the last words of such a child."""

    def __init__(self, home: Home, environ: Mapping[bytes, bytes], name: bytes) -> None:
        self._path, self._environ, self._name = home.file(SOCKET), environ, name
        self._socket: _socket.socket | None = None
        self._answers = dnsquery.Answers()
        self._waiting: dict[int, Done] = {}
        self._tag = 0
        self._loop: Loop | None = None

    def open(self, become: Callable[[], None]) -> None:
        """Find somebody to ask. A child of our own loads its library, then calls `become` to drop privileges."""
        if not self._environ.get(b"DNSCACHEIP"):
            self._socket = _reached(self._path)
        if self._socket is None:
            self._socket = _forked(self._name, self._environ, become)

    def join(self, loop: Loop) -> None:
        """Hear the answers through this loop."""
        self._loop = loop
        if self._socket is not None:
            loop.watch(self._socket.fileno(), lambda _events: self._heard())

    def ask(self, kind: bytes, name: bytes, done: Done) -> None:
        """`done` gets the answer, from the loop or at once; whatever goes wrong is a TROUBLE answer."""
        if len(self._waiting) >= MOST_WAITING or not self._connected():
            done(Answer(TROUBLE))
            return
        while self._tag in self._waiting:
            self._tag = (self._tag + 1) & 0xFFFF
        self._waiting[self._tag] = done
        question = dnsquery.question(self._tag, kind, name)
        self._tag = (self._tag + 1) & 0xFFFF
        try:
            # Questions are small beside what a socket takes; one that takes no more is not being read.
            whole = self._socket is not None and self._socket.send(question) == len(question)
        except OSError:
            whole = False
        if not whole:
            self._lost()

    def _connected(self) -> bool:
        if self._socket is None:
            self._socket = _reached(self._path) or _forked(self._name, self._environ, lambda: None)
            self._answers = dnsquery.Answers()
            if self._socket is not None and self._loop is not None:
                self.join(self._loop)
        return self._socket is not None

    def _heard(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(65536)
            answers = self._answers.feed(data) if data else None
        except BlockingIOError:
            return
        except (OSError, dnsquery.Broken):
            answers = None
        if answers is None:
            self._lost()
            return
        for tag, answer in answers:
            done = self._waiting.pop(tag, None)
            if done is not None:
                done(answer)

    def _lost(self) -> None:
        if self._socket is not None:
            if self._loop is not None:
                self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None
        waiting, self._waiting = self._waiting, {}
        for done in waiting.values():
            done(Answer(TROUBLE))


def _reached(path: bytes) -> _socket.socket | None:
    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK)
    try:
        socket.connect(path)
    except OSError:
        socket.close()
        return None
    return socket


def _forked(name: bytes, environ: Mapping[bytes, bytes], become: Callable[[], None]) -> _socket.socket | None:
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        pid = os.fork()
    except OSError:
        ours.close()
        theirs.close()
        return None
    if pid:
        theirs.close()
        ours.setblocking(False)
        return ours
    try:
        signals.restore()
        fds.close_from(3, (theirs.fileno(),))
        _answer(theirs, environ, become)
    except BaseException as error:
        fds.write_if_ready(2, program.last_words(name, error)[1])
    finally:
        os._exit(0)


def _answer(asking: _socket.socket, environ: Mapping[bytes, bytes], become: Callable[[], None]) -> None:
    from qmail.stores import resolver

    try:
        become()
        sandbox.enter(confinement.names())
    except Ending:
        return  # the server says it for both
    loop = Loop()
    found = resolver.Resolver(loop, resolver.servers(environ))
    questions = dnsquery.Questions()
    open_ = True

    def heard(_events: int) -> None:
        nonlocal open_
        data = asking.recv(65536)
        open_ = bool(data)
        for tag, kind, name in questions.feed(data):
            found.ask(kind, name, lambda answer, _, tag=tag: asking.sendall(dnsquery.answer(tag, answer)))  # type: ignore[misc]

    loop.watch(asking.fileno(), heard)
    while open_:
        loop.round(found.tick())
