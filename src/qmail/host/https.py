"""One document by HTTPS (RFC 9110, RFC 2818), for a process that may wait: whole, or not at all.

Loaded where something is fetched, and only then: `ssl` and `http.client` cost more than all the rest of a process.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl

from qmail.host import connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Failed(Exception):
    """There is no such document, or not as it should be; the words say why."""


class Untrusted(Failed):
    """The server's certificate is not for that name, or by nobody whom this system trusts."""


def text(
    addresses: Iterable[bytes], port: int, host: str, path: str, *, trusted: bytes, largest: int, seconds: int
) -> bytes:
    """A document of type text/plain, at most `largest` bytes.

    `addresses`: where `host` is, packed. `trusted`: certificates (PEM) that may have signed the server's, beside those
    that the system trusts. `seconds`: how long each step may take; whoever wants an end to all of them
    together must end this process. A redirection is a failure. Raises Failed.
    """
    attempt = connect.connect(addresses, port, seconds, seconds)
    if attempt.connection is None:
        raise Failed("no connection")
    plain = socket.socket(fileno=os.dup(attempt.connection.fileno()))
    attempt.connection.close()
    plain.settimeout(seconds)
    try:
        with _context(trusted).wrap_socket(plain, server_hostname=host) as stream:
            return _asked(stream, host, path, largest)
    except ssl.SSLCertVerificationError as error:
        raise Untrusted(error.verify_message) from error
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
        raise Failed(f"{type(error).__name__} {error}") from error
    finally:
        plain.close()


def _asked(stream: ssl.SSLSocket, host: str, path: str, largest: int) -> bytes:
    talk = http.client.HTTPConnection(host)  # its socket is in TLS already
    talk.sock = stream
    talk.request("GET", path, headers={"User-Agent": "qmail", "Connection": "close"})
    with talk.getresponse() as reply:
        if reply.status != 200:
            raise Failed(f"the server answers {reply.status}")
        kind = (reply.getheader("Content-Type") or "").partition(";")[0].strip().lower()
        if kind != "text/plain":
            raise Failed("it is not text/plain")
        document = reply.read(largest + 1)
        if len(document) > largest:
            raise Failed(f"it has more than {largest} bytes")
        if reply.length:
            raise Failed("it is cut")
        return document


def _context(trusted: bytes) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False  # names stand where names belong (RFC 9110 4.3.4)
    if trusted:
        # What is not ASCII is said by people, between the certificates.
        context.load_verify_locations(cadata=trusted.decode("ascii", "ignore"))
    return context
