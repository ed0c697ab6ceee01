"""The ten scripts of boot/: each starts qmail with another default delivery (qmail-start(8)).

The one that is copied to HOME/rc decides. `+df` beside a name: the user's .forward is followed first.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

FORWARD = b"|dot-forward .forward"
FORWARD_SAYS = b"dot-forward follows the user's .forward, as sendmail would, where there is one."
# BSD keeps mail.local where no PATH leads.
LIBEXEC = b":/usr/libexec"

# Name, delivery, what it does, and what PATH needs beside the usual.
SCRIPTS = (
    (b"home", b"./Mailbox", b"qmail-local appends each message to the file Mailbox in the user's home.", b""),
    (b"proc", b"|preline procmail", b"procmail delivers, with the From_ line that it wants.", b""),
    (
        b"binm1",
        b'|preline -f mail.local -f "${SENDER:-MAILER-DAEMON}" -d "$USER"',
        b"mail.local, the binmail of 4.4BSD, delivers into the system's spool.",
        LIBEXEC,
    ),
    (
        b"binm2",
        b'|preline -f /bin/mail -r "${SENDER:-MAILER-DAEMON}" -d "$USER"',
        b"/bin/mail -r, the binmail of SVR4, delivers into the system's spool.",
        b"",
    ),
    (
        b"binm3",
        b'|preline -f /bin/mail -f "${SENDER:-MAILER-DAEMON}" -d "$USER"',
        b"/bin/mail -f, the binmail of V7, delivers into the system's spool.",
        b"",
    ),
)


def scripts(home: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, text) of each script, for an installation in `home`."""
    for name, delivery, says, path in SCRIPTS:
        yield name, _script(home, delivery, [says], path)
        yield name + b"+df", _script(home, FORWARD + b"\n" + delivery, [FORWARD_SAYS, says], path)


def _script(home: bytes, delivery: bytes, says: list[bytes], path: bytes) -> bytes:
    # One line is one word without quotes; what a shell would read gets them, and no delivery here has one in it.
    word = delivery if delivery.startswith(b"./") else b"'" + delivery + b"'"
    comments = b"".join([b"# " + line + b"\n" for line in [*says, b"The log goes to syslog, through splogger."]])
    return b'#!/bin/sh\n%bexec env - PATH="%b/bin:$PATH%b" \\\nqmail-start %b splogger qmail\n' % (
        comments,
        home,
        path,
        word,
    )
