"""qmail-doctor: examine an installation, and say what is wrong and what to do.

Usage: qmail-doctor [--services DIRECTORY]...

    qmail-doctor

    --services DIRECTORY  where service directories are, if not in /service,
               /etc/service, /var/service, or service or supervise of the home;
               may be given more than once

Behaviour:
Each finding is one line that says what is so, and one that says what to do:

    control/rcpthosts is missing: mail from the network is taken for nobody
        write the domains whose mail you take into it, one a line

It looks at owners and modes, the programs, the control files, the certificates,
the aliases, users' homes, the run files and rc, the rules that they name, at
ports, the DNS and the queue. A kernel that cannot confine programs is mentioned,
and counts for nothing. Nothing is changed, and nothing is asked of anybody but
the ports that run files name, the name servers, and the web servers that show our
own policies (MTA-STS).

Where mail is taken from the world, on port 25 of a host with a public address, the
DNS has to know what `qmail dns --check` looks for, of this host and the first 100
domains in control/locals and control/virtualdomains; what is only advised is not
missed.

Environment: QMAIL_HOME; DNSCACHEIP, where no qmail-dns runs.
Files: everything below the home; service directories.
Runs as: root, or the owner in single-user mode.
Exit codes: 0 nothing is wrong; 1 something is; 100 usage; 111 there is no home.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import Ending, Temporary, Usage
from qmail.host import clock, program, sandbox
from qmail.host.reasons import reason
from qmail.rules.controlsense import aliases, control
from qmail.rules.finding import Finding
from qmail.rules.runsense import runs
from qmail.stores import certificates, checkup, library, publicsite, survey
from qmail.stores import home as homes
from qmail.stores.control import Control

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from qmail.stores.home import Home

USAGE = b"qmail-doctor: usage: qmail-doctor [--services DIRECTORY]..."
ILL = 1


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    words, services = argv[1:], []
    while words:
        if words[0] != b"--services" or len(words) < 2:
            raise Usage(USAGE)
        services.append(words[1])
        del words[:2]
    home = homes.find(argv[0], environ)
    if not os.path.isdir(home.queue):
        raise Temporary(b"there is no qmail in " + home.path)
    seen = list(_findings(home, library.programs_beside(argv[0]), services, environ))
    program.say(1, b"".join([each.text for each in seen]) or b"nothing is wrong in " + home.path + b"\n")
    program.say(1, b"".join([each.text for each in checkup.confinement(sandbox.available())]))
    return ILL if seen else 0


def _findings(
    home: Home, programs: Mapping[str, str], services: list[bytes], environ: Mapping[bytes, bytes]
) -> Iterator[Finding]:
    surveyed = survey.Survey(home.path, services)
    found = surveyed.found
    yield from surveyed.unreadable
    for part in (
        lambda: checkup.layout(home),
        lambda: checkup.programs(home, programs),
        lambda: control(found),
        lambda: aliases(found, home.file(b"alias")),
        lambda: checkup.extensions(found),
        lambda: checkup.limits(found),
        lambda: checkup.files(found, home),
        lambda: checkup.homes(found),
        lambda: runs(found, _is_user, _is_group),
        lambda: publicsite.findings(home, found, environ),
        lambda: checkup.running(home, found),
        lambda: certificates.findings(Control(home.path), int(clock.now())),
        lambda: checkup.queue(home),
    ):
        yield from _safely(part)


def _safely(part: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What cannot be looked at is a finding as well."""
    try:
        yield from part()
    except OSError as error:
        where = os.fsencode(error.filename or "something")
        yield Finding(where + b" cannot be looked at: " + reason(error), b"run this as root, or mend that")
    except Ending as end:
        yield Finding(end.text, b"mend that first")


def _is_user(name: bytes) -> bool:
    import pwd

    try:
        pwd.getpwnam(os.fsdecode(name))
    except (KeyError, ValueError):
        return False
    return True


def _is_group(name: bytes) -> bool:
    import grp

    try:
        grp.getgrnam(os.fsdecode(name))
    except (KeyError, ValueError):
        return False
    return True
