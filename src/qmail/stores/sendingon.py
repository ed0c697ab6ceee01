"""A Maildir sent on to a host: maildirserial over tcpclient, as maildirsmtp and maildirqmtp have it."""

from __future__ import annotations

from qmail.formats.verdict import Temporary
from qmail.host import execute
from qmail.host.reasons import reason
from qmail.stores import home as homes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

LIFETIME = b"1209600"  # seconds


def become(
    argv0: bytes,
    environ: Mapping[bytes, bytes],
    maildir: tuple[bytes, bytes],
    host: tuple[bytes, bytes],
    client: list[bytes],
) -> NoReturn:
    """Send what `maildir` has (directory, prefix) to `host` (name, port) by our program `client`. Raises Temporary."""
    home = homes.find(argv0, environ)
    path = environ.get(b"PATH", execute.DEFAULT_PATH) + b":" + home.file(b"bin")
    sender = [home.program(b"maildirserial"), b"-b", b"-t", LIFETIME, b"--", *maildir]
    connection = [b"tcpclient", b"-RHl0", b"--", *host]
    try:
        execute.replace([*sender, *connection, home.program(client[0]), *client[1:]], {**environ, b"PATH": path})
    except OSError as error:
        raise Temporary(b"unable to run " + sender[0] + b": " + reason(error)) from error
