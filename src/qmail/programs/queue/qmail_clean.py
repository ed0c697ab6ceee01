"""qmail-clean: remove what qmail-send names.

qmail-send decides, but may not remove files from todo/, intd/ and mess/: these
belong to another user. So it asks qmail-clean, which does just this.

Usage: qmail-clean

qmail-start runs it. Orders come on descriptor 0, each ended by a NUL:

    todo/N    remove intd/N and todo/N: message N is preprocessed, or done with
    foop/N    remove intd/N and mess/N: message N is to be no more

Behaviour:
Each order gets one byte on descriptor 1:

    +  gone (or never there)
    !  a file could not be removed, ask again later
    x  no such order

Orders that arrive together are answered together. From time to time qmail-clean
removes what writers that died left in pid/ and intd/: files not written to for
36 hours, of no message in todo/, that nobody holds the lock of. It ends when
the orders end, and at once when qmail-send is gone: what that has ordered and
was not done yet is for the next one to order.

Files: QMAIL_HOME/queue: pid, intd, todo, mess.
Runs as: qmailq.
Exit codes: 0 the orders ended; 111 the queue cannot be entered, or nobody reads
    the answers.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import TEMPORARY, Temporary
from qmail.host import clock, durable, sandbox
from qmail.stores import confinement
from qmail.stores import home as homes
from qmail.stores import queue as queues
from qmail.stores.queue import Queue

LONGEST_ORDER = 100  # bytes, with its NUL
READ = 65536  # bytes of orders at once
ORDERS_BETWEEN_WALKS = 1000
SECONDS_BETWEEN_WALKS = 3600.0

DONE, FAILED, UNKNOWN = b"+", b"!", b"x"
REMOVED = {b"todo/": (b"intd", b"todo"), b"foop/": (b"intd", b"mess")}  # in this order


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    home = homes.find(argv[0], environ)
    if not os.path.isdir(home.queue):
        raise Temporary(b"unable to enter " + home.queue)
    queue = Queue(home.queue)
    sandbox.enter(confinement.cleaning(home))
    sender = os.getppid()
    rest = b""
    due, walked = 0, 0.0
    while True:
        if due <= 0 or clock.monotonic() > walked + SECONDS_BETWEEN_WALKS:
            remove_leftovers(queue, clock.now())
            due, walked = ORDERS_BETWEEN_WALKS, clock.monotonic()
        try:
            data = os.read(0, READ)
            if not data:
                return 0
            orders = (rest + data).split(b"\0")
            # Of an order that is longer than any good one, only so much is kept that it stays too long.
            rest = orders.pop()[: LONGEST_ORDER + 1]
            due -= len(orders)
            answers = b""
            for order in orders:
                if os.getppid() != sender:
                    return 0  # by now another one may have given the number to a new message
                answers += obey(queue, order)
            while answers:
                answers = answers[os.write(1, answers) :]
        except OSError:
            return TEMPORARY


def obey(queue: Queue, order: bytes) -> bytes:
    """Do one order, and return the answer to it."""
    kinds, digits = REMOVED.get(order[:5]), order[5:]
    if kinds is None or not digits.isdigit() or len(order) >= LONGEST_ORDER:
        return UNKNOWN
    number = int(digits)
    try:
        for kind in kinds:
            durable.remove(queue.file(kind, number))
    except OSError:
        return FAILED
    return DONE


def remove_leftovers(queue: Queue, now: float) -> None:
    """Remove from pid/ and intd/ what no program is working on any more."""
    for kind in (b"pid", b"intd"):
        directory = queue.root + b"/" + kind
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        for name in names:
            try:
                path = directory + b"/" + name
                if os.lstat(path).st_mtime < now - queues.OSSIFIED and not _in_use(queue, kind, name, path):
                    durable.remove(path)
            except OSError:
                continue  # another time


def _in_use(queue: Queue, kind: bytes, name: bytes, path: bytes) -> bool:
    if kind == b"pid" or not name.isdigit():
        return queues.being_written(path)
    number = int(name)
    return os.path.lexists(queue.file(b"todo", number)) or queues.being_written(queue.file(b"mess", number))
