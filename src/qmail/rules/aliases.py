"""What /etc/aliases (newaliases(1)) and :include: files (newinclude(1)) ask for.

An instruction is a target and its recipients; lines that are empty, or begin with a blank, belong to the
one before, and `#` begins a comment of as many lines. An alias owner-LIST is the owner of LIST.
"""

from __future__ import annotations

from qmail.formats import forwardtable
from qmail.formats.header_tokens import spoken
from qmail.formats.maillist import checked
from qmail.rules.addresslines import addresses, included, is_bare
from qmail.rules.rewriting import Unparsable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from qmail.formats.forwardtable import Record
    from qmail.formats.header_tokens import Token
    from qmail.rules.rewriting import Hosts

BIN = b".bin"  # what newinclude adds to the name of a list
OWNER = b"owner-"


class Unsupported(ValueError):
    """What an address may not be. `text`: `file delivery /x not supported`."""

    def __init__(self, text: bytes) -> None:
        super().__init__(text)
        self.text = text


def records(text: bytes, hosts: Hosts) -> Iterator[Record]:
    """The records of a database made of /etc/aliases. Raises Unparsable, Unsupported or forwardtable.Malformed."""
    for line in _instructions(text):
        first, *others = addresses(line) or [()]
        if not others or not _is_target(first):
            raise Unparsable(line)
        target = _target(first)
        if target.startswith(OWNER):
            yield forwardtable.OWNER + target[len(OWNER) :], _recipient(first, hosts)[1:]
        yield forwardtable.record(target, [forwardtable.command(_command(each, hosts)) for each in others])


def members(lines: Iterable[bytes], hosts: Hosts) -> Iterator[bytes]:
    """The members of a binary list made of an :include: file's lines. Raises Unparsable, Unsupported, or
    maillist.Malformed.
    """
    for line in lines:
        for address in () if line.startswith(b"#") else addresses(line):
            entry = _command(address, hosts)
            if entry.startswith(forwardtable.PROGRAM_WITH_LINES):
                raise Unsupported(b"program delivery " + spoken(address) + b" not supported")
            yield checked(entry)


def _instructions(text: bytes) -> Iterator[bytes]:
    gathered: list[bytes] = []
    for line in text.split(b"\n"):
        if line and line[:1] not in b" \t":
            yield from _instruction(gathered)
            gathered = []
        gathered.append(line)
    yield from _instruction(gathered)


def _instruction(lines: list[bytes]) -> Iterator[bytes]:
    text = b"\n".join(lines).strip(b" \t\r\n")
    if text and not text.startswith(b"#"):
        yield text


def _is_target(address: Sequence[Token]) -> bool:
    text = spoken(address)
    if b"\0" in text:
        return False
    if is_bare(address):
        return bool(text) and not text.startswith((b"|", b"/", b":"))
    return not text.endswith(b"@")


def _target(address: Sequence[Token]) -> bytes:
    return (spoken(address) + (b"@" if is_bare(address) else b"")).lower()


def _command(address: Sequence[Token], hosts: Hosts) -> bytes:
    if b"\0" in spoken(address):
        raise Unsupported(b"NUL not permitted in recipient addresses")
    name = included(address)
    if name is not None:
        if not name:
            raise Unsupported(b"empty :include: filenames not permitted")
        return (name if name.startswith(forwardtable.LIST) else b"./" + name) + BIN
    text = spoken(address)
    if is_bare(address) and text.startswith(b"|"):
        if not text[1:].strip():
            raise Unsupported(b"an empty program (quotes go around the bar, too) not supported")
        return forwardtable.PROGRAM_WITH_LINES + text[1:]
    if is_bare(address) and text.startswith(b"/"):
        raise Unsupported(b"file delivery " + text + b" not supported")
    return _recipient(address, hosts)


def _recipient(address: Sequence[Token], hosts: Hosts) -> bytes:
    whole = spoken(hosts.completed(address))
    if not whole or whole.startswith(b"@"):
        raise Unsupported(b"empty recipient addresses not permitted")
    return forwardtable.RECIPIENT + whole
