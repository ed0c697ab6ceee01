"""What is another way in LMTP (RFC 2033) than in SMTP, of a session that is held for a Client who is `local`."""

from __future__ import annotations

_VERBS = {b"lhlo": b"ehlo", b"ehlo": b"", b"helo": b""}  # 4.1


def command(word: bytes) -> bytes:
    """The command of SMTP that is meant by this one, in lower case; b"" is none."""
    return _VERBS.get(word, word)


def protocol(smtp: bytes) -> bytes:
    """What a Received line calls it (RFC 3848), in the place of SMTP, or of ESMTPS and more."""
    return b"LMTP" + smtp.removeprefix(b"E").removeprefix(b"SMTP")
