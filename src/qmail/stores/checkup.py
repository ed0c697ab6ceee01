"""What an examination sees on the disk and in the system: owners and modes, homes, ports, who runs."""

from __future__ import annotations

import _socket
import os
import stat

from qmail.formats.verdict import Temporary
from qmail.host import locks
from qmail.protocols import smtpextensions
from qmail.rules import userlimits
from qmail.rules.finding import Finding
from qmail.stores import forwardfiles, library, loginsource, openports, queueremedies
from qmail.stores.control import Control
from qmail.stores.installation import owners, pieces
from qmail.stores.names import Names, Unanswered, Unknown
from qmail.stores.queue import Queue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qmail.host.sandbox import Available
    from qmail.rules.found import Found, Run
    from qmail.stores.home import Home

PATIENCE = 5.0  # seconds for a port to greet
MOST_HOMES = 100_000  # accounts looked at


def layout(home: Home) -> Iterator[Finding]:
    """Directories and files of the home: there, with their owners and modes. Raises Permanent without qmail's users."""
    accounts = None if home.single else owners()
    split = Queue(home.queue).split
    for piece in pieces():
        part = piece.name.rpartition(b"/")[2]
        if part.isdigit() and int(part) >= split:
            continue
        path = home.file(piece.name) if piece.name else home.path
        try:
            status = os.stat(path)
        except OSError:
            yield Finding(path + b" is missing, or cannot be seen", b"run make setup, which makes what is missing")
            continue
        kind = {"directory": stat.S_ISDIR, "file": stat.S_ISREG, "fifo": stat.S_ISFIFO}[piece.kind]
        if not kind(status.st_mode):
            yield Finding(path + b" is no " + piece.kind.encode(), b"move it away and run make setup")
            continue
        if os.path.islink(path):
            continue
        mode = stat.S_IMODE(status.st_mode)
        if mode != piece.mode and not _harmless(piece.name, mode):
            yield Finding(path + b" has mode %o" % mode, b"chmod %o " % piece.mode + path)
        if accounts is not None and status.st_uid != accounts[piece.owner]:
            yield Finding(path + b" belongs to uid %d" % status.st_uid, b"chown " + piece.owner + b" " + path)


def _harmless(name: bytes, mode: int) -> bool:
    # C qmail's own table for these differs; and nobody is hurt where less is allowed to be seen.
    return not name.startswith((b"queue", b"q")) and not mode & 0o022 and mode & 0o555 == 0o555


def queue(home: Home) -> Iterator[Finding]:
    """What is wrong in the queue itself."""
    still = queueremedies.findings(home)
    if still:
        what = b"%d things are wrong in the queue, such as: %b" % (len(still), still[-1].what)
        yield Finding(what, b"see qmail queue check")


def programs(home: Home, names: Mapping[str, str]) -> Iterator[Finding]:
    """bin/: every program there, none setuid, the library readable for all of qmail's users."""
    missing = [name for name in names if not os.path.lexists(home.program(os.fsencode(name)))]
    if missing:
        some = b", ".join(os.fsencode(name) for name in missing[:3])
        yield Finding(b"%d programs are missing in bin/, such as " % len(missing) + some, b"run make setup")
    for name in sorted(os.listdir(home.file(b"bin"))):
        path = home.program(name)
        if os.path.isfile(path) and os.stat(path).st_mode & 0o6000:
            yield Finding(path + b" is setuid or setgid; nothing of ours needs that", b"chmod ug-s " + path)
    place = os.fsencode(library.running().lib)
    while not home.single and place != b"/":
        if os.stat(place).st_mode & 0o005 != 0o005:
            yield Finding(place + b" is closed to other users, and our library stands below", b"install it elsewhere")
        place = os.path.dirname(place)


def homes(found: Found) -> Iterator[Finding]:
    """Homes that mail is not delivered in: those that everybody may write, and sticky ones."""
    import pwd

    places = {os.fsencode(entry.pw_dir): entry.pw_uid for entry in pwd.getpwall()[:MOST_HOMES] if entry.pw_uid}
    places |= found.homes
    for place, uid in sorted(places.items()):
        try:
            status = os.stat(place)
        except OSError:
            continue
        if status.st_uid != uid or not stat.S_ISDIR(status.st_mode):
            continue
        if status.st_mode & 0o002:
            yield Finding(place + b" is writable for everybody: no mail is delivered there", b"chmod o-w " + place)
        if status.st_mode & stat.S_ISVTX:
            yield Finding(place + b" is sticky: mail waits until its user has edited .qmail", b"chmod -t " + place)


def files(found: Found, home: Home) -> Iterator[Finding]:
    """Texts that are newer than what was compiled from them; aliases that anybody may change; open passwords."""
    more = ((b"control/morercpthosts", b"qmail-newmrh"), (b"control/morerelayrecipients", b"qmail-newmrr"))
    pairs = [(home.file(name), home.file(name + b".cdb"), program) for name, program in more]
    pairs += [(home.file(b"users/assign"), home.file(b"users/cdb"), b"qmail-newu")]
    pairs += [(rules.path.removesuffix(b".cdb"), rules.path, b"tcprules") for rules in found.rules]
    forwarding = [
        path for text in found.aliases.values() for path in forwardfiles.databases(text) if path.startswith(b"/")
    ]
    pairs += [(path[:-4], path, b"newaliases " + path[:-4]) for path in forwarding if path.endswith(b".cdb")]
    for text, made, program in pairs:
        if text != made and os.path.isfile(text) and _changed(text) > _changed(made):
            yield Finding(made + b" is missing, or older than " + text, b"run " + program)
    for name in sorted(found.aliases):
        path = home.file(b"alias/" + name)
        if os.stat(path).st_mode & 0o002:
            yield Finding(path + b" is writable for everybody: its mail is put off", b"chmod o-w " + path)
    yield from _secret(home, b"users/passwords", b"hashes")
    yield from _secret(home, b"control/smtpcredentials", b"passwords", b"qmailr")


def _secret(home: Home, name: bytes, held: bytes, owner: bytes = b"") -> Iterator[Finding]:
    path = home.file(name)
    try:
        status = os.stat(path)
    except OSError:
        return
    if status.st_mode & 0o077:
        yield Finding(path + b" is open to others than its owner, and holds " + held, b"chmod 600 " + path)
    if owner and not home.single and status.st_uid != owners()[owner]:
        yield Finding(path + b" does not belong to " + owner + b", who has to read it", b"chown " + owner + b" " + path)


def limits(found: Found) -> Iterator[Finding]:
    """Lines of control/userlimits that set no limit: nobody who has logged in may send until they are mended."""
    try:
        userlimits.table(found.lines(b"userlimits"))
    except userlimits.Wrong as wrong:
        what = b"control/userlimits has `" + wrong.line + b"`, which sets no limit: users are put off with 451"
        yield Finding(what, b"lines are user:messages:recipients")


def _changed(path: bytes) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def extensions(found: Found) -> Iterator[Finding]:
    """Words of control/smtpextensions that mean nothing."""
    for line in found.lines(b"smtpextensions"):
        if not smtpextensions.known([line]):
            yield Finding(
                b"control/smtpextensions has `" + line + b"`, which is no extension of ours: it has no effect",
                b"they are " + b", ".join(smtpextensions.KNOWN),
            )


def confinement(available: Available) -> Iterator[Finding]:
    """What the kernel lacks for programs that confine themselves. They go on without it, so nothing is wrong."""
    if not available.landlock:
        yield Finding(
            b"this kernel has no Landlock (2 or newer): programs that face the network can open what their user can",
            b"nothing has to be done; Linux has it from 5.19 on, where it is not left out of the boot parameter lsm",
        )
    if not available.seccomp:
        yield Finding(
            b"this kernel has no seccomp filters: programs that face the network can make any system call",
            b"nothing has to be done; Linux has them where it is built with CONFIG_SECCOMP_FILTER",
        )


def own_name(home: Home, me: bytes, environ: Mapping[bytes, bytes]) -> Iterator[Finding]:
    """Does the DNS know the name of this host?"""
    try:
        Names(home, environ).addresses(me)
    except Unknown:
        yield Finding(b"the DNS has no address for control/me, " + me, b"add one, or correct the name")
    except Unanswered:
        yield Finding(b"no name server answers for " + me, b"see /etc/resolv.conf, and whether the network is up")


def running(home: Home, found: Found) -> Iterator[Finding]:
    """What a run file is there for, and does not run."""
    wanted = [run for run in found.running(b"qmail-start") if openports.is_up(run)]
    sends = not _free(home.file(b"queue/lock/sendmutex"))
    if wanted and not sends:
        yield Finding(b"qmail-send does not run, for all of " + wanted[0].path, b"see its log, and svstat")
    if sends and _free(home.file(b"qq/lock")):
        yield Finding(b"qmail-queued does not run: no mail is accepted", b"start its service, or qmail-start again")
    serves = lets_in = False
    for run in found.running(b"qmail-smtpd"):
        for host, port in openports.ports(run) if openports.is_up(run) else ():
            trouble = list(_greets(run, host, port))
            serves = serves or not trouble
            lets_in = lets_in or (not trouble and b"SMTPAUTH=" in run.text)
            yield from trouble
    if serves and _free(home.file(b"qp/lock")):
        what = b"qmail-rcptd does not run: mail for unknown recipients is taken, and bounces go to strangers"
        yield Finding(what, b"make it a service: exec setuidgid qmailp qmail-rcptd")
    if serves and os.path.exists(home.file(b"control/callforward")) and _free(home.file(b"qr/verify.lock")):
        what = (
            b"control/callforward is there, and qmail-verifyd does not run: no other host is asked, and all are taken"
        )
        yield Finding(what, b"make it a service: exec setuidgid qmailr qmail-verifyd; or remove the file")
    if serves and os.path.exists(home.file(b"control/rcptcheck")) and _free(home.file(b"qc/lock")):
        what = b"control/rcptcheck is there, and qmail-checkd does not run: every recipient is put off"
        yield Finding(what, b"make it a service: exec qmail-checkd; or remove the file")
    if lets_in:
        yield from _letting_in(home)


def _letting_in(home: Home) -> Iterator[Finding]:
    if _free(home.file(b"qp/login.lock")):
        what = b"qmail-authd does not run: nobody can log in to send"
        yield Finding(what, b"make it a service: exec setuidgid qmailp qmail-authd")
    try:
        source = loginsource.source(Control(home.path))
    except Temporary as error:
        yield Finding(error.text + b": nobody can log in to send", b"put one of these words into it, or remove it")
        return
    if source == loginsource.CHECKER and _free(home.file(b"ql/checkpw.lock")):
        what = b"control/logins says `checker`, and qmail-checkpwd does not run: nobody can log in to send"
        yield Finding(what, b"make it a service: exec qmail-checkpwd checkpassword true; or remove the file")


def _free(path: bytes) -> bool:
    if not os.path.exists(path):
        return True
    try:
        lock = locks.take(path)
    except OSError:
        return False  # not ours to ask
    if lock is not None:
        os.close(lock)
    return lock is not None


def _greets(run: Run, host: str, port: int) -> Iterator[Finding]:
    host = "127.0.0.1" if host in openports.EVERYWHERE else host
    probe = _socket.socket(_socket.AF_INET6 if ":" in host else _socket.AF_INET)
    probe.settimeout(PATIENCE)
    try:
        probe.connect((host, port))
        if openports.secures_first(run):
            return  # and waits for a handshake
        greeting = probe.recv(512)
    except OSError:
        yield Finding(
            b"nobody answers on %b port %d, for all of " % (host.encode(), port) + run.path, b"see its log, and svstat"
        )
        return
    finally:
        probe.close()
    if not greeting:
        return  # hung up on: its rules may not want this machine
    if not greeting.startswith(b"220") or b"ESMTP" not in greeting:
        yield Finding(
            b"what answers on %b port %d is not our qmail-smtpd: " % (host.encode(), port) + greeting[:60].strip(),
            b"see which other server has the port (ss -ltnp)",
        )
