"""tcp-env: say who is calling, in front of a server under inetd.

tcpserver tells its programs who is calling; inetd does not. tcp-env does the
same for a program that inetd, or any other server, has given a connection.

Usage: tcp-env [-rR] [-tN] PROGRAM [ARGUMENT...]

    smtp stream tcp nowait qmaild /var/qmail/bin/tcp-env tcp-env /var/qmail/bin/qmail-smtpd

    -r   ask the client's ident server
    -R   do not (default)
    -tN  wait at most N seconds for ident (30)

Behaviour:
The variables of tcp-environ(5) are made from the connection on descriptor 0,
and PROGRAM takes the place of tcp-env. Under tcpserver, where PROTO is TCP
already, the environment stays as it is. Options of other letters are passed
over. Names are asked of the name servers of
this machine; where none could say, TCPREMOTEHOST and TCPLOCALHOST are
`softdnserror`.

Environment: PROTO: see above; PATH, to find PROGRAM. DNSCACHEIP does not count.
Runs as: whoever started it.
Faces: the network, without reading from it.
Exit codes: 111 in silence, where anything is wrong; else those of PROGRAM.
"""

from __future__ import annotations

from qmail.formats.options import Wrong, options
from qmail.formats.tcpenviron import Connection, environment
from qmail.formats.tcpoptions import number
from qmail.formats.verdict import Temporary
from qmail.host import connect, execute, sockets
from qmail.protocols.dnsquery import POINTERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.protocols.dnsquery import Answer

UNANSWERED = b"softdnserror"
OTHERS = bytes(byte for byte in range(33, 127) if byte not in b"rRt:-")  # letters that are passed over


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    try:
        found, program = options(argv[1:], b"rRt:" + OTHERS)
    except Wrong as wrong:
        raise Temporary from wrong
    if not program:
        raise Temporary
    if environ.get(b"PROTO") == b"TCP":
        _run(program, environ, environ)
    asks, seconds = False, 30
    for letter, value in found:
        if letter == b"t":
            seconds = number(value)
        elif letter in (b"r", b"R"):
            asks = letter == b"r"
    if not sockets.is_tcp(0):
        raise Temporary
    try:
        connection = Connection(sockets.local(0), sockets.remote(0))
    except OSError as error:
        raise Temporary from error
    _name(connection, argv[0], environ)
    if asks:
        from qmail.stores import dialing

        connection.info = dialing.user(connection, seconds)
    _run(program, environment(environ, connection), environ)
    return 0


def _name(connection: Connection, argv0: bytes, environ: dict[bytes, bytes]) -> None:
    from qmail.stores import hosts

    ask = hosts.asker(argv0, {name: value for name, value in environ.items() if name != b"DNSCACHEIP"})
    packed = [connect.packed(address) or b"" for address, _ in (connection.local, connection.remote)]
    local, remote = ask([(POINTERS, address) for address in packed])
    connection.local_host, connection.remote_host = _shown(local), _shown(remote)


def _shown(answer: Answer) -> bytes | None:
    if answer.trouble:
        return UNANSWERED
    return answer.records[0] if answer.records else None


def _run(program: list[bytes], environ: dict[bytes, bytes], search: dict[bytes, bytes]) -> None:
    try:
        execute.replace(program, environ, search=search)
    except OSError as error:
        raise Temporary from error
