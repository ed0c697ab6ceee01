"""Notices that say nothing: no failure, or not from a mail system at all (ezmlm-weed(1))."""

from __future__ import annotations

from qmail.formats.header_fields import name
from qmail.formats.mimetype import content_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ENOUGH = 256 * 1024  # bytes of the body that are looked at

# Fields that only lists and answering machines have; b"" for any contents.
_SIGNS = {
    b"mailing-list": (b"",), b"list-id": (b"",), b"x-mailing-list": (b"",), b"x-ml-name": (b"",), b"list-help": (b"",),
    b"list-unsubscribe": (b"",), b"list-post": (b"",), b"list-owner": (b"",), b"list-archive": (b"",),
    b"x-amazon-auto-reply": (b"",), b"precedence": (b"bulk", b"junk", b"list"), b"auto-submitted": (b"auto-replied",),
    b"thread-topic": (b"autoresponse",), b"x-mailer": (b"kana response",),
    b"subject": (
        b"success notice", b"deferral notice", b"message status - delivered", b"message status - opened",
        b"out of office autoreply:", b"autoresponse -",
    ),
}  # fmt: skip
_WARNING = b"\nTHIS IS A WARNING MESSAGE ONLY"


def is_useless(fields: Sequence[bytes], body: Iterable[bytes]) -> bool:
    """Does this message tell of no failure?"""
    contents: dict[bytes, list[bytes]] = {}
    for field in fields:
        contents.setdefault(name(field).lower(), []).append(field.partition(b":")[2].strip().lower())
    kind = content_type((contents.get(b"content-type") or [b""])[0])
    if kind.name == b"multipart/report":
        # RFC 3464 2.3.3. Whatever else it has: mail systems say auto-replied of their failures too.
        actions = _actions(_text(body))
        return bool(actions) and not any(action.startswith(b"failed") for action in actions)
    for written, starts in _SIGNS.items():
        if any(each.startswith(starts) for each in contents.get(written, ())):
            return True
    subject = (contents.get(b"subject") or [b""])[0]
    warning = subject.startswith((b"warning", b"returned mail: warning"))
    sendmail = any(b"mail delivery subsystem" in each for each in contents.get(b"from", ()))
    return warning and sendmail and _WARNING.lower() in b"\n" + b"\n".join(map(bytes.strip, _text(body).split(b"\n")))


def _actions(text: bytes) -> list[bytes]:
    lines = (line.strip() for line in text.split(b"\n"))
    return [line[7:].strip() for line in lines if line.startswith(b"action:")]


def _text(body: Iterable[bytes]) -> bytes:
    """The beginning of the body, in small letters."""
    held = b""
    for piece in body:
        held += piece
        if len(held) >= ENOUGH:
            break
    return held[:ENOUGH].lower().replace(b"**", b"")
