"""tlswrap: run a program for a client that speaks TLS.

qmail-tlsd, which has the keys, speaks TLS on the connection; the program reads
and writes plain text, as if there were no TLS.

Usage: tlswrap PROGRAM [ARGUMENT...]

    tcpserver 0 smtps tlswrap qmail-smtpd
    tcpserver 0 pop3s tlswrap qmail-popup pop.example.org checkpassword qmail-pop3d Maildir
    tcpserver 0 6209 tlswrap qmail-qmtpd

Behaviour:
The connection on descriptor 0 goes to qmail-tlsd. After the handshake PROGRAM
takes the place of tlswrap, with the plain text on descriptors 0 and 1 and what
is known of the protection in its environment. Where the handshake fails or
takes more than 60 seconds, nothing is run; qmail-tlsd's log says why.

Environment: PATH, to find PROGRAM. It sets SSL_PROTOCOL, SSL_CIPHER,
SSL_CIPHER_USEKEYSIZE (bits), and SSL_TLS_SNI, the name that the client asked
for.
Files: QMAIL_HOME/qt/socket.
Runs as: root or qmaild; qmail-tlsd hears nobody else.
Faces: the network.
Exit codes: 1 the handshake failed; 100 usage; 111 there is no qmail-tlsd, or
PROGRAM cannot be run; else those of PROGRAM.
"""

from __future__ import annotations

from qmail.formats.verdict import Temporary, Usage
from qmail.host import execute, fds
from qmail.host.reasons import reason
from qmail.stores import home as homes
from qmail.stores import tlsdoor

USAGE = b"tlswrap: usage: tlswrap program [ arg ... ]"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if len(argv) < 2:
        raise Usage(USAGE)
    try:
        door = tlsdoor.knock(homes.find(argv[0], environ))
        facts = tlsdoor.secure(door, 0)
    except OSError as error:
        raise Temporary(b"unable to reach qmail-tlsd: " + reason(error)) from error
    if facts is None:
        return 1
    fds.copy(door, 0)
    fds.move(door, 1)
    try:
        execute.replace(argv[1:], {**environ, **facts.variables})
    except OSError as error:
        raise Temporary(b"unable to run " + argv[1] + b": " + reason(error)) from error
