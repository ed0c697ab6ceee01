"""qmail-local: deliver a message to a local user, as the user's .qmail file says.

Usage: qmail-local [-nN] USER HOME LOCAL DASH EXT DOMAIN SENDER DEFAULT

    cd; qmail-local -n "$USER" ~ "$USER-list" - list example.org '' ./Mailbox

The example shows what would happen with mail for USER-list@example.org;
qmail-lspawn runs it for each delivery.

    -n  only say what would be done
    -N  do it (default)

USER owns HOME, LOCAL@DOMAIN is the recipient. HOME/.qmailDASHEXT is followed,
or the first of the default files that exists, or DEFAULT (see dot-qmail(5)).

Behaviour:
Reads the message on descriptor 0, which must be a file, from its start. Appends
to mbox files, puts it into Maildirs, runs programs, and forwards, after all
else, in one go. Instructions are followed in order; one that fails ends the
delivery. What is reported as done is durable. Printed is what was done, `did
FILES+FORWARDS+PROGRAMS`, and `qp N` where it was forwarded. A message that has
this address's Delivered-To line already is looping, and refused. A home that
anybody may write to, or with its sticky bit set, defers all mail; so does a
.qmail file that anybody may write to.

Programs run by /bin/sh in HOME, with the message on descriptor 0; exit codes 0
and 99 (no more lines) are good, 100, 64, 65, 70, 76, 77, 78, 112 fail for good,
others may pass.

Environment: programs find SENDER, NEWSENDER, RECIPIENT, LOCAL, USER, HOME,
HOST, HOST2, HOST3, HOST4, EXT, EXT2, EXT3, EXT4, DEFAULT, DTLINE, RPLINE,
UFLINE.
Files: HOME/.qmail*.
Runs as: the user.
Faces: strangers' messages.
Exit codes: 0 delivered; 100 failed for good, or usage; 111 try again later.
"""

from __future__ import annotations

import os

from qmail.formats import commandenv, dotqmail, mbox, tracelines
from qmail.formats.mailparameters import onward
from qmail.formats.options import Wrong, options
from qmail.formats.verdict import FOR_GOOD, Permanent, Temporary, Usage
from qmail.host import clock, execute
from qmail.host.program import say
from qmail.host.reasons import reason
from qmail.rules import dotfiles
from qmail.stores import home as homes
from qmail.stores import maildir, mboxfile, submission, userhome
from qmail.stores.message import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmail.stores.home import Home
    from qmail.stores.userhome import Answer

USAGE = b"qmail-local: usage: qmail-local [ -nN ] user homedir local dash ext domain sender aliasempty"
LOOPING = b"This message is looping: it already has my Delivered-To line. (#5.4.6)"
CRASHED = b"Aack, child crashed. (#4.3.0)"
ENOUGH = 99


class Address:
    """An address, and the user who answers for it: the arguments, but for the sender."""

    __slots__ = ("dash", "default", "ext", "home", "host", "local", "user")

    def __init__(self, words: Sequence[bytes]) -> None:
        self.user, self.home, self.local, self.dash, self.ext, self.host, self.default = words

    @property
    def delivered_to(self) -> bytes:
        """The line that marks a message as delivered here."""
        return tracelines.delivered_to(self.local + b"@" + self.host)


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    os.umask(0o077)
    doing, words = _arguments(argv)
    address, sender = Address([*words[:6], words[7]]), words[6]
    if userhome.enter(address.home):
        if doing:
            raise Temporary(userhome.HOME_STICKY, plain=True)
        say(2, userhome.WARNING)
    message = Message(0)
    if doing:
        refuse_loop(address, message)
    answer = userhome.answer(address.dash, address.ext, address.default)
    if doing:
        done = Delivery(homes.find(argv[0], environ), address, answer, sender, message, environ).follow()
    else:
        done = _told(answer)
    say(1, done)
    return 0


def refuse_loop(address: Address, message: Message) -> None:
    """Raises Permanent where the message was here before."""
    if tracelines.in_header(address.delivered_to, message.pieces()):
        raise Permanent(LOOPING, plain=True)


def only_files(answer: Answer) -> bool:
    """Do the instructions name nothing but mbox files and Maildirs?"""
    return all(each.kind in (dotqmail.MBOX, dotqmail.MAILDIR) for each in answer.instructions)


class Letter:
    """A message from a sender for an address."""

    __slots__ = ("address", "message", "sender")

    def __init__(self, address: Address, sender: bytes, message: Message) -> None:
        self.address, self.sender, self.message = address, sender, message

    def head(self) -> bytes:
        """The lines in front of it in a mailbox."""
        return tracelines.return_path(self.sender) + self.address.delivered_to


def to_file(instruction: dotqmail.Instruction, letters: Sequence[Letter]) -> list[Temporary | None]:
    """Deliver letters to the mbox or Maildir of one instruction, with as few waits for the disk as one needs.

    For each the answer is None, and it is durable, or why it is not there.
    """
    if instruction.kind == dotqmail.MAILDIR:
        return maildir.deliver(instruction.value, [(letter.head(), letter.message) for letter in letters])
    now = int(clock.now())
    return mboxfile.append(
        instruction.value,
        [(mbox.from_line(letter.sender, now) + letter.head(), letter.message) for letter in letters],
    )


def did(files: int, forwards: int = 0, programs: int = 0) -> bytes:
    """The line that says what was done."""
    return b"did %d+%d+%d\n" % (files, forwards, programs)


class Delivery:
    """One message on its way through the instructions of one address."""

    def __init__(
        self,
        home: Home,
        address: Address,
        answer: Answer,
        sender: bytes,
        message: Message,
        environ: dict[bytes, bytes],
    ) -> None:
        self.home, self.address, self.answer = home, address, answer
        self.sender, self.message = sender, message
        self.new_sender = sender
        self.environ = environ

    def follow(self) -> bytes:
        """Do all of it; returns what to say. Raises Temporary or Permanent, and the rest is not done."""
        if not only_files(self.answer):
            self._prepare()
        files = programs = 0
        forwards: list[bytes] = []
        for each in self.answer.instructions:
            if each.kind == dotqmail.REFUSED:
                raise Temporary(each.value, plain=True)
            if each.kind == dotqmail.FORWARD:
                forwards.append(each.value)
            elif each.kind == dotqmail.PROGRAM:
                programs += 1
                if self._run(each.value) == ENOUGH:
                    break
            else:
                files += 1
                failure = to_file(each, [Letter(self.address, self.sender, self.message)])[0]
                if failure is not None:
                    raise failure
        said = did(files, len(forwards), programs)
        return said + self._forward(forwards) if forwards else said

    def _prepare(self) -> None:
        # What only programs and forwards need.
        who = self.address
        self.new_sender = dotfiles.new_sender(self.sender, who.local, who.host, who.dash, who.ext, userhome.exists)
        self.environ = self.environ | commandenv.of_address(who.user, who.home, who.local, who.ext, who.host)
        self.environ |= {
            b"SENDER": self.sender,
            b"NEWSENDER": self.new_sender,
            b"DTLINE": who.delivered_to,
            b"RPLINE": tracelines.return_path(self.sender),
            b"UFLINE": mbox.from_line(self.sender, int(clock.now())),
        }
        if self.answer.default is not None:
            self.environ[b"DEFAULT"] = self.answer.default

    def _run(self, command: bytes) -> int:
        message = self.message.for_program()
        shell = [b"/bin/sh", b"-c", command]
        try:
            pid = execute.spawn(shell, self.environ, {0: message}, unable=111)
        except OSError as error:
            raise Temporary(b"Unable to fork: " + reason(error) + b". (#4.3.0)", plain=True) from error
        status = os.waitpid(pid, 0)[1]
        if os.WIFSIGNALED(status):
            raise Temporary(CRASHED, plain=True)
        code = os.WEXITSTATUS(status)
        if code in FOR_GOOD:
            raise Permanent()
        if code not in (0, ENOUGH):
            raise Temporary()
        return code

    def _forward(self, recipients: list[bytes]) -> bytes:
        try:
            copy = submission.begin(self.home, self.environ)
        except OSError as error:
            raise Temporary(b"Unable to fork: " + reason(error) + b". (#4.3.0)", plain=True) from error
        try:
            copy.write(self.address.delivered_to)
            for piece in self.message.pieces():
                copy.write(piece)
        except BaseException:
            copy.abandon()
            raise
        listed = self.new_sender != self.sender
        outcome = copy.finish(self.new_sender, recipients, onward(self.environ, recipients, listed=listed))
        words = submission.words(outcome)
        if words:
            text = b"Unable to forward message: " + words[1:] + b"."
            raise Permanent(text, plain=True) if words.startswith(b"D") else Temporary(text, plain=True)
        return b"qp %d\n" % outcome.qp


def _arguments(argv: list[bytes]) -> tuple[bool, list[bytes]]:
    doing = True
    try:
        letters, words = options(argv[1:], b"nN")
    except Wrong as wrong:
        say(2, b"qmail-local: " + wrong.text + b"\n")
        raise Usage(USAGE) from None
    for letter, _ in letters:
        doing = letter == b"N"
    if len(words) != 8 or not words[1].startswith(b"/"):
        raise Usage(USAGE)
    return doing, words


def _told(answer: Answer) -> bytes:
    counts = {dotqmail.FORWARD: 0, dotqmail.PROGRAM: 0, dotqmail.MBOX: 0, dotqmail.MAILDIR: 0}
    for each in answer.instructions:
        if each.kind == dotqmail.REFUSED:
            raise Temporary(each.value, plain=True)
        counts[each.kind] += 1
        say(1, each.kind.encode() + b" " + each.value + b"\n")
    return did(counts[dotqmail.MBOX] + counts[dotqmail.MAILDIR], counts[dotqmail.FORWARD], counts[dotqmail.PROGRAM])
