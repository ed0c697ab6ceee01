"""splogger: lines of a log to syslog.

For machines whose logs go to syslog; syslog may lose entries, multilog does
not.

Usage: splogger [TAG [FACILITY]]

    qmail-start ./Mailbox splogger qmail

TAG is splogger where none is given. FACILITY is a number of syslog(3): 2, mail,
where none is given.

Behaviour:
Each line from descriptor 0 becomes an entry with the time in front, as seconds
since 1970 and microseconds. `alert:` and `warning:` at the start of a line make
it that urgent. Bytes that cannot be printed become `?`. A line of more than 799
bytes becomes several entries, the later ones with `+` between time and text. An
unfinished last line is logged too.

Runs as: qmaill.
Exit codes: 0 the end of the input; 111 reading failed.
"""

from __future__ import annotations

import syslog
import time

from qmail.formats.verdict import Temporary
from qmail.host import fds

LONGEST = 799  # bytes of text in an entry
MAIL = 2
MOST = 23  # the highest facility
PRINTED = bytes(byte if 32 <= byte <= 126 else 0x3F for byte in range(256))
URGENT = ((b"alert:", syslog.LOG_ALERT), (b"warning:", syslog.LOG_WARNING))


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    tag = argv[1] if len(argv) > 1 else b"splogger"
    syslog.openlog(tag.decode("utf-8", "replace"), 0, _facility(argv[2:]) << 3)
    line = _Line()
    try:
        for chunk in fds.chunks(0):
            *lines, last = chunk.split(b"\n")
            for text in lines:
                line.add(text)
                line.end()
            line.add(last)
    except OSError:
        raise Temporary from None
    line.end()
    return 0


def _facility(words: list[bytes]) -> int:
    if not words:
        return MAIL
    digits = words[0][: len(words[0]) - len(words[0].lstrip(b"0123456789"))]
    return min(int(digits[:9] or b"0"), MOST)


class _Line:
    """A line that grows, and the entries that it has become so far."""

    def __init__(self) -> None:
        self.text = b""
        self.stamp = b""
        self.priority = syslog.LOG_INFO
        self.mark = b" "

    def add(self, text: bytes) -> None:
        while text:
            if not self.text:
                self.stamp = _stamp()
            elif len(self.text) == LONGEST:
                self._send()
                self.mark = b"+"
                continue
            room = LONGEST - len(self.text)
            self.text += text[:room].translate(PRINTED)
            text = text[room:]

    def end(self) -> None:
        if self.text:
            self._send()
        self.text, self.mark, self.priority = b"", b" ", syslog.LOG_INFO

    def _send(self) -> None:
        if self.mark == b" ":
            self.priority = next((level for start, level in URGENT if self.text.startswith(start)), syslog.LOG_INFO)
        syslog.syslog(self.priority, (self.stamp + self.mark + self.text).decode("ascii"))
        self.text = b""


def _stamp() -> bytes:
    return b"%d.%06d" % divmod(time.time_ns() // 1000, 1_000_000)
