"""The lines qmail-local puts in front of a message, and the search for one of them in its header (qmail-local(8))."""

from __future__ import annotations

from qmail.formats.address import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


# A CR too: by SMTP it would leave this host as the end of a line.
ONE_LINE = bytes.maketrans(b"\r\n", b"__")


def delivered_to(recipient: bytes) -> bytes:
    """`Delivered-To: local@host`, one line whatever is in the address."""
    return b"Delivered-To: %b\n" % recipient.translate(ONE_LINE)


def return_path(sender: bytes) -> bytes:
    """`Return-Path: <sender>`, one line, quoted where it needs to be."""
    return b"Return-Path: <%b>\n" % quote(sender).translate(ONE_LINE)


def in_header(line: bytes, pieces: Iterable[bytes]) -> bool:
    """Does this whole line, byte by byte, stand in the header of a message that comes in pieces?"""
    wanted = b"\n" + line
    data = b"\n"
    for piece in pieces:
        data += piece
        end = data.find(b"\n\n")
        if wanted in (data if end < 0 else data[: end + 1]):
            return True
        if end >= 0:
            return False
        data = data[-len(wanted) :]
    return False
