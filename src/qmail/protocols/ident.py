"""Who owns the other end of a connection: the ident protocol (RFC 1413), the asking side.

The answer is a claim of the client's machine about its own user, worth as much as that machine.
"""

from __future__ import annotations

PORT = 113
LONGEST_USER = 257  # bytes that are kept
LONGEST_REPLY = 4096  # bytes that are read


def question(remote_port: int, local_port: int) -> bytes:
    """The line to send."""
    return b"%d , %d\r\n" % (remote_port, local_port)


def user(reply: bytes) -> bytes | None:
    """The user a reply names: what stands behind the third colon, without blanks. None: not a whole line yet.

    Empty where the reply is an error; else anything the other side likes but NUL and line ends.
    """
    line, end, _ = reply.partition(b"\n")
    if not end and len(reply) < LONGEST_REPLY:
        return None
    fields = line.partition(b"\0")[0].translate(None, b" \t\r").split(b":", 3)
    return fields[3][:LONGEST_USER] if len(fields) == 4 else b""
