"""A worker: qmail-local as a process that stays, for one user and nobody else.

It takes jobs from qmail-lspawn and delivers as qmail-local does, one after the other. Deliveries to files
alone may come together, and share the waits for the disk; each is reported as soon as it is durable. What
proves to be more than that is given back, and comes again alone, with a descriptor for its output: then
qmail-local's `main` is called with the descriptors and the environment that the program would find.
"""

from __future__ import annotations

import os

from qmail.formats import mailparameters
from qmail.formats.dotqmail import Instruction
from qmail.formats.verdict import PERMANENT, TEMPORARY, Ending, Permanent, Temporary
from qmail.host import passing, program, title
from qmail.programs.deliver import qmail_local
from qmail.programs.deliver.qmail_local import Address, Letter
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


class Job:
    """A letter, the number that qmail-lspawn knows it by, and its size."""

    __slots__ = ("letter", "number", "size")

    def __init__(self, job: localjobs.Job, address: Address, descriptor: int) -> None:
        self.number, self.size = job.number, job.size
        self.letter = Letter(address, job.sender, Message(descriptor, job.size))


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
            if packet[:1] == localjobs.LOOK:
                self._look(jobs[0])
                continue
            self._open.update(job.number for job in jobs)
            self._show(jobs[0])
            if packet[:1] == localjobs.ALONE:
                self._alone(jobs[0], *descriptors)
            else:
                self._together(jobs, descriptors)
                passing.close_all(descriptors)
            os.chdir("/")
            title.show(NAME, self._who.user, self._who.home)

    def _look(self, job: localjobs.Job) -> None:
        try:
            userhome.enter(self._who.home)
            userhome.answer(job.dash, job.ext, self._default)
            code = 0
        except Permanent:
            code = PERMANENT
        except Exception:
            code = TEMPORARY
        os.chdir("/")
        self._link.send(localjobs.report(job.number, code, b""))

    def _alone(self, job: localjobs.Job, message: int, output: int) -> None:
        for source, target in ((message, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        os.close(message)
        os.close(output)
        who = self._who
        words = [b"--", who.user, who.home, job.local, job.dash, job.ext, job.host, job.sender, self._default]
        argv = [self._home.program(NAME), *words]
        code = program.ended(NAME, lambda: qmail_local.main(argv, mailparameters.environment(self._environ, job.asked)))
        for target in (0, 1, 2):
            os.dup2(self._null, target)
        self._open.clear()
        self._link.send(localjobs.report(job.number, code, b""))

    def _together(self, jobs: list[localjobs.Job], descriptors: list[int]) -> None:
        # Jobs for the same address are of one moment: they follow one reading of its .qmail file.
        groups: dict[tuple[bytes, ...], list[Job]] = {}
        for job, descriptor in zip(jobs, descriptors, strict=True):
            key = job.local, job.dash, job.ext, job.host
            group = groups.setdefault(key, [])
            group.append(Job(job, group[0].letter.address if group else self._address(key), descriptor))
        try:
            if userhome.enter(self._who.home):
                raise Temporary(userhome.HOME_STICKY, plain=True)
        except Ending as end:
            self._report(list(self._open), *program.last_words(NAME, end))
            return
        # Jobs for the same file share the waits for the disk, whatever their addresses.
        targets: dict[tuple[str, bytes], list[Job]] = {}
        for group in groups.values():
            for each in self._answered(group):
                targets.setdefault((each.kind, each.value), []).extend(group)
        for (kind, value), target in targets.items():
            self._deliver([Instruction(kind, value)], self._unreported(target))

    def _address(self, key: tuple[bytes, ...]) -> Address:
        local, dash, ext, host = key
        return Address((self._who.user, self._who.home, local, dash, ext, host, self._default))

    def _answered(self, group: list[Job]) -> list[Instruction]:
        # The one file that all jobs of a group go to; none where they are reported already.
        address = group[0].letter.address
        for job in group:
            try:
                qmail_local.refuse_loop(address, job.letter.message)
            except Ending as end:
                self._fail([job], end)
        left = self._unreported(group)
        try:
            answer = userhome.answer(address.dash, address.ext, address.default) if left else None
        except Ending as end:
            self._fail(left, end)
            return []
        if answer is None:
            return []
        if not qmail_local.only_files(answer):
            self._report([job.number for job in left], localjobs.GIVE_BACK)
            return []
        if len(answer.instructions) == 1:
            return answer.instructions
        self._deliver(answer.instructions, left)
        return []

    def _deliver(self, instructions: list[Instruction], jobs: list[Job]) -> None:
        for part in _parts(jobs):
            try:
                for instruction in instructions:
                    failures = qmail_local.to_file(instruction, [job.letter for job in part])
                    for job, failure in zip(part, failures, strict=True):
                        if failure is not None:
                            self._fail([job], failure)
                    part = self._unreported(part)
                self._report([job.number for job in part], 0, qmail_local.did(len(instructions)))
            except Exception as error:
                self._fail(self._unreported(part), error)

    def _unreported(self, jobs: list[Job]) -> list[Job]:
        return [job for job in jobs if job.number in self._open]

    def _fail(self, jobs: list[Job], error: Exception) -> None:
        self._report([job.number for job in jobs], *program.last_words(NAME, error))

    def _report(self, numbers: list[int], code: int, text: bytes = b"") -> None:
        if numbers:
            self._link.send(b"".join(localjobs.report(number, code, text) for number in numbers))
        # Not before: what could not be told is still open, and deferred, or else the worker ends.
        self._open.difference_update(numbers)

    def _show(self, job: localjobs.Job) -> None:
        who = self._who
        title.show(NAME, b"--", who.user, who.home, job.local, job.dash, job.ext, job.host, job.sender, self._default)


def _parts(jobs: list[Job]) -> Iterator[list[Job]]:
    # As many as may wait for each other, at least one.
    part: list[Job] = []
    size = 0
    for job in jobs:
        if part and size + job.size > TOGETHER_SIZE:
            yield part
            part, size = [], 0
        part.append(job)
        size += job.size
    if part:
        yield part
