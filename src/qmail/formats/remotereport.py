"""What qmail-rspawn makes of qmail-remote's records: one report, K, Z or D and text (qmail-rspawn(8))."""

from __future__ import annotations

from qmail.formats import deliverystatus

CRASHED = b"Zqmail-remote crashed.\n"
NOT_RUN = b"ZUnable to run qmail-remote.\n"
NEVER_RUN = b"DUnable to run qmail-remote.\n"
NO_REQUIRETLS = b"DREQUIRETLS support required, which qmail-remote here does not have. (#5.7.30)\n"  # RFC 8689 4.2.1
PASSED_ON = b"P\0"  # the last record: the next host has taken the DSN parameters
SILENT = b"Zqmail-remote produced no output.\n"

_RANK = {b"D": -1, b"Z": 0, b"K": 1}
_LETTER = {rank: letter for letter, rank in _RANK.items()}
_RECIPIENT = {b"h": -1, b"s": 0}


def folded(output: bytes) -> bytes:
    """The report for one recipient.

    The message's record (the first that begins with K, Z or D) gives the letter, unless the first
    record refuses the recipient. The text is that of the first record, and that of the second where
    the message fared no better than the recipient. Behind NUL it says whether the parameters were passed on.
    """
    if not output:
        return SILENT
    *records, _unfinished = output.split(b"\0")
    rank = next((_RANK[record[:1]] for record in records if record[:1] in _RANK), -1)
    recipient = _RECIPIENT.get(output[:1], rank)
    text = records[0][1:] if records else b""
    if rank <= recipient and len(records) > 1 and records[1][:1] in _RANK:
        text += records[1][1:]
    if recipient == 1 and output.endswith(b"\0" + PASSED_ON):
        text += b"\0" + deliverystatus.PASSED_ON
    return _LETTER[recipient] + text


def report(code: int | None, output: bytes) -> bytes:
    """The report on a qmail-remote that ended with `code` (None: of a signal) and had said `output`."""
    if code is None:
        return CRASHED
    if code:
        return NOT_RUN if code == 111 else NEVER_RUN
    return folded(output)
