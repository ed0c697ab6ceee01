"""An installation as it is found: its control files, run files, rules, aliases and old programs.

Nothing is changed, and what cannot be read is a finding, not an error.
"""

from __future__ import annotations

import os
from itertools import islice

from qmail.formats import cdb
from qmail.formats.dotqmail import MBOX, instructions
from qmail.formats.shellwords import arguments
from qmail.formats.tcpoptions import settings
from qmail.rules.finding import Finding
from qmail.rules.found import Found, Rules, Run
from qmail.stores import library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SERVICES = (b"/service", b"/etc/service", b"/var/service")
SCRIPTS = (b"qmailctl", b"qmail-qstat", b"datemail", b"mailsubj", b"elq", b"pinq", b"qail", b"config-fast")
LARGEST = 1 << 20  # bytes of a text; more is not looked at
MOST = 100_000  # records of a database that are looked at


class Survey:
    """Reads everything at once. `services`: directories of service directories, else the usual ones."""

    def __init__(self, home: bytes, services: Iterable[bytes] = ()) -> None:
        self.unreadable: list[Finding] = []
        self._home = home
        places = list(services) or [*SERVICES, home + b"/service", home + b"/supervise"]
        control = self._files(home + b"/control")
        aliases = {name: text for name, text in self._files(home + b"/alias").items() if name.startswith(b".qmail")}
        runs = [run for place in places for run in self._runs(place)]
        boot = self._text(home + b"/rc")
        if boot is not None:
            runs.append(Run(home + b"/rc", boot))
        runs = list({os.path.realpath(run.path): run for run in reversed(runs)}.values())[::-1]
        self.found = Found(home, control, runs, [rules for run in runs for rules in self._rules(run)], aliases)
        self.found.assignments = self._records(home + b"/users/cdb")
        self.found.linked = list(self._linked(self.found.homes))

    def _files(self, directory: bytes) -> dict[bytes, bytes]:
        try:
            names = sorted(os.listdir(directory))
        except OSError:
            self._trouble(directory)
            return {}
        texts = {name: self._text(directory + b"/" + name) for name in names}
        return {name: text for name, text in texts.items() if text is not None}

    def _text(self, path: bytes) -> bytes | None:
        try:
            if not os.path.isfile(path):
                return None
            with open(path, "rb", buffering=0) as file:
                return file.read(LARGEST)
        except OSError:
            self._trouble(path)
            return None

    def _trouble(self, path: bytes) -> None:
        self.unreadable.append(Finding(path + b" cannot be read", b"run this as root, or mend its mode"))

    def _runs(self, place: bytes) -> Iterator[Run]:
        if not os.path.isdir(place):
            return
        for name in sorted(os.listdir(place)):
            for below in (b"/run", b"/log/run"):
                path = place + b"/" + name + below
                text = None if name.startswith(b".") else self._text(path)
                if text is not None:
                    yield Run(path, text, executable=os.access(path, os.X_OK))

    def _rules(self, run: Run) -> Iterator[Rules]:
        for words in arguments(run.text, b"tcpserver"):
            try:
                path = settings(words, {})[0].rules
            except ValueError:
                continue
            if path is not None:
                path = os.path.join(os.path.dirname(run.path), path)
                yield Rules(path, self._records(path), run)

    def _linked(self, places: dict[bytes, int]) -> Iterator[tuple[bytes, bytes]]:
        """Mailboxes that .qmail files name, and that are links in directories of others."""
        import pwd

        places = {os.fsencode(entry.pw_dir): entry.pw_uid for entry in pwd.getpwall()[:MOST] if entry.pw_uid} | places
        for place, uid in sorted(places.items()):
            try:
                names = [name for name in os.listdir(place) if name.startswith(b".qmail")]
            except OSError:
                continue  # no home, no mail
            for name in sorted(names):
                path = place + b"/" + name
                for line in instructions(self._text(path) or b"", forward_only=False):
                    box = os.path.join(place, line.value) if line.kind == MBOX else b""
                    if os.path.islink(box) and os.stat(os.path.dirname(box)).st_uid != uid:
                        yield path, box

    def _records(self, path: bytes) -> list[tuple[bytes, bytes]] | None:
        try:
            with open(path, "rb") as file:
                return list(islice(cdb.records(file.read()), MOST))
        except FileNotFoundError:
            return None
        except (OSError, cdb.Corrupt):
            self.unreadable.append(
                Finding(path + b" is no database, or cannot be read", b"make it again from its text")
            )
            return None


def wrappers(directory: bytes, programs: Iterable[str]) -> list[bytes]:
    """Those of our programs' names that are somebody's own script there, such as a filter in front of the original."""
    found = []
    for name in programs:
        path = directory + b"/" + os.fsencode(name)
        if os.fsencode(name) in SCRIPTS or library.module_of(path) is not None:
            continue
        try:
            with open(path, "rb", buffering=0) as file:
                if file.read(2) == b"#!":
                    found.append(os.fsencode(name))
        except OSError:
            pass
    return found
