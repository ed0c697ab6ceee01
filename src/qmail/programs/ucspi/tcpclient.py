"""tcpclient: connect to a TCP server, and run a program with the connection.

The program needs no network of its own: it reads and writes descriptors, as a
server under tcpserver does.

Usage: tcpclient [OPTION...] HOST PORT PROGRAM [ARGUMENT...]

    tcpclient -RHl0 mx.example.org smtp sh -c 'head -n 1 <&6'

HOST `0` or empty is this machine; PORT is a number or a name from services(5).

    -i IP     our own address                -p PORT   our own port
    -T X+Y    give each address X seconds, then those that gave no answer Y more
              (2+58)
    -l NAME   the local name, instead of looking it up
    -h        look up the name of the server's address (default)
    -H        do not
    -r        ask the server's machine for the user (ident); -R: do not (default)
    -t N      wait at most N seconds for ident (26)
    -d        delay small packets, as TCP does (default); -D: do not
    -v        say everything on descriptor 2
    -Q        only what goes wrong (default); -q: nothing

Behaviour:
PROGRAM gets the connection as descriptor 6, for reading, and 7, for writing;
both ends are described by the variables of tcp-environ(5). It takes the place
of tcpclient. All addresses of HOST are tried, in a chance order, IPv4 before
IPv6. What may be left out of HOST is completed by the rules of $DNSREWRITEFILE,
else /etc/dnsrewrite, else $LOCALDOMAIN, else the search list of
/etc/resolv.conf.

Environment: DNSCACHEIP names servers to ask instead of those of
/etc/resolv.conf; DNSREWRITEFILE, LOCALDOMAIN: see above; PATH, to find PROGRAM.
Files: /etc/resolv.conf, /etc/dnsrewrite.
Runs as: whoever started it.
Faces: the network.
Exit codes: 100 usage; 111 no connection, or PROGRAM cannot be run; else those
    of PROGRAM.
"""

from __future__ import annotations

from qmail.formats import ip
from qmail.formats.options import Wrong, options
from qmail.formats.tcpenviron import environment
from qmail.formats.tcpoptions import number
from qmail.formats.verdict import Usage
from qmail.host import execute, fds, sockets
from qmail.host.program import say
from qmail.host.reasons import reason
from qmail.stores import dialing, hosts

USAGE = (
    b"tcpclient: usage: tcpclient [ -hHrRdDqQv ] [ -i localip ] [ -p localport ] [ -T timeoutconn ] "
    b"[ -l localname ] [ -t timeoutinfo ] host port program"
)


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    fds.standard_open()
    try:
        found, rest = options(argv[1:], b"dDvqQhHrRi:p:t:T:l:")
    except Wrong as wrong:
        say(2, b"tcpclient: " + wrong.text + b"\n")
        raise Usage(USAGE) from None
    call = dialing.Call()
    given: dict[bytes, bytes] = {}
    for letter, value in found:
        # Of two opposite letters the later one counts: it takes the other's place.
        given[{b"H": b"h", b"R": b"r", b"D": b"d", b"Q": b"v", b"q": b"v"}.get(letter, letter)] = value or letter
    call.verbosity = {b"q": 0, b"Q": 1, b"v": 2}[given.get(b"v", b"Q")]
    if b"T" in given:
        call.patience = dialing.patience(given[b"T"])
    source = given.get(b"i", b"")
    if b"i" in given and ip.v4(source) is None and ip.v6(source) is None:
        raise Usage(USAGE)
    call.source = source, number(given.get(b"p", b"")) & 0xFFFF
    if len(rest) < 3:
        raise Usage(USAGE if call.verbosity else b"")
    ask = hosts.asker(argv[0], environ)
    end, connection = call.dial(rest[0], rest[1], ask, environ)
    if given.get(b"d") == b"D":
        sockets.undelayed(end)
    connection.local_host = given[b"l"] if b"l" in given else hosts.name(connection.local[0], ask)
    if given.get(b"h") != b"H":
        connection.remote_host = hosts.name(connection.remote[0], ask)
    if given.get(b"r") == b"r":
        connection.info = dialing.user(connection, number(given.get(b"t", b"26")))
    fds.move(end.detach(), 6)
    fds.copy(6, 7)
    try:
        execute.replace(rest[2:], environment(environ, connection), search=environ)
    except OSError as error:
        raise call.fatal(b"unable to run " + rest[2] + b": " + reason(error)) from error
