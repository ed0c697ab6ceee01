"""qmail-queue-import: messages of another queue taken into this one, from an archive.

Usage: qmail-queue-import [--dry-run] [--again] < ARCHIVE

    qmail queue import --dry-run < queue.tar
    svc -d /service/send
    qmail queue import < queue.tar
    svc -u /service/send

    --dry-run  read everything and compare the sums, and say what would be done
    --again    take in also what was imported before

Each message keeps its text, sender and recipients, who of them has it already,
the time since when it waits, and the failures that its sender was not told of
yet; it gets a new number. What is said of a message is said when it is durable:

    message 1000000 is 2097165 here, with 3 recipients left

Behaviour:
The archive is one of `qmail queue export`; queue-archive(5) describes it. It is
read from beginning to end, and may come through a pipe. A message whose files
are not as their sums say is named and left out, and so is what makes no sense;
the others are taken in.

What was imported is noted in queue/imported. So an import that has ended in the
middle is simply started again: what an earlier one has left is finished or
taken back first, and what is here already is named and left out.

Recipients are taken as they were: whether an address is local was decided where
it comes from. qmail-send must not run; qmail-queued may.

Environment: QMAIL_HOME.
Files: queue/ and its directories; queue/imported.
Runs as: root, or the owner in single-user mode.
Exit codes: 0 everything is here; 1 some messages were left out, for being
    damaged; 100 usage, or it is no archive; 111 the archive ends early, or the
    queue cannot be written, or qmail-send runs: what was said to be here is.
"""

from __future__ import annotations

import hashlib
import os

from qmail.formats import queuearchive
from qmail.formats.queuearchive import BOUNCE, ENVELOPE, MESSAGE, PARTS, SUMS
from qmail.formats.ustar import Corrupt as NoArchive
from qmail.formats.verdict import Permanent, Temporary, Usage
from qmail.host import fds, program
from qmail.host.reasons import reason
from qmail.stores import home as homes
from qmail.stores import standstill
from qmail.stores.archivereader import ArchiveReader
from qmail.stores.importjournal import Journal
from qmail.stores.queuedmessage import LARGEST
from qmail.stores.readmission import Readmission

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.formats.ustar import Member
    from qmail.stores.home import Home
    from qmail.stores.importjournal import Key
    from qmail.stores.readmission import Newcomer

USAGE = b"qmail-queue-import: usage: qmail-queue-import [--dry-run] [--again] < ARCHIVE"
SOME = 1
BATCH = 64  # messages that share the waits for the disk


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    if set(argv[1:]) - {b"--dry-run", b"--again"} or os.isatty(0):
        raise Usage(USAGE)
    home = homes.find(argv[0], environ)
    try:
        held = [] if b"--dry-run" in argv else standstill.hold(home)
        code = Import(home, dry=b"--dry-run" in argv, again=b"--again" in argv).run()
    except NoArchive as error:
        raise (Temporary if "early" in str(error) else Permanent)(str(error).encode()) from error
    except OSError as error:
        where = os.fsencode(error.filename) + b": " if error.filename else b""
        raise Temporary(b"unable to go on: " + where + reason(error) + b"; start it again") from error
    for descriptor in held:
        os.close(descriptor)
    return code


class Import:
    """One run over the archive on descriptor 0."""

    def __init__(self, home: Home, *, dry: bool, again: bool) -> None:
        self._journal = Journal(home.queue)
        self._into = None if dry else Readmission(home, self._journal)
        self._again = again
        self._archive = ArchiveReader(0)
        self._batch: list[Newcomer] = []
        self._seen: set[Key] = set()
        self._newcomer: Newcomer | None = None
        self._taken = self._known = self._damaged = 0
        self._begin(0)

    def run(self) -> int:
        """Returns the exit code. Raises NoArchive, OSError."""
        if self._into is not None:
            for note, counts in self._into.settle():
                what = b"is here after all, as %d" % note.number if counts else b"was begun with, and is taken in anew"
                _say(b"message %d %b" % (note.key[0], what))
        try:
            while (member := self._archive.next()) is not None:
                self._member(member)
            self._end()
            self._commit()
        except NoArchive:
            self._end()  # what is there of the last one
            self._commit()
            raise
        finally:
            self._abandon()
            if self._into is not None:
                _say(b"%d messages imported, %d were here already" % (self._taken, self._known))
        return SOME if self._damaged else 0

    def _member(self, member: Member) -> None:
        place, _, part = member.name.partition(b"/")
        if not member.regular or not place.isdigit() or len(place) > 19 or part not in PARTS:
            return
        if int(place) != self._number:
            self._end()
            self._begin(int(place))
        if part in self._digests:
            raise NoArchive(f"{self._number}/{part.decode()} is there twice")
        digest = hashlib.sha256()
        if part == MESSAGE:
            if self._into is not None:
                self._newcomer = self._into.begin()
            for piece in self._archive.pieces():
                digest.update(piece)
                if self._newcomer is not None:
                    fds.write_all(self._newcomer.descriptor, piece)
        else:
            self._texts[part] = self._archive.text(LARGEST)
            digest.update(self._texts[part])
        self._digests[part] = digest.hexdigest().encode()

    # ---- one message

    def _begin(self, number: int) -> None:
        self._number = number
        self._texts: dict[bytes, bytes] = {}
        self._digests: dict[bytes, bytes] = {}
        self._newcomer = None

    def _end(self) -> None:
        """All files of a message have been read."""
        if not self._number:
            return
        try:
            envelope = self._checked()
        except queuearchive.Corrupt as error:
            self._damaged += 1
            _say(b"message %d is left out: %b" % (self._number, str(error).encode()))
            self._drop()
            return
        key = (self._number, self._digests[MESSAGE])
        note = self._journal.imported(key)
        if key in self._seen or (note is not None and not self._again):
            self._known += 1
            _say(b"message %d is here already%b" % (self._number, b", as %d" % note.number if note else b""))
            self._drop()
            return
        self._seen.add(key)
        newcomer = self._newcomer
        if newcomer is None:
            program.say(1, b"message %d would be here, with %d recipients left\n" % (self._number, envelope.left))
        else:
            newcomer.key, newcomer.envelope, newcomer.bounce = key, envelope, self._texts.get(BOUNCE, b"")
            self._batch.append(newcomer)
        self._begin(0)
        if len(self._batch) >= BATCH:
            self._commit()

    def _checked(self) -> queuearchive.Envelope:
        """The envelope of a message all of whose files are as their sums say. Raises queuearchive.Corrupt."""
        for part in (ENVELOPE, MESSAGE, SUMS):
            if part not in self._digests:
                raise queuearchive.Corrupt(f"{part.decode()} is missing")
        del self._digests[SUMS]
        sums = queuearchive.parse_sums(self._texts[SUMS])
        for part in sums.keys() | self._digests.keys():
            if sums.get(part) != self._digests.get(part):
                raise queuearchive.Corrupt(f"{part.decode()} is not as its sum says")
        envelope = queuearchive.parse(self._texts[ENVELOPE])
        if envelope.number != self._number or (envelope.fresh and BOUNCE in sums):
            raise queuearchive.Corrupt("its envelope makes no sense")
        return envelope

    def _drop(self) -> None:
        if self._newcomer is not None and self._into is not None:
            self._into.drop(self._newcomer)
        self._begin(0)

    # ---- batches

    def _commit(self) -> None:
        batch, self._batch = self._batch, []
        if batch and self._into is not None:
            self._into.commit(batch)
            self._taken += len(batch)
            for one in batch:
                left = one.envelope.left if one.envelope is not None else 0
                text = b"message %d is %d here, with %d recipients left\n"
                program.say(1, text % (one.key[0], one.number, left))

    def _abandon(self) -> None:
        """Take back what was not committed; what cannot be is old some day, and goes."""
        batch, self._batch = self._batch, []
        try:
            self._drop()
            for one in batch:
                if self._into is not None:
                    self._into.drop(one)
        except OSError:
            pass


def _say(text: bytes) -> None:
    program.say(2, program.line(b"qmail-queue-import: " + text))
