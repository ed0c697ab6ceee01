"""Which .qmail file answers for an address, and who is the sender of what it forwards (dot-qmail(5))."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DEFAULT = b"default"
BOUNCES = (b"", b"#@[]")  # senders that are never changed


def safe(ext: bytes) -> bytes:
    """The extension as file names know it: lower case, and no dots, which could lead out of the home."""
    return ext.lower().replace(b".", b":")


def candidates(dash: bytes, ext: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """The files that may answer, in order, each with what DEFAULT is then (None: DEFAULT stays as it is)."""
    name = safe(ext)
    cut = len(name) - len(_DEFAULT)
    yield b".qmail" + dash + name, ext[cut:] if name.endswith(_DEFAULT) else None
    for size in range(len(name), -1, -1):
        if size == 0 or name[size - 1 : size] == b"-":
            yield b".qmail" + dash + name[:size] + _DEFAULT, ext[size:]


def new_sender(
    sender: bytes, local: bytes, host: bytes, dash: bytes, ext: bytes, exists: Callable[[bytes], bool]
) -> bytes:
    """The envelope sender of forwarded copies; `exists` is asked for the -owner files of the full extension."""
    if sender in BOUNCES:
        return sender
    owner = b".qmail" + dash + safe(ext) + b"-owner"
    if not exists(owner):
        return sender
    if exists(owner + b"-default"):
        return local + b"-owner-@" + host + b"-@[]"
    return local + b"-owner@" + host
