"""A spawner that delivers nothing, and says what the recipient's name asks for.

    good...   K, at once              temp...   Z, at once             perm...   D, at once
    slow...   K, after 2 seconds      hold...   K, once there is a file hold-<recipient>
    mangled   Q                       die...    exits without a report
    again...  Z the first time, then K
    passed... K, and the next host has taken the parameters
    stray...  K, behind a report on a delivery that nobody ordered
    garbage   bytes that are no report

Every order is appended to the file RECORD, one line each: message, sender, recipient. It is started as
`spawner.py RECORD`, speaks the wide dialect where it is asked to, and says after `DIALECT: narrow` that
it does not know it.
"""

from __future__ import annotations

import os
import select
import sys
import time

from qmail.protocols import spawn


def main() -> None:
    """Until the orders end."""
    record, limit = sys.argv[1], int(os.environ.get("LIMIT", "200"))
    wide = os.environ.get("QMAILSPAWN") == "wide" and os.environ.get("DIALECT") != "narrow"
    os.write(1, spawn.announcement(limit, wide))
    reader = spawn.Orders(wide)
    late: list[tuple[float, str, int]] = []
    tried: set[bytes] = set()
    log = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    while True:
        ready, _, _ = select.select([0], [], [], 0.02 if late else None)
        if ready:
            data = os.read(0, 65536)
            if not data:
                return
            for order in reader.feed(data):
                os.write(log, b"%b %b %b\n" % (order.message, order.sender, order.recipient))
                name = order.recipient
                if name.startswith(b"die"):
                    os._exit(1)
                if name.startswith(b"slow"):
                    late.append((time.monotonic() + 2, "", order.number))
                elif name.startswith(b"hold"):
                    late.append((0, os.path.join(os.path.dirname(record), "hold-" + os.fsdecode(name)), order.number))
                elif name.startswith(b"garbage"):
                    os.write(1, b"\xff" * 70_000)
                else:
                    if name.startswith(b"stray"):
                        os.write(1, spawn.report(limit - 1, b"Dnot mine\n", wide))
                    os.write(1, spawn.report(order.number, answer(name, tried), wide))
        for one in list(late):
            when, path, number = one
            if (path and os.path.exists(path)) or (not path and time.monotonic() >= when):
                late.remove(one)
                os.write(1, spawn.report(number, b"Kafter a while\n", wide))


def answer(name: bytes, tried: set[bytes]) -> bytes:
    """The report for a recipient of this name."""
    if name.startswith(b"temp"):
        return b"Znot now\n"
    if name.startswith(b"perm"):
        return b"Dnever ever\n"
    if name.startswith(b"mangled"):
        return b"Qhuh"
    if name.startswith(b"again") and name not in tried:
        tried.add(name)
        return b"Znot at first\n"
    if name.startswith(b"passed"):
        return b"Kfine\n\0dsn"
    return b"Kfine\n"


if __name__ == "__main__":
    main()
