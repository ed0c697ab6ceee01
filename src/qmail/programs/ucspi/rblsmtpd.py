"""rblsmtpd: refuse mail from listed clients, else run the SMTP server.

Lists in the DNS name addresses that send unwanted mail. A client on one of them
gets an answer for every attempt to send, and never reaches the real server.

Usage: rblsmtpd [OPTION...] PROGRAM [ARGUMENT...]

    tcpserver 0 smtp rblsmtpd -r zen.example.org qmail-smtpd

    -r BASE   a list: its TXT record for the address is the reason for refusing
    -a BASE   a list of the good: an A record there ends the questions
    -b        from here on 553, for good, to clients that a list names
    -B        from here on 451, for now (default)
    -c        from here on a list that cannot be asked lists everybody (451), and
              a list of the good nobody
    -C        the other way round (default): trouble with a list lets mail in
    -t N      end the conversation after N seconds (60); 0: say the reason instead
              of a greeting, and hang up

Lists are asked in the order given; the first that knows the address decides.
Without -r and -a none is asked.

Behaviour:
$RBLSMTPD comes first, usually set by a rule of tcpserver: an empty one means no
questions, another is the reason itself, with code 451, or 553 where it begins
with a hyphen (which is removed). Only where it is not set, lists are asked,
about $TCPREMOTEIP: 192.0.2.3 as 3.2.0.192.BASE, IPv6 digit by digit (RFC 5782).

A refused client gets 250 to HELO, EHLO, MAIL, RSET and NOOP, and the reason to
everything else, but for QUIT. The reason is cut at 200 bytes, odd ones become
`?`, and stands in one line on descriptor 2 with address and pid. A line of more
than 64 KiB ends the conversation. For all others PROGRAM takes the place of
rblsmtpd.

Environment: RBLSMTPD, TCPREMOTEIP; DNSCACHEIP (see tcpclient); PATH, to find
PROGRAM.
Runs as: the user of PROGRAM.
Faces: the network.
Exit codes: 100 usage; 111 PROGRAM cannot be run; 0 after a refused
    conversation; else those of PROGRAM.
"""

from __future__ import annotations

import os

from qmail.formats import ip
from qmail.formats.options import Wrong, options
from qmail.formats.tcpoptions import number
from qmail.formats.verdict import Temporary, Usage
from qmail.host import clock, execute, fds, sockets
from qmail.host.program import line, say
from qmail.host.reasons import reason
from qmail.protocols.dnsquery import ADDRESSES4, TEXTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmail.stores.hosts import Ask

USAGE = b"rblsmtpd: usage: rblsmtpd [ -b ] [ -R ] [ -t timeout ] [ -r base ] [ -a base ] smtpd [ arg ... ]"
LONGEST_TEXT = 200  # bytes of the reason
LONGEST_LINE = 65536  # bytes of a client's line
NAME = b"rblsmtpd.local"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    fds.standard_open()
    try:
        found, program = options(argv[1:], b"bBcCt:r:a:")
    except Wrong as wrong:
        say(2, b"rblsmtpd: " + wrong.text + b"\n")
        raise Usage(USAGE) from None
    if not program:
        raise Usage(USAGE)
    reply = _told(environ[b"RBLSMTPD"]) if b"RBLSMTPD" in environ else _listed(found, argv[0], environ)
    if reply:
        seconds = [number(value) for letter, value in found if letter == b"t"]
        _refuse(reply, environ.get(b"TCPREMOTEIP", b""), seconds[-1] if seconds else 60)
        return 0
    try:
        execute.replace(program, environ)
    except OSError as error:
        raise Temporary(b"unable to run " + program[0] + b": " + reason(error)) from error


def _told(text: bytes) -> bytes:
    # What $RBLSMTPD says; empty: the client is welcome.
    if text.startswith(b"-"):
        return b"553 " + text[1:]
    return b"451 " + text if text else b""


def _listed(found: Sequence[tuple[bytes, bytes]], argv0: bytes, environ: dict[bytes, bytes]) -> bytes:
    # What the lists say. The letters count in their order.
    from qmail.stores import hosts

    question = _reversed(environ.get(b"TCPREMOTEIP", b""))
    ask = hosts.asker(argv0, environ)
    bounces = closed = doubtful = False
    for letter, base in found:
        if letter in b"bB":
            bounces = letter == b"b"
        elif letter in b"cC":
            closed = letter == b"c"
        elif letter in b"ra" and question:
            text, good, trouble = _asked(letter, question + base, ask)
            doubtful = doubtful or trouble
            if good or (trouble and letter == b"a" and not closed):
                return b""
            if trouble and letter == b"r" and closed:
                text = b"temporary RBL lookup error"
            if text:
                # After a list that could not be asked nobody is refused for good.
                return (b"553 " if bounces and not doubtful else b"451 ") + text
    return b""


def _asked(letter: bytes, name: bytes, ask: Ask) -> tuple[bytes, bool, bool]:
    # (reason for refusing, is it a good one?, could nobody say?)
    answer = ask([(TEXTS if letter == b"r" else ADDRESSES4, name)])[0]
    if letter == b"r":
        return b"".join(answer.records), False, answer.trouble
    return b"", bool(answer.records), answer.trouble


def _reversed(address: bytes) -> bytes:
    # The address as the lists name it, least part first; empty for what is no address.
    if ip.v4(address) is not None:
        return b".".join(reversed(address.split(b"."))) + b"."
    six = ip.v6(address)
    if six is None:
        return b""
    return b".".join(b"%x" % (six >> shift & 15) for shift in range(0, 128, 4)) + b"."


def _refuse(reply: bytes, address: bytes, seconds: int) -> None:
    reply = bytes(byte if 32 <= byte <= 126 else 63 for byte in reply[: 4 + LONGEST_TEXT])
    say(2, line(b"rblsmtpd: " + address + b" pid %d: " % os.getpid() + reply))
    if not seconds:
        say(1, reply + b"\r\n")
        return
    until = clock.monotonic() + seconds
    answers = {
        b"quit": b"221 " + NAME, **dict.fromkeys((b"helo", b"ehlo", b"mail", b"rset", b"noop"), b"250 " + NAME),
    }  # fmt: skip
    say(1, b"220 " + NAME + b"\r\n")
    rest = b""
    try:
        while sockets.readable(0, until - clock.monotonic()) and (piece := os.read(0, fds.CHUNK)):
            *lines, rest = (rest + piece).split(b"\n")
            for command in lines:
                verb = command.removesuffix(b"\r").partition(b" ")[0].lower()
                fds.write_all(1, answers.get(verb, reply) + b"\r\n")
                if verb == b"quit":
                    return
            if len(rest) > LONGEST_LINE:
                return
    except OSError:
        pass  # the client is gone
