"""TLS in front of a connection to another host (RFC 8446, RFC 3207): the client's side of it.

Loaded only when a server offers TLS: `ssl` costs more than all the rest of a delivery's process.
"""

from __future__ import annotations

import errno
import os
import ssl
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qmail.host.connect import Connection

CHUNK = 65536
_DER = 2  # as the interpreter's own module has it
# X509_V_ERR_* of X509_STORE_CTX_get_error(3): has expired; is for another host, or another address.
_REASONS = {10: b"certificate-expired", 62: b"certificate-host-mismatch", 64: b"certificate-host-mismatch"}


class Secured:
    """A connection as `connect.Connection` is, with everything on it in TLS. What goes wrong is an OSError.

    `name`: the server's, to be told to it; b"" for none. `trusted`: None where its certificate does not matter; else
    it must be for that name, and signed by somebody this system trusts, or by one of those in this file (PEM). With
    `anchors` (certificates in DER) it may be for any name, and must be signed by one of these.
    """

    def __init__(self, connection: Connection, name: bytes, trusted: bytes | None, anchors: Sequence[bytes]) -> None:
        self._connection = connection
        self._coming, self._going = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            host = name.decode("ascii") or None
            context = _anchored(anchors) if anchors else _context(trusted)
            self._tls = context.wrap_bio(self._coming, self._going, server_hostname=host)
        except ValueError as error:
            raise OSError(errno.EINVAL, "the server's name cannot be in a certificate") from error

    def shake_hands(self, seconds: int) -> None:
        """Agree on keys, within so many seconds."""
        until = time.monotonic() + seconds
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                if time.monotonic() > until:
                    raise TimeoutError(errno.ETIMEDOUT, "the server does not finish its handshake") from None
                self._flush()
                self._coming.write(self._connection.receive())
            except ssl.SSLError:
                self._try_to_flush()  # the server hears why, by an alert
                raise
        self._flush()

    def chain(self) -> list[bytes]:
        """The certificates that the server has shown, in DER, its own first; whether they are good is not said."""
        if sys.version_info >= (3, 13):
            return self._tls.get_unverified_chain()
        # The same, before it had a public name.
        shown = self._tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
        return [each.public_bytes(_DER) for each in shown]

    def tell_when_slow(self, slow: Callable[[], None]) -> None:
        """Call `slow` once, when something has not come within a moment."""
        self._connection.tell_when_slow(slow)

    def fileno(self) -> int:
        """The descriptor, for polling."""
        return self._connection.fileno()

    def send(self, data: bytes) -> None:
        """Write all of it."""
        for at in range(0, len(data), CHUNK):
            self._tls.write(data[at : at + CHUNK])
            self._flush()

    def receive(self) -> bytes:
        """What has come, at least one byte. ConnectionResetError at the end, announced or not."""
        while True:
            try:
                data = self._tls.read(CHUNK)
            except ssl.SSLWantReadError:
                self._flush()
                self._coming.write(self._connection.receive())
                continue
            except ssl.SSLZeroReturnError:
                data = b""
            if not data:
                raise ConnectionResetError(errno.ECONNRESET, "the other side has closed")
            return data

    def close(self) -> None:
        """Say that this is the end, and let go."""
        try:
            self._tls.unwrap()
        except OSError:
            pass  # the answer to it is not waited for
        self._try_to_flush()
        self._connection.close()

    def _try_to_flush(self) -> None:
        try:
            self._flush()
        except OSError:
            pass

    def _flush(self) -> None:
        if self._going.pending:
            self._connection.send(self._going.read())


def failure(error: OSError) -> bytes:
    """What went wrong in a handshake, in the words of RFC 8460 4.3."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return b"validation-failure"
    return _REASONS.get(error.verify_code, b"certificate-not-trusted")


def _anchored(anchors: Sequence[bytes]) -> ssl.SSLContext:
    """Trusts these and nobody else, also where they are themselves signed by somebody (RFC 7671 5.2)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=b"".join(anchors))
    return context


def _context(trusted: bytes | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if trusted is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    context.load_default_certs()
    try:
        context.load_verify_locations(os.fsdecode(trusted))
    except FileNotFoundError:
        pass
    return context
