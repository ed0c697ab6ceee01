"""A worker: qmail-local as a process that stays, for one user and nobody else.

It takes jobs from qmail-lspawn and delivers as qmail-local does, one after the other. Deliveries to files
alone may come together, and share the waits for the disk; each is reported as soon as it is durable. What
proves to be more than that is given back, and comes again alone, with a descriptor for its output: then
qmail-local's `main` is called with the descriptors and the environment that the program would find.
"""

from __future__ import annotations

import os

from qmail.formats.verdict import Ending, Temporary
from qmail.host import program, title
from qmail.programs.deliver import qmail_local
from qmail.programs.deliver.qmail_local import Address
from qmail.protocols import localjobs
from qmail.stores import userhome
from qmail.stores.message import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmail.formats.usersassign import Account
    from qmail.host.passing import Link
    from qmail.stores.home import Home

NAME = b"qmail-local"
TOGETHER_SIZE = 1024 * 1024  # bytes of messages that wait for each other


class Letter:
    """A job and its message."""

    __slots__ = ("job", "message")

    def __init__(self, job: localjobs.Job, message: Message) -> None:
        self.job, self.message = job, message


class Worker:
    """Serves one user over a link to qmail-lspawn."""

    def __init__(self, link: Link, who: Account, default: bytes, home: Home, environ: dict[bytes, bytes]) -> None:
        self._link, self._who, self._default = link, who, default
        self._home, self._environ = home, environ
        self._null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self._open: set[int] = set()  # jobs not yet reported

    def serve(self) -> int:
        """Work until qmail-lspawn hangs up."""
        while True:
            packet, descriptors = self._link.receive()
            if not packet:
                return 0
            jobs = localjobs.parse_jobs(packet)
            self._open.update(job.number for job in jobs)
            self._show(jobs[0])
            if packet[:1] == localjobs.ALONE:
                self._alone(jobs[0], *descriptors)
            else:
                letters = [Letter(job, Message(fd, job.size)) for job, fd in zip(jobs, descriptors, strict=True)]
                self._together(letters)
                for descriptor in descriptors:
                    os.close(descriptor)
            os.chdir("/")
            title.show(NAME, self._who.user, self._who.home)

    def _alone(self, job: localjobs.Job, message: int, output: int) -> None:
        for source, target in ((message, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        os.close(message)
        os.close(output)
        who = self._who
        words = [b"--", who.user, who.home, job.local, job.dash, job.ext, job.host, job.sender, self._default]
        argv = [self._home.program(NAME), *words]
        code = program.ended(NAME, lambda: qmail_local.main(argv, dict(self._environ)))
        for target in (0, 1, 2):
            os.dup2(self._null, target)
        self._open.clear()
        self._link.send(localjobs.report(job.number, code, b""))

    def _together(self, letters: list[Letter]) -> None:
        # Jobs for the same address are of one moment: they follow one reading of its .qmail file.
        groups: dict[tuple[bytes, ...], list[Letter]] = {}
        for letter in letters:
            job = letter.job
            groups.setdefault((job.local, job.dash, job.ext, job.host), []).append(letter)
        for (local, dash, ext, host), group in groups.items():
            address = Address((self._who.user, self._who.home, local, dash, ext, host, self._default))
            try:
                self._deliver(address, group)
            except Exception as error:
                self._fail(self._unreported(group), error)

    def _deliver(self, address: Address, group: list[Letter]) -> None:
        if userhome.enter(address.home):
            raise Temporary(userhome.HOME_STICKY, plain=True)
        for letter in group:
            try:
                qmail_local.refuse_loop(address, letter.message)
            except Ending as end:
                self._fail([letter], end)
        group = self._unreported(group)
        if not group:
            return
        answer = userhome.answer(address.dash, address.ext, address.default)
        if not qmail_local.only_files(answer):
            self._report(group, localjobs.GIVE_BACK)
            return
        done = qmail_local.did(len(answer.instructions))
        for part in _parts(group):
            for instruction in answer.instructions:
                failures = qmail_local.to_file(instruction, address, [(each.job.sender, each.message) for each in part])
                for letter, failure in zip(part, failures, strict=True):
                    if failure is not None:
                        self._fail([letter], failure)
                part = self._unreported(part)
            self._report(part, 0, done)

    def _unreported(self, letters: list[Letter]) -> list[Letter]:
        return [letter for letter in letters if letter.job.number in self._open]

    def _fail(self, letters: list[Letter], error: Exception) -> None:
        self._report(letters, *program.last_words(NAME, error))

    def _report(self, letters: list[Letter], code: int, text: bytes = b"") -> None:
        numbers = [letter.job.number for letter in letters]
        self._open.difference_update(numbers)
        if numbers:
            self._link.send(b"".join(localjobs.report(number, code, text) for number in numbers))

    def _show(self, job: localjobs.Job) -> None:
        who = self._who
        title.show(NAME, b"--", who.user, who.home, job.local, job.dash, job.ext, job.host, job.sender, self._default)


def _parts(letters: list[Letter]) -> Iterator[list[Letter]]:
    # As many as may wait for each other, at least one.
    part: list[Letter] = []
    size = 0
    for letter in letters:
        if part and size + letter.job.size > TOGETHER_SIZE:
            yield part
            part, size = [], 0
        part.append(letter)
        size += letter.job.size
    if part:
        yield part
