"""What follows MAIL and RCPT: an address, and the parameters behind it (RFC 5321 4.1.2 and 4.1.1.11).

Read as qmail has always read it, so that old and careless clients keep working: words before the
address, `FROM:` and brackets may be missing. The first `<` begins an address that the next unquoted
`>` ends; without one it begins behind the first colon and ends at an unquoted blank. A source route
is dropped up to its first colon. Quotes and backslashes are taken away before anything is counted.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST = 899  # bytes of an address


def parse(argument: bytes, readdressed: Callable[[bytes], bytes] | None = None) -> tuple[bytes, list[bytes]] | None:
    """(address, parameters), or None where the address is too long. `argument` holds no NUL and no line end.

    Parameters are words such as b"SIZE=100"; only those behind a closed bracket and a blank count.
    `readdressed` gives the address in the place of one that ends in a bracket.
    """
    _, bracket, text = argument.partition(b"<")
    end = b">"
    if not bracket:
        text = argument.partition(b":")[2].lstrip(b" ")
        end = b" "
    if text[:1] == b"@":
        text = text.partition(b":")[2]
    if b'"' in text or b"\\" in text:
        address, rest = _unquote(text, end)
    else:
        address, _, rest = text.partition(end)
    if len(address) <= LONGEST and readdressed is not None and address[-1:] == b"]":
        address = readdressed(address)
    if len(address) > LONGEST:
        return None
    return address, rest.split() if bracket and rest[:1] == b" " else []


def _unquote(text: bytes, end: bytes) -> tuple[bytes, bytes]:
    # The text up to an `end` outside quotes, without quotes and backslashes; and what follows that `end`.
    pieces, quoted, at = [], False, 0
    while at < len(text):
        byte = text[at : at + 1]
        at += 1
        if byte == b"\\":
            pieces.append(text[at : at + 1])
            at += 1
        elif byte == b'"':
            quoted = not quoted
        elif byte == end and not quoted:
            break
        else:
            pieces.append(byte)
    return b"".join(pieces), text[at:]
