"""Notices of failure in qmail-send's format, read: whom they are about (formats.bounce writes them).

Hi. This is ...
(blank line)
<joe@example.org>:
what went wrong
(blank line)
--- what follows is the message
"""

from __future__ import annotations

MOST = 1000  # addresses of one notice


def failures(body: bytes) -> list[tuple[bytes, bytes]]:
    """(address, paragraph about it) of each failure; none where this is no such notice."""
    paragraphs = body.lstrip(b"\n").split(b"\n\n")
    while paragraphs and paragraphs[0].startswith(b"--"):
        del paragraphs[0]  # the line that begins the first part of a MIME message
    if paragraphs and paragraphs[0].lower().startswith(b"content-"):
        del paragraphs[0]
    if not paragraphs or not paragraphs[0].startswith(b"Hi. This is the"):
        return []
    found: list[tuple[bytes, bytes]] = []
    for paragraph in paragraphs[1:]:
        paragraph = paragraph.lstrip(b"\n")  # behind an empty report
        if paragraph.startswith(b"-") or len(found) == MOST:
            break
        first = paragraph.partition(b"\n")[0].rstrip()
        if first.startswith(b"<") and first.endswith(b">:"):
            found.append((first[1:-2], paragraph + b"\n"))
    return found
