"""qmail-takeover: put these programs in the place of C qmail's.

In its home, with its mail in the queue; qmail-giveback is the way back.

Usage: qmail-takeover [--dry-run] [--stop SERVICE]... [--services DIRECTORY]...

    qmail-takeover --dry-run
    qmail-takeover --stop /service/qmail-send

    --dry-run  say what will be different, and do nothing
    --stop SERVICE  take this service directory down first, and up again afterwards
    --services DIRECTORY  where service directories are, if not in /service,
               /etc/service or /var/service

--stop and --services may be given more than once. Things `in the way` have to
be dealt with before.

Behaviour:
Every difference in behaviour that the configuration in QMAIL_HOME (/var/qmail)
will meet is said first, each with what to do; what differs for everybody is in
docs/differences.md. Then the library is copied to lib/, what the queue needs
more is made (qq, qs, qr, queue/bad, queue/spare), and bin/ changes places, at one moment,
with the C programs, which are kept in bin.qmail-c/. No kept program stays
setuid or setgid; bin.qmail-c.record has their owners and modes, for
qmail-giveback. Programs of yours in bin/ stay there. The queue, control, users
and aliases are not touched: both systems have the same.

qmail-send must not run. Mail that comes in meanwhile is put off, or accepted by
the old qmail-queue. Whatever ends this half-way, starting it again finishes it.

Environment: QMAIL_HOME.
Files: bin, bin.qmail-c, bin.qmail-c.record, lib, qq, qs, qr, queue/bad, queue/spare.
Runs as: root.
Exit codes: 0 done, or nothing in the way of doing it; 100 something is in the
    way, or usage; 111 qmail-send runs, or the system refuses.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import PERMANENT, Permanent, Temporary, Usage
from qmail.host import program
from qmail.host.reasons import reason
from qmail.rules.finding import Finding
from qmail.rules.takeover import differences
from qmail.stores import home as homes
from qmail.stores import installation, library, oldshowctl, standstill, survey, twosets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmail.stores.home import Home

USAGE = b"qmail-takeover: usage: qmail-takeover [--dry-run] [--stop SERVICE]... [--services DIRECTORY]..."
PROGRAMS = b"/qmail-send", b"/qmail-queue", b"/qmail-local"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    given: dict[bytes, list[bytes]] = {b"--stop": [], b"--services": []}
    words = argv[1:]
    dry = b"--dry-run" in words
    words = [word for word in words if word != b"--dry-run"]
    while words:
        if words[0] not in given or len(words) < 2:
            raise Usage(USAGE)
        given[words[0]].append(words[1])
        del words[:2]
    home = homes.find(b"", environ)
    programs = library.programs_beside(argv[0])
    try:
        return _run(home, programs, dry, given[b"--stop"], given[b"--services"])
    except OSError as error:
        where = os.fsencode(error.filename or home.path)
        raise Temporary(b"unable to go on at " + where + b": " + reason(error) + b"; start it again") from error


def _run(home: Home, programs: dict[str, str], dry: bool, stop: list[bytes], services: list[bytes]) -> int:
    begun = os.path.lexists(home.path + twosets.OLD)  # an exchange was ended between two renames
    if not begun and not any(os.path.lexists(home.path + twosets.BIN + name) for name in PROGRAMS):
        raise Permanent(b"there is no qmail in " + home.path)
    free = begun or twosets.is_ours(home.path + twosets.BIN) or _report(home, programs, services)
    if dry or not free:
        return 0 if free else PERMANENT
    if os.geteuid():
        raise Permanent(b"only root can do this")
    os.umask(0o022)
    held = standstill.hold(home, stop)
    twosets.take_over(home.path, programs, library.running())
    program.say(1, b"taken over. The C programs are in " + home.path + twosets.KEPT + b", without their setuid bits;\n")
    program.say(1, b"'qmail giveback' puts them back. Start qmail-send as you always did.\n")
    if not os.path.lexists(home.file(b"control/smtpextensions")):
        program.say(1, b"SMTP clients are offered what they knew here; control/smtpextensions can offer them more.\n")
    for descriptor in held:
        os.close(descriptor)
    standstill.start(stop)
    return 0


def _report(home: Home, programs: dict[str, str], services: list[bytes]) -> bool:
    """Say what will be different. False where something is in the way."""
    old = home.path + twosets.BIN
    seen = survey.Survey(home.path, services)
    found = list(_in_the_way(home))
    found += [*seen.unreadable, *differences(seen.found, oldshowctl.built(old), survey.wrappers(old, programs))]
    found += _set_id(old, programs)
    program.say(1, b"".join([each.text for each in found]) or b"nothing in this configuration will be different\n")
    return not any(each.blocks for each in found)


def _in_the_way(home: Home) -> Iterator[Finding]:
    try:
        accounts = installation.owners()
    except Permanent as missing:
        yield Finding(missing.text, b"make them: sh setup/users.sh", blocks=True)
        return
    for kind, account in ((b"mess", b"qmailq"), (b"info", b"qmails")):
        owner = os.stat(home.file(b"queue/" + kind)).st_uid
        if owner != accounts[account]:
            yield Finding(
                b"queue/%b belongs to uid %d, and %b is uid %d" % (kind, owner, account, accounts[account]),
                b"give the accounts the uids that the C programs were compiled with",
                blocks=True,
            )
    for kind in (b"todo", b"intd"):
        parts = [name for name in os.listdir(home.file(b"queue/" + kind)) if _is_part(home, kind, name)]
        if parts:
            yield Finding(
                b"queue/" + kind + b" is divided into directories, as by the patch big-todo",
                b"stop what accepts mail, let qmail-send run until qmail-qstat counts nothing that is not "
                b"preprocessed, stop it, and remove the empty directories " + kind + b"/0 and so on",
                blocks=True,
            )


def _is_part(home: Home, kind: bytes, name: bytes) -> bool:
    return os.path.isdir(home.file(b"queue/%b/%b" % (kind, name)))


def _set_id(old: bytes, programs: dict[str, str]) -> Iterator[Finding]:
    for name in sorted(os.listdir(old)):
        mode = os.lstat(old + b"/" + name).st_mode
        if mode & twosets.SET_ID and os.fsdecode(name) not in programs and not os.path.isdir(old + b"/" + name):
            yield Finding(
                b"bin/" + name + b" is setuid or setgid, and none of qmail's programs; it stays as it is",
                b"take the bit away if you do not need it",
            )
