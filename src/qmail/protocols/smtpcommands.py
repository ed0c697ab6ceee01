"""The commands of an SMTP client (RFC 5321 4.1.1), each a function: what it makes of the session, and the event.

What stands behind the verb comes without blanks in front; the verb as it was written.
"""

from __future__ import annotations

from qmail.protocols import smtpchunks, smtpextensions, smtplogin
from qmail.protocols import smtpreply as reply
from qmail.protocols.smtpenvelope import Envelope
from qmail.protocols.smtpevents import ASK, BEGIN, LOGIN, TLS, TURN
from qmail.protocols.smtpsite import NEVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from qmail.protocols.smtptalk import Talk

_HTTP = (b"get", b"post", b"put", b"head", b"options", b"connect", b"delete")


def _hello(session: Talk, name: bytes, _verb: bytes) -> int:
    return _meet(session, name, b"250 " + session.site.greeting + b"\r\n")


def _extended_hello(session: Talk, name: bytes, _verb: bytes) -> int:
    words = smtpextensions.answer(session.site, session.peer, session.limit)
    return _meet(session, name, words, enhanced=smtpextensions.STATUS_CODES in session.site.extensions)


def _meet(session: Talk, name: bytes, text: bytes, *, enhanced: bool = False) -> int:
    session.peer.greets(name)
    session.enhanced = enhanced
    session.say_plainly(text)
    return session.forget()


def _mail(session: Talk, argument: bytes, _verb: bytes) -> int:
    if not session.message.halfway:
        session.message.forget()  # chunks that were refused
    return session.say(session.envelope.mail(argument, session.login.user, session.terms), reply.SENDER)


def _rcpt(session: Talk, argument: bytes, _verb: bytes) -> int:
    text = session.envelope.rcpt(argument, session.terms)
    if text == reply.HARVESTING:
        return session.end(text)
    session.stage = session.say(text) if text else ASK
    return session.stage


def _data(session: Talk, _argument: bytes, _verb: bytes) -> int:
    if refusal := session.envelope.incomplete:
        return session.say(refusal)
    session.message.forget()  # chunks that were refused
    return _begin(session)


def _chunk(session: Talk, argument: bytes, verb: bytes) -> int:
    if smtpextensions.CHUNKING not in session.site.extensions:
        return unknown(session, argument, verb)
    chunk = smtpchunks.chunk(argument)
    if chunk is None:
        # Nobody can say how much of what follows is no command.
        return session.end(reply.NO_CHUNK)
    session.behind_chunk = True
    return _begin(session) if session.message.expect(*chunk, session.envelope.incomplete) else TURN


def _begin(session: Talk) -> int:
    # What `begin` needs, too: there it is too late to say that it cannot be read.
    session.submission = session.site.submission() if session.login.user else None
    session.envelope.begun = False
    session.stage = BEGIN
    if session.submission is not None and session.submission.limited:
        session.login.count(len(session.envelope.recipients))
        session.stage = LOGIN
    return session.stage


def _reset(session: Talk, _argument: bytes, _verb: bytes) -> int:
    session.say(reply.FLUSHED)
    return session.forget()


def _quit(session: Talk, _argument: bytes, _verb: bytes) -> int:
    return session.end(b"221 " + session.site.greeting + b"\r\n", 0)


def _starttls(session: Talk, argument: bytes, verb: bytes) -> int:
    if session.peer.tls == NEVER:
        return session.say(reply.SECURE) if session.peer.is_secured else unknown(session, argument, verb)
    if argument:
        return session.say(reply.NO_ARGUMENT)
    if session.lines.more:
        # What somebody on the way has put behind it would be taken for what the client says under TLS.
        return session.end(reply.NOTHING_BEHIND)
    session.stage = TLS
    return TLS


def _auth(session: Talk, argument: bytes, verb: bytes) -> int:
    if session.peer.client.login == smtplogin.NEVER:
        return unknown(session, argument, verb)
    clear, ip = not session.peer.is_secured, session.peer.client.origin.ip
    mechanisms = session.site.submission().mechanisms
    return session.log_in(session.login.command(argument, ip, mechanisms, clear=clear, sending=session.envelope.begun))


def _introduce(session: Talk, argument: bytes, verb: bytes) -> int:
    if session.peer.client.successor is None:
        return unknown(session, argument, verb)
    if session.envelope.begun:
        return session.say(reply.NOT_NOW)
    said = session.peer.introduces(argument)
    if said is None:
        return session.say(reply.NO_INTRODUCTION)
    session.login, session.envelope = smtplogin.Login(said.user), Envelope(session.site, session.peer.client)
    if said.user:
        session.trust()
    session.enhanced = False
    session.say_plainly(session.greeting)
    return session.forget()


def unknown(session: Talk, argument: bytes, verb: bytes) -> int:
    """What is none."""
    if session.behind_chunk or (b" HTTP/" in argument and verb.lower() in _HTTP):
        # A client that has counted wrong, or a browser that was led here: what follows may be chosen by whoever
        # wrote a message or a web page, and must not be read as commands.
        return session.end(reply.UNKNOWN)
    return session.say(reply.UNKNOWN)


COMMANDS: Final[dict[bytes, Callable[[Talk, bytes, bytes], int]]] = {
    b"helo": _hello,  # RFC 5321 4.1.1.1
    b"ehlo": _extended_hello,  # 4.1.1.1
    b"mail": _mail,  # 4.1.1.2
    b"rcpt": _rcpt,  # 4.1.1.3
    b"data": _data,  # 4.1.1.4
    b"bdat": _chunk,  # RFC 3030 2
    b"rset": _reset,  # 4.1.1.5
    b"quit": _quit,  # 4.1.1.10
    b"starttls": _starttls,  # RFC 3207 4
    b"auth": _auth,  # RFC 4954 4
    b"xclient": _introduce,  # Postfix's XCLIENT_README
}
SAYINGS: Final[dict[bytes, bytes]] = {
    b"vrfy": reply.TRY,  # 4.1.1.6
    b"help": reply.HELP,  # 4.1.1.8
    b"noop": reply.OK,  # 4.1.1.9
}
BETWEEN = frozenset((b"bdat", b"rset", b"quit", b"helo", b"ehlo"))  # and SAYINGS: what may stand between two chunks
