"""What is left in the queue: of which letters, and for whom; and files of no letter."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from qmail.formats.queuefile import Corrupt, parse_todo
from soak.letters import NAME
from soak.mailboxes import FAILED, told
from soak.system import System

KINDS = ("pid", "mess", "intd", "todo", "info", "local", "remote", "bounce", "bad")
SPLIT = 23
FORTY_HOURS = 40 * 3600


def files(system: System) -> dict[str, dict[int, Path]]:
    """Kind to number to path of every file in the queue."""
    found: dict[str, dict[int, Path]] = {kind: {} for kind in KINDS}
    for kind in KINDS:
        for place, _, names in os.walk(system.home / "queue" / kind):
            for name in names:
                found[kind][int(name) if name.isdigit() else -len(found[kind]) - 1] = Path(place) / name
    return found


def waiting(system: System) -> list[tuple[str, str]]:
    """(letter, recipient) that will be served: by delivery, by a failure that is to be told, or by such a notice."""
    queue = files(system)
    found = []
    for number in queue["todo"].keys() | queue["info"].keys():
        try:
            message = queue["mess"][number].read_bytes()
            recipients = list(_recipients(queue, number))
        except (OSError, KeyError, Corrupt):
            continue  # it has just gone; at the end nothing moves, and then this is an orphan
        notice = told(message)
        name = NAME.search(message)
        if notice is not None:
            found += [(notice[0], recipient) for recipient in notice[1]]
        elif name is not None:
            found += [(name[1].decode(), recipient) for recipient in recipients]
    return found


def _recipients(queue: dict[str, dict[int, Path]], number: int) -> Iterator[str]:
    if number in queue["todo"]:
        yield from (each.decode() for each in parse_todo(queue["todo"][number].read_bytes()).recipients)
        return
    for kind in ("local", "remote"):
        if number in queue[kind]:
            records = queue[kind][number].read_bytes().split(b"\0")
            yield from (record[1:].decode() for record in records if record[:1] == b"T")
    if number in queue["bounce"]:
        yield from (each.decode() for each in FAILED.findall(queue["bounce"][number].read_bytes()))


def orphans(system: System) -> list[Path]:
    """Files of no message that lives."""
    queue = files(system)
    live = queue["todo"].keys() | queue["info"].keys()
    needs = {"mess": live, "intd": queue["todo"].keys(), "local": queue["info"].keys(), "remote": queue["info"].keys(),
             "bounce": queue["info"].keys(), "pid": set(), "bad": set()}  # fmt: skip
    return [path for kind, numbers in needs.items() for number, path in queue[kind].items() if number not in numbers]


def age(system: System) -> None:
    """As if nothing had touched the queue for forty hours."""
    when = time.time() - FORTY_HOURS
    for kind in files(system).values():
        for path in kind.values():
            os.utime(path, (when, when))
