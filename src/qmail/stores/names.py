"""Names and addresses of hosts: asked of qmail-dns where it runs, else by this process itself.

No program but qmail-dns stays resident with the DNS library; a program that runs alone loads it the
first time that a name must be looked up.
"""

from __future__ import annotations

import os

from qmail.host import connect, fds, localsocket
from qmail.protocols import dnsquery
from qmail.protocols.dnsquery import ADDRESSES4, ADDRESSES6, EXCHANGERS, NAMELESS, TROUBLE, Answer
from qmail.rules.mx import Exchanger, is_null, ordered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qmail.stores.home import Home

SOCKET = b"qr/dns"
LOCK = b"qr/lock"  # held by the qmail-dns that answers there
MODE = 0o666  # of the socket
PATIENCE = 60  # seconds for qmail-dns to answer; it gives up earlier by itself
LONGEST_NAME = 255  # bytes


class Unknown(Exception):
    """There is no such host."""


class Unanswered(Exception):
    """No name server could say; later perhaps."""


class Refusing(Exception):
    """The domain says that it takes no mail (RFC 7505)."""


class Names:
    """Looks names up. Answers are those of protocols/dnsquery.

    `alone`: never ask qmail-dns; where $DNSCACHEIP is set for one program it means the servers that
    this program wants asked.
    """

    def __init__(self, home: Home, environ: Mapping[bytes, bytes], *, alone: bool = False) -> None:
        self._path, self._environ, self._alone = home.file(SOCKET), environ, alone
        self._door: _Door | None = None

    def ask(self, questions: Sequence[tuple[bytes, bytes]]) -> list[Answer]:
        """The answers to these (kind, name), in their order. Whatever goes wrong is a TROUBLE answer."""
        for fresh in () if self._alone else (False, True):
            try:
                if self._door is None:
                    self._door = _Door(self._path)
                return self._door.ask(questions)
            except (BlockingIOError, dnsquery.Broken):
                # It is there and does not answer: asking the servers ourselves would not be better.
                self.close()
                return [Answer(TROUBLE)] * len(questions)
            except OSError:
                # A kept connection may have been closed by a qmail-dns that went away: once more, on a new one.
                if self._door is None or fresh:
                    break
                self.close()
        self.close()
        from qmail.stores.resolver import ask

        return ask(questions, self._environ)

    def close(self) -> None:
        """Let the connection to qmail-dns go."""
        if self._door is not None:
            self._door.close()
            self._door = None

    def addresses(self, host: bytes) -> Sequence[bytes]:
        """The packed addresses of a host, IPv6 first, or the one it names itself, with or without brackets.

        Raises Unknown or Unanswered.
        """
        return self.located(host).addresses

    def located(self, host: bytes, *, vouched: bool = False) -> Exchanger:
        """A host, with its addresses, as the one that takes mail. Raises Unknown or Unanswered."""
        written = literal(host)
        if written is not None:
            return Exchanger(0, host, [written])
        known = self._with_addresses([Exchanger(0, host, vouched=vouched)], host) if _fits(host) else []
        if not known:
            raise Unknown(host)
        return known[0]

    def exchangers(self, host: bytes) -> list[Exchanger]:
        """Who takes mail for a host, best first, equal ones by chance, with their addresses (RFC 5321 5.1).

        A host without exchangers is its own; empty where none of them has an address. Raises Unknown,
        Unanswered or Refusing.
        """
        if literal(host) is not None:
            return [self.located(host)]
        answer = self.ask([(EXCHANGERS, host)])[0] if _fits(host) else Answer(NAMELESS)
        if answer.status == TROUBLE:
            raise Unanswered(host)
        if answer.status == NAMELESS:
            raise Unknown(host)
        named = [
            Exchanger(int.from_bytes(record[:2], "big"), record[2:], vouched=answer.authentic)
            for record in answer.records
        ]
        if not named:
            return [self.located(host, vouched=answer.authentic)]
        if is_null(named):
            raise Refusing(host)
        for each in named:
            each.renamed = answer.alias
        return self._with_addresses(ordered(named, os.urandom(2 * len(named))), host)

    def _with_addresses(self, exchangers: list[Exchanger], host: bytes) -> list[Exchanger]:
        answers = self.ask([(kind, each.name) for each in exchangers for kind in (ADDRESSES6, ADDRESSES4)])
        for i, each in enumerate(exchangers):
            both = answers[2 * i : 2 * i + 2]
            each.addresses = [record for answer in both for record in answer.records]
            each.secure = all(answer.authentic for answer in both if answer.records)
            each.alias = any(answer.alias for answer in both)
        known = [each for each in exchangers if each.addresses]
        if not known and any(answer.trouble for answer in answers):
            raise Unanswered(host)
        return known


def literal(host: bytes) -> bytes | None:
    """The packed address that a host name is itself: 1.2.3.4, [1.2.3.4], [IPv6:2001:db8::1] (RFC 5321 4.1.3)."""
    if host[:1] == b"[" and host[-1:] == b"]":
        inside = host[1:-1]
        return connect.packed(inside[5:] if inside[:5].lower() == b"ipv6:" else inside)
    return connect.packed(host)


class _Door:
    """A connection to qmail-dns, kept for later questions. Raises OSError or dnsquery.Broken."""

    def __init__(self, path: bytes) -> None:
        self._descriptor, self._tag = localsocket.connect(path, patience=PATIENCE), 0

    def ask(self, questions: Sequence[tuple[bytes, bytes]]) -> list[Answer]:
        tags = [self._tag + i & 0xFFFF for i in range(len(questions))]
        self._tag = self._tag + len(questions) & 0xFFFF
        asked = zip(tags, questions, strict=True)
        fds.write_all(self._descriptor, b"".join(dnsquery.question(tag, kind, name) for tag, (kind, name) in asked))
        reader, found = dnsquery.Answers(), dict[int, Answer]()
        while any(tag not in found for tag in tags):
            data = os.read(self._descriptor, fds.CHUNK)
            if not data:
                raise ConnectionResetError
            found.update(reader.feed(data))
        return [found[tag] for tag in tags]

    def close(self) -> None:
        os.close(self._descriptor)


def _fits(host: bytes) -> bool:
    return 0 < len(host) <= LONGEST_NAME and b"\0" not in host
