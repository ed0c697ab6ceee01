"""svscanboot: svscan as a machine starts it, its last words visible in ps.

The one line that a machine must be told, for all services to run from then on.

Usage: svscanboot [DIRECTORY]

    SV:123456:respawn:/command/svscanboot          # a line of /etc/inittab

Or a unit of systemd with `ExecStart=/command/svscanboot`, `Restart=always` and
`KillMode=process`. DIRECTORY is /service where none is given.

Behaviour:
What an earlier svscan may have left running in DIRECTORY is ended first: `svc
-dx` for every service and its log, for at most 5 seconds. Then it runs

    svscan DIRECTORY 2>&1 | readproctitle service errors: ....

with 400 dots. The environment is only a PATH: /command, the directory that
svscanboot stands in, and the usual ones. Descriptors 0, 1 and 2 are /dev/null.
svscan takes the place of svscanboot, so that init, which starts svscanboot
again when it ends, sees when svscan does.

Files: /service.
Runs as: root, by init.
Exit codes: 111 a program cannot be run; else those of svscan.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import Temporary
from qmail.host import execute, fds
from qmail.host.reasons import reason

SERVICE = b"/service"
PATH = b"/command:%b:/usr/local/bin:/usr/local/sbin:/bin:/sbin:/usr/bin:/usr/sbin:/usr/X11R6/bin"
DOTS = 400
PATIENCE = b"5"  # seconds for old supervises to end; svscan tries again every five seconds anyway


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    directory = argv[1] if len(argv) > 1 else SERVICE
    here = os.path.dirname(os.path.abspath(argv[0]))
    environment = {b"PATH": PATH % here}
    try:
        fds.standard_open()
        nothing = os.open(b"/dev/null", os.O_RDWR)
        for descriptor in (0, 1, 2):
            fds.copy(nothing, descriptor)
        left = [b"%b/%b" % (directory, name) for name in _services(directory)]
        if left:
            words = [here + b"/svc", b"-dx", b"-w", PATIENCE, *left, *(path + b"/log" for path in left)]
            os.waitpid(execute.spawn(words, environment, {}), 0)
        reader, writer = os.pipe()
        words = [b"readproctitle", b"service", b"errors:", b"." * DOTS]
        execute.spawn(words, environment, {0: reader, 1: nothing, 2: nothing})
        fds.copy(writer, 1)
        fds.copy(writer, 2)
        execute.replace([b"svscan", directory], environment)
    except OSError as error:
        raise Temporary(b"unable to start svscan in " + directory + b": " + reason(error)) from None


def _services(directory: bytes) -> list[bytes]:
    try:
        return sorted(name for name in os.listdir(directory) if not name.startswith(b"."))
    except OSError:
        return []  # svscan will say so
