"""tcpserver: accept TCP connections, and run a program for each.

It decides who may connect, tells the program who is calling, keeps count, and
gives up root. The program itself needs to know nothing of networks.

Usage: tcpserver [OPTION...] HOST PORT PROGRAM [ARGUMENT...]

    envuidgid qmaild tcpserver -vHRU -x /etc/tcp.smtp.cdb 0 smtp qmail-smtpd

HOST `0` or empty listens on every address, IPv4 and IPv6; PORT is a number or a
name from services(5).

    -c N      at most N connections at a time (40); more have to wait
    -C N      at most N from one address (IPv6: one /64); more are refused
    -y PEERS  connections from these addresses and networks (commas between) begin
              with the PROXY header (1 or 2) of a proxy; what it says counts
    -x CDB    follow the rules of tcprules; CDB is opened anew each time
    -X        with -x: a missing CDB allows instead of refusing
    -B TEXT   send TEXT at once, before anything is looked up
    -u UID    become this user, -g GID this group, when the port is bound;
    -U        take both from $UID and $GID (envuidgid)
    -h        look up the name of the client (default); -H: do not
    -p        check that this name has the client's address; -P: do not (default)
    -r        ask the client's ident server; -R: do not (default)
    -t N      wait at most N seconds for ident (26)
    -l NAME   the local name, instead of looking it up
    -1        print the port number when the port is bound
    -b N      backlog (1024)
    -o -O     do, do not (default) leave IP options alone
    -d -D     do, do not (default) delay small packets
    -v -Q -q  log every connection; only what goes wrong (default); nothing

Behaviour:
PROGRAM gets the connection as descriptors 0 and 1, and who is calling as the
variables of tcp-environ(5). TERM ends the server and leaves the connections to
their programs; a restarted server binds at once. -u and -g must be numbers.
Where systemd hands listening sockets over (LISTEN_FDS), these are used instead.
Where PROGRAM is our own qmail-smtpd, alone, warm processes serve it.

Log lines (-v): `status: N/LIMIT`, `pid N from IP`, `ok` or `deny N
LOCALHOST:IP:PORT REMOTEHOST:IP:INFO:PORT`, `end N status S`, S being the raw
wait status (code times 256). A connection that no process of its own serves has
a number above all pids.

Environment: UID, GID for -U; LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES; DNSCACHEIP
(see tcpclient); PATH, to find PROGRAM.
Signals: TERM: exit.
Runs as: root until the port is bound, then -u and -g.
Faces: the network, without reading from it.
Exit codes: 100 usage; 111 the port or the identity is not to be had; 0 after
    TERM.
"""

from __future__ import annotations

import os

from qmail.formats import tcpoptions
from qmail.formats.options import Wrong
from qmail.formats.verdict import Permanent, Temporary, Usage
from qmail.host import fds, identity, signals, sockets
from qmail.host.program import line, say
from qmail.host.reasons import reason
from qmail.stores import home, hosts
from qmail.stores.lookups import Lookups
from qmail.stores.rules import RulesFile
from qmail.stores.tcpservice import Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.formats.tcpoptions import Settings
    from qmail.host.resident import Factory
    from qmail.host.sockets import Listener

USAGE = (
    b"tcpserver: usage: tcpserver [ -1UXpPhHrRoOdDqQv ] [ -c limit ] [ -x rules.cdb ] [ -B banner ] [ -g gid ] "
    b"[ -u uid ] [ -b backlog ] [ -l localname ] [ -t timeout ] host port program"
)
WARNING = b"tcpserver: warning: "


def main(argv: list[bytes], environ: dict[bytes, bytes], resident: Factory | None = None) -> int:
    """Run as described above. `resident` may take the connections over (host.resident)."""
    fds.standard_open()
    try:
        settings, rest = tcpoptions.settings(argv[1:], environ)
    except Wrong as wrong:
        say(2, b"tcpserver: " + wrong.text + b"\n")
        raise Usage(USAGE) from None
    if len(rest) < 3:
        raise Usage(USAGE if settings.verbosity else b"")
    try:
        return _serve(settings, rest, argv[0], environ, resident)
    except (Temporary, Permanent) as end:
        if settings.verbosity:
            raise
        raise Temporary(code=end.code) from None


def _serve(
    settings: Settings, rest: list[bytes], argv0: bytes, environ: dict[bytes, bytes], resident: Factory | None
) -> int:
    arrivals = signals.catch((signals.CHLD, signals.TERM))
    signals.ignore(signals.PIPE)
    port = sockets.port(rest[1])
    if port is None:
        raise Temporary(b"unable to figure out port number for " + rest[1])
    listeners = _inherited(environ) or _listen(_addresses(rest[0], argv0, environ), port, settings)
    lookups = None
    if settings.asks_names:
        lookups = Lookups(home.find(argv0, environ), environ, b"tcpserver")
        lookups.open(lambda: _become(settings))
    _become(settings)
    if settings.prints_port:
        say(1, b"%d\n" % sockets.plain(listeners[0].getsockname())[1])
    _warn(settings)
    null = os.open(b"/dev/null", os.O_RDWR | os.O_CLOEXEC)
    fds.copy(null, 0)
    fds.copy(null, 1)
    os.close(null)
    warm = resident(rest[2:], environ) if resident is not None else None
    if warm is not None:
        warm.begin([listener.fileno() for listener in listeners])
    return Service(settings, rest[2:], environ, listeners, warm, lookups).run(arrivals)


def _inherited(environ: dict[bytes, bytes]) -> list[Listener]:
    """The listening sockets of sd_listen_fds(3), if they are for us; the program shall not take them for its own."""
    told = [environ.pop(name, b"") for name in (b"LISTEN_PID", b"LISTEN_FDS", b"LISTEN_FDNAMES")]
    if told[0] != b"%d" % os.getpid():
        return []
    try:
        return sockets.inherited(tcpoptions.number(told[1]))
    except OSError as error:
        raise Temporary(b"unable to use the sockets of LISTEN_FDS: " + reason(error)) from error


def _warn(settings: Settings) -> None:
    warnings = [b"-%b %b is no number and counts as 0" % (letter, value) for letter, value in settings.odd]
    if settings.rules is not None:
        warnings += RulesFile(settings.rules).dead(settings.asks_host, settings.asks_info)
    if settings.verbosity:
        for warning in warnings:
            say(2, line(WARNING + warning))


def _addresses(host: bytes, argv0: bytes, environ: dict[bytes, bytes]) -> list[bytes]:
    if host in (b"", b"0"):
        return [b"0.0.0.0", b"::"]
    found = hosts.addresses(host, hosts.asker(argv0, environ), environ)
    if not found:
        raise Temporary(b"no IP address for " + host)
    return found[:1]


def _listen(addresses: list[bytes], port: int, settings: Settings) -> list[Listener]:
    try:
        listeners = sockets.listen(addresses, port, settings.backlog)
        if not settings.delays:
            for listener in listeners:
                sockets.undelayed(listener)
    except sockets.NotListening as error:
        raise Temporary(b"unable to " + error.step + b": " + reason(error)) from error
    return listeners


def _become(settings: Settings) -> None:
    step = b"gid"
    try:
        if settings.gid:
            identity.take_group(settings.gid)
        step = b"uid"
        if settings.uid:
            identity.take_user(settings.uid)
    except OSError as error:
        raise Temporary(b"unable to set " + step + b": " + reason(error)) from error
