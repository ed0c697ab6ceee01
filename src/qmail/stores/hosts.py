"""Host names that people write on a command line, as addresses: qualified, looked up, in a chance order.

Qualification follows $DNSREWRITEFILE, else /etc/dnsrewrite, else $LOCALDOMAIN, else the search list of
/etc/resolv.conf, else the domain of this machine's own name (formats.qualify). Names are asked of qmail-dns,
unless $DNSCACHEIP names the server to ask.
"""

from __future__ import annotations

import os

from qmail.formats import ip, qualify
from qmail.formats.verdict import Temporary
from qmail.host import connect
from qmail.protocols.dnsquery import ADDRESSES4, ADDRESSES6, POINTERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qmail.protocols.dnsquery import Answer

    Ask = Callable[[Sequence[tuple[bytes, bytes]]], list[Answer]]

LONGEST_NAME, LONGEST_LABEL = 255, 63  # bytes (RFC 1035 2.3.4)
LARGEST = 1 << 16  # bytes of a file with rules


def asker(argv0: bytes, environ: Mapping[bytes, bytes]) -> Ask:
    """Who answers questions about names. What that takes is loaded with the first one, if at all."""
    found: list[Ask] = []

    def ask(questions: Sequence[tuple[bytes, bytes]]) -> list[Answer]:
        if not found:
            found.append(_asked(argv0, environ))
        return found[0](questions)

    return ask


def _asked(argv0: bytes, environ: Mapping[bytes, bytes]) -> Ask:
    if environ.get(b"DNSCACHEIP"):
        from qmail.stores import resolver

        return lambda questions: resolver.ask(questions, environ)
    from qmail.stores import home, names

    return names.Names(home.find(argv0, environ), environ).ask


def addresses(host: bytes, ask: Ask, environ: Mapping[bytes, bytes]) -> list[bytes]:
    """The IPv4 addresses of a host as text, else its IPv6 addresses. Raises Temporary where nobody could say."""
    return of_kind(host, ADDRESSES4, ask, environ) or of_kind(host, ADDRESSES6, ask, environ)


def of_kind(host: bytes, kind: bytes, ask: Ask, environ: Mapping[bytes, bytes]) -> list[bytes]:
    """The addresses of this kind only, ADDRESSES4 or ADDRESSES6. Raises Temporary where nobody could say."""
    inside = host.removeprefix(b"[").removesuffix(b"]")
    if ip.v6(inside) is not None:
        return [inside] if kind == ADDRESSES6 else []
    for name in qualify.candidates(host, _rules(environ)):
        found = qualify.literal(name)
        if found is None:
            fits = len(name) <= LONGEST_NAME and max(map(len, name.split(b"."))) <= LONGEST_LABEL
            answer = ask([(kind, name)])[0] if fits else None
            if answer is None or answer.trouble:
                why = b"protocol error" if answer is None else b"temporary failure"
                raise Temporary(b"temporarily unable to figure out IP address for " + host + b": " + why)
            found = [connect.text(record) for record in answer.records]
        elif kind == ADDRESSES6:
            return []
        if found:
            return sorted(found, key=lambda _: os.urandom(4))
    return []


def name(address: bytes, ask: Ask) -> bytes | None:
    """The name of an address by DNS, or None."""
    packed = connect.packed(address)
    answer = ask([(POINTERS, packed)])[0] if packed is not None else None
    return answer.records[0] if answer is not None and answer.records else None


def _rules(environ: Mapping[bytes, bytes]) -> list[bytes]:
    lines = _lines(environ.get(b"DNSREWRITEFILE", b"/etc/dnsrewrite"))
    if lines is not None:
        return lines
    if b"LOCALDOMAIN" in environ:
        return qualify.search(environ[b"LOCALDOMAIN"].split())
    for line in _lines(b"/etc/resolv.conf") or []:
        words = line.split()
        if words and words[0] in (b"search", b"domain"):
            return qualify.search(words[1:])
    domain = os.fsencode(os.uname().nodename).partition(b".")[2]
    return qualify.search([domain] if domain else [])


def _lines(path: bytes) -> list[bytes] | None:
    try:
        with open(path, "rb", buffering=0) as file:
            return [line.rstrip(b" \t") for line in file.read(LARGEST).split(b"\n")]
    except OSError:
        return None
