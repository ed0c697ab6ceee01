"""Sending on the message that is being delivered, as `forward` and `condredirect` do (qmail-command(8)).

Descriptor 0 is the message, DTLINE the Delivered-To line that goes in front of it, so that the message
is known again when it comes back.
"""

from __future__ import annotations

import os

from qmail.formats.mailparameters import onward
from qmail.formats.verdict import Permanent, Temporary
from qmail.host import fds
from qmail.host.reasons import reason
from qmail.stores import submission

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qmail.stores.home import Home


def variable(environ: Mapping[bytes, bytes], name: bytes) -> bytes:
    """One of the variables that qmail-local sets. Raises Permanent where it is missing."""
    if name not in environ:
        raise Permanent(name + b" not set")
    return environ[name]


def rewind() -> None:
    """Begin the message again: a program may have read it. Raises Temporary."""
    try:
        os.lseek(0, 0, os.SEEK_SET)
    except OSError as error:
        raise Temporary(b"unable to rewind: " + reason(error)) from error


def send_on(home: Home, environ: Mapping[bytes, bytes], sender: bytes, recipients: Sequence[bytes]) -> int:
    """Queue the message for these recipients; its qp. Raises Permanent or Temporary, saying what the queue said."""
    line = variable(environ, b"DTLINE")
    try:
        message = submission.begin(home, environ)
    except OSError as error:
        raise Temporary(b"unable to fork: " + reason(error)) from error
    try:
        message.write(line)
        for chunk in fds.chunks(0):
            message.write(chunk)
    except OSError as error:
        message.abandon()
        raise Temporary(b"unable to read message: " + reason(error)) from error
    asked = onward(environ, recipients, listed=sender != environ.get(b"SENDER"))
    outcome = message.finish(sender, recipients, asked)
    if words := submission.words(outcome):
        raise (Permanent if words.startswith(b"D") else Temporary)(words[1:])
    return outcome.qp
