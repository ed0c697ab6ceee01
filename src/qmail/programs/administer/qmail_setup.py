"""qmail-setup: everything that a mail server needs, made in one step.

Usage: qmail-setup [--dry-run] [FQDN]

    qmail setup --dry-run              # show what would be made, and make nothing
    qmail setup mail.example.com

It makes what is missing of: the groups and users of qmail, the home (/var/qmail) with its programs and an
empty queue, the first control files, the four aliases that every system has, rules for SMTP in
/etc/tcp.smtp, log directories that belong to qmaill, the services queued, send, rcptd and smtpd (with a
certificate also tlsd, authd, submission and smtps, with control/rcptcheck also checkd, with
control/callforward also verifyd) with links in /service, a Maildir for each person, the names sendmail and
qmail, and what starts it all: a systemd unit, or a line in /etc/inittab.

Behaviour:
FQDN is the name of this host; where it is not given, control/me has it, or the
host's own name. root's mail goes to whoever called sudo, else to the first
person of the account list, else into ~alias/Maildir.
What is there already stays as it is, so that running it again makes only what
is missing. Each thing is recorded in setup.record of the home before it is
made; `qmail unsetup` takes it away again.
Logs are kept by multilog, which turns them over by itself.
With systemd the services are started at once; with /etc/inittab init starts
them when it reads the file again.

Files: QMAIL_HOME, /etc/passwd, /etc/group, /etc/skel/Maildir, /etc/tcp.smtp,
    /var/log/qmail, /service, /etc/systemd/system/qmail.service or /etc/inittab,
    /usr/sbin/sendmail, /usr/lib/sendmail, /usr/local/bin/qmail.
Runs as: root.
Exit codes: 0 done; 100 usage, not root, or a name is needed; 111 something
    cannot be made, and running it again goes on from there.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import Permanent, Temporary, Usage
from qmail.host import program
from qmail.host.reasons import reason
from qmail.stores import configuration, home, setupplan, setuprecord
from qmail.stores.control import Control

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from qmail.stores.setupplan import Step

USAGE = b"qmail-setup: usage: qmail-setup [--dry-run] [FQDN], such as qmail-setup mail.example.com"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    words = [word for word in argv[1:] if word != b"--dry-run"]
    if len(words) > 1 or any(word.startswith(b"-") for word in words):
        raise Usage(USAGE)
    dry = b"--dry-run" in argv[1:]
    if os.geteuid() != 0 and not dry:
        raise Permanent(b"only root can make users and services; --dry-run shows what it would do")
    place = home.find(argv[0], environ)
    fqdn = _name(words, place.path)
    os.umask(0o022)
    made = 0
    for step in setupplan.steps(place.path, fqdn, _person(environ), argv[0]):
        program.say(1, _words(step, dry))
        if not dry:
            _make(step, place.path)
        made += 1
    program.say(1, _last_words(made, dry, place.path, fqdn))
    return 0


def _make(step: Step, path: bytes) -> None:
    try:
        os.makedirs(path, 0o755, exist_ok=True)
        setuprecord.add(path, step.lines)
        step.make()
    except OSError as error:
        raise Temporary(b"unable to make " + step.says + b": " + reason(error)) from error


def _name(words: list[bytes], path: bytes) -> bytes:
    """The name of this host: as told, as it was, or as it calls itself."""
    name = words[0] if words else Control(path).line(b"me") or _own_name()
    if not configuration.is_host_name(name) or (b"." not in name and not words):
        raise Permanent(b"this host has no full name (" + name + b"); say it: qmail setup mail.example.com")
    return name


def _own_name() -> bytes:
    import socket

    called = os.uname().nodename
    return (called if "." in called else socket.getfqdn()).encode("ascii", "replace")


def _person(environ: Mapping[bytes, bytes]) -> bytes | None:
    """Who reads root's mail."""
    people = [name for name, _ in setupplan.people()]
    return environ[b"SUDO_USER"] if environ.get(b"SUDO_USER") in people else next(iter(people), None)


def _words(step: Step, dry: bool) -> bytes:
    text = (b"would make " if dry else b"making ") + program.line(step.says)
    if dry and step.text is not None:
        text += b"".join([b"    " + line + b"\n" for line in step.text.rstrip(b"\n").split(b"\n")])
    return text


def _last_words(made: int, dry: bool, path: bytes, fqdn: bytes) -> bytes:
    if dry:
        return b"%d things are missing; nothing was made.\n" % made if made else b"Nothing is missing.\n"
    told = b"qmail is set up as " + fqdn + b". " if made else b"Everything was there already. "
    shown = b"`svstat /service/*` shows the services, `qmail dns` the records that the DNS needs; "
    return told + shown + b"`qmail unsetup` takes all of it away.\n" + _start(path)


def _start(path: bytes) -> bytes:
    if os.path.isdir(setupplan.SYSTEMD) or os.path.exists(setupplan.INITTAB):
        return b""
    return b"This system has neither systemd nor /etc/inittab; let it start " + path + b"/bin/svscanboot.\n"
