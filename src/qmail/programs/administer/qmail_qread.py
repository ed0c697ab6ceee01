"""qmail-qread: lists the messages in the queue that have been preprocessed.

Usage: qmail-qread

    27 Jul 2024 17:11:36 GMT  #49412  1005  <joe@example.org>  bouncing
      done  local   ann@example.org
            remote  bob@example.com

Behaviour:
For each message one line with date, number, size in bytes and sender,
`bouncing` at its end if there are failures that the sender was not told of;
then a line for each recipient, its parts divided by tabs, those that are done
marked. Odd bytes are shown as `_`. Messages that wait in todo/ are not listed;
qmail-qstat counts them. The queue may change meanwhile.

Files: queue/: info, local, remote, mess, bounce.
Runs as: root, or the owner in single-user mode.
Exit codes: 0; 111 the queue cannot be read.
"""

from __future__ import annotations

import os

from qmail.formats import received
from qmail.formats.verdict import TEMPORARY
from qmail.host import fds
from qmail.host.reasons import reason
from qmail.stores import home as homes
from qmail.stores.queue import Queue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_SHOWN = bytes(byte if 32 <= byte <= 126 else ord("_") for byte in range(256))
_LARGEST = 64 * 1024 * 1024  # bytes of one file


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    home = homes.find(argv[0], environ)
    try:
        os.chdir(home.queue)
    except OSError as error:
        fds.write_all(1, b"fatal: unable to chdir: " + reason(error) + b"\n")
        return TEMPORARY
    queue = Queue(home.queue)
    for part in range(queue.split):
        directory = b"info/%d" % part
        try:
            names = os.listdir(home.queue + b"/" + directory)
        except OSError as error:
            fds.write_all(1, b"fatal: unable to opendir " + directory + b": " + reason(error) + b"\n")
            return TEMPORARY
        for number in sorted(int(name) for name in names if name.isdigit()):
            fds.write_all(1, b"".join(_message(queue, number)))
    return 0


def _message(queue: Queue, number: int) -> Iterator[bytes]:
    try:
        size = os.stat(queue.file(b"mess", number)).st_size
        bouncing = b" bouncing" if os.path.exists(queue.file(b"bounce", number)) else b""
        with open(queue.file(b"info", number), "rb", buffering=0) as file:
            birth = int(os.fstat(file.fileno()).st_mtime)
            sender = file.read(_LARGEST).partition(b"\0")[0][1:]
    except OSError as error:
        yield _trouble(number, error)
        return
    date = received.date(birth).rpartition(b" ")[0]
    yield (b"%b GMT  #%d  %d  <%b> %b" % (date, number, size, sender, bouncing)).translate(_SHOWN) + b"\n"
    for kind in (b"local", b"remote"):
        try:
            with open(queue.file(kind, number), "rb", buffering=0) as file:
                records = file.read(_LARGEST).split(b"\0")[:-1]
        except FileNotFoundError:
            continue
        except OSError as error:
            yield _trouble(number, error)
            continue
        for record in records:
            if record[:1] in (b"T", b"D"):
                done = b"  done" if record[:1] == b"D" else b""
                yield b"%b\t%b\t%b\n" % (done, kind, record[1:].translate(_SHOWN))


def _trouble(number: int, error: OSError) -> bytes:
    return b"warning: trouble with #%d: %b\n" % (number, reason(error))
