"""TLS, the server's side, without I/O: OpenSSL between pieces of memory. With
`tlsclient`, the only module that loads ssl.

TLS 1.2 and 1.3 with what OpenSSL and Python choose by default; no renegotiation; no compression.
"""

from __future__ import annotations

import ssl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

CHUNK = 16384  # bytes of plain text of one record


class Unusable(Exception):
    """A certificate or its key cannot be used: why, in a few words."""


class Broken(Exception):
    """The conversation cannot go on: why, in a few words."""


class Ended(Exception):
    """The client sends nothing more. `properly`: it said so (close_notify)."""

    def __init__(self, properly: bool) -> None:
        super().__init__()
        self.properly = properly


class Keys:
    """Certificates with their keys: one for each name in `named`, and one for clients that ask for another, or none.

    Each is the path of a file in PEM: the certificate, those that signed it, and the key, in any order.
    """

    def __init__(self, default: bytes, named: Mapping[str, bytes], *, tickets: bool) -> None:
        """Raises Unusable, its words beginning with the path."""
        self._tickets = tickets
        self._default = self._context(default)
        self._named = {name: self._context(path) for name, path in named.items()}
        self._asked: str | None = None

    def accept(self) -> Stream:
        """The server's side of a new conversation."""
        return Stream(self._default, self)

    def asked(self) -> str:
        """The name that the handshake under way has asked for, once."""
        name, self._asked = self._asked, None
        return name or ""

    def _choose(self, session: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        # Called in the middle of a step of a handshake, so that there is only one that it may be about.
        self._asked = name
        if name and (context := self._named.get(name.lower())):
            session.context = context

    def _context(self, path: bytes) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # an end without close_notify is another end
        if not self._tickets:
            context.options |= ssl.OP_NO_TICKET
            context.num_tickets = 0
        try:
            context.load_cert_chain(path, password=b"")  # nobody is there who could be asked for one
        except (OSError, ValueError) as error:
            raise Unusable(f"{path.decode(errors='replace')}: {_words(error)}") from error
        context.sni_callback = self._choose
        return context


class Stream:
    """One conversation: ciphertext from `receive` to `output`, plain text from `write` to `read`."""

    def __init__(self, context: ssl.SSLContext, keys: Keys) -> None:
        self._in, self._out, self._keys = ssl.MemoryBIO(), ssl.MemoryBIO(), keys
        self._session = context.wrap_bio(self._in, self._out, server_side=True)
        self.name = ""  # of the server, as the client asked for it

    def receive(self, data: bytes) -> None:
        """What came from the client; b"" at its end."""
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()

    def output(self) -> bytes:
        """What is to be sent to the client, once."""
        return self._out.read()

    def shake(self) -> bool:
        """Go on with the handshake: True when it is over. Raises Broken."""
        try:
            self._session.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except (OSError, ValueError) as error:
            raise Broken(_words(error)) from error
        finally:
            self.name = self._keys.asked() or self.name
        return True

    def facts(self) -> tuple[str, str, int]:
        """Protocol, cipher, and its bits, after the handshake."""
        cipher = self._session.cipher()
        return self._session.version() or "-", cipher[0] if cipher else "-", cipher[2] if cipher else 0

    def read(self) -> bytes:
        """Plain text, or b"" where more must come first. Raises Ended, Broken."""
        try:
            data = self._session.read(CHUNK)
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLZeroReturnError:
            raise Ended(properly=True) from None
        except (OSError, ValueError) as error:
            if _is_end(error):
                raise Ended(properly=False) from None
            raise Broken(_words(error)) from error
        if not data:
            raise Ended(properly=True)
        return data

    def write(self, data: bytes) -> None:
        """Plain text for the client. Raises Broken."""
        try:
            self._session.write(data)
        except (OSError, ValueError) as error:
            raise Broken(_words(error)) from error

    def close(self) -> None:
        """Tell the client that nothing more follows."""
        try:
            self._session.unwrap()
        except (OSError, ValueError):
            pass  # its own word is not waited for


def _is_end(error: Exception) -> bool:
    return isinstance(error, ssl.SSLEOFError) or getattr(error, "reason", "") == "UNEXPECTED_EOF_WHILE_READING"


def _words(error: Exception) -> str:
    # OpenSSL's own: `[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:123)`.
    reason = getattr(error, "reason", None)
    if _is_end(error):
        return "the client is gone"
    if isinstance(error, ssl.SSLError) and "PEM lib" in str(error):
        return "no certificate with its key, in PEM"
    if isinstance(reason, str) and reason:
        return reason.lower().replace("_", " ")
    return (error.strerror or "of no use") if isinstance(error, OSError) else str(error)
