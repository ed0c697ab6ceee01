"""The two lines that qmail-local puts in front of a message in a Maildir: the envelope, for whoever sends it on.

    Return-Path: <SENDER>
    Delivered-To: RECIPIENT

The sender is written as in a header, perhaps with a quoted local part, the recipient as it is.
"""

from __future__ import annotations

LONGEST = 16_384  # bytes of both lines
_SENDER, _RECIPIENT = b"Return-Path: <", b"Delivered-To: "


class Lines:
    """What they say. `size`: the bytes that both of them have."""

    __slots__ = ("recipient", "sender", "size")

    def __init__(self, sender: bytes, recipient: bytes, size: int) -> None:
        self.sender, self.recipient, self.size = sender, recipient, size


def read(head: bytes) -> Lines | None:
    """The lines at the beginning of a message; None where it begins otherwise."""
    first, found_first, rest = head[:LONGEST].partition(b"\n")
    second, found_second, _ = rest.partition(b"\n")
    if not (found_first and first.startswith(_SENDER) and first.endswith(b">") and len(first) > len(_SENDER)):
        return None
    if not (found_second and second.startswith(_RECIPIENT)) or b"\0" in first + second:
        return None
    return Lines(_bare(first[len(_SENDER) : -1]), second[len(_RECIPIENT) :], len(first) + len(second) + 2)


def _bare(address: bytes) -> bytes:
    """The address without the quotes of its local part."""
    if not address.startswith(b'"'):
        return address
    local, at = b"", 1
    while at < len(address) and address[at : at + 1] != b'"':
        at += address[at : at + 1] == b"\\"
        local += address[at : at + 1]
        at += 1
    rest = address[at + 1 :]
    return local + rest if at < len(address) and (rest.startswith(b"@") or not rest) else address
