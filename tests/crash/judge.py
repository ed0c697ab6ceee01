"""Who still gets a message, in a state of the queue and mailboxes of a host: `message-0`, `message-1` and so on."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from crash.disk import Tree
from crash.happenings import Event, Moved, Wrote
from crash.system_driver import POSTMASTER
from qmail.formats import queuefile

MARK = re.compile(rb"message-(\d+)")
QP = re.compile(rb"Received: \(qmail (\d+) ")
BOUNCE = b"Hi. This is the qmail-send program"
DOUBLE = b"but the bounce bounced!"
NEW = re.compile(rb".*/Maildir/new/[^/]+")
BOX = re.compile(rb".*/Mailbox-[^/]+")
FROM = re.compile(rb"(?m)^(?=From )")
FAILED = re.compile(rb"^<(.*)>:$", re.MULTILINE)

GOOD_NEWS = b"with good news.\n"
# ("message", k), ("bounce", k) for what tells its sender that it failed, ("double", k) where that fails; ("success", k)
# for what tells him, as he has asked, who has got it
Name = tuple[str, int]
KINDS = ("message", "bounce", "double")
Taken = Mapping[tuple[Name, bytes], int]  # how often another host has taken over a message for a recipient
NOBODY: Taken = {}
# The windows: where a message, or a notice, may come twice.
UNANSWERED = "its acceptance was not answered"  # whoever sent it may send it again
FIRST, MARK_PENDING = "in a first attempt", "delivered, and its mark not durable"
TOLD = "its failure was told, and that not noted"
SUCCESS_TOLD = "a success was told, and the message not over"


class Mail:
    """Every message of a recording: its text, its envelope, the qp that it was acknowledged with."""

    def __init__(self, events: Iterable[Event]) -> None:
        contents: dict[int, bytes] = {}
        whole: list[bytes] = []
        for event in events:
            if isinstance(event, Moved):
                whole.append(contents.pop(event.file, b""))  # a spare envelope begins anew
            if isinstance(event, Wrote) and event.offset is None:
                contents[event.file] = contents.get(event.file, b"") + event.data
        self.mess: dict[Name, bytes] = {}
        self.todo: dict[Name, bytes] = {}
        self.by_qp: dict[int, Name] = {}
        for text in (*whole, *contents.values()):
            mark = MARK.search(text)
            if mark and (qp := QP.match(text)):
                name = kind(text), int(mark[1])
                self.mess[name] = text
                self.by_qp[int(qp[1])] = name
            elif mark and re.match(rb"u\d+\0p\d+\0F[^\0]", text):
                self.todo["message", int(mark[1])] = text

    def add(self, number: int, mess: bytes, todo: bytes) -> None:
        """One that was not recorded."""
        self.mess["message", number], self.todo["message", number] = mess, todo

    def envelope(self, name: Name) -> queuefile.Envelope:
        """Sender and recipients."""
        kind, number = name
        if kind == "double":
            return queuefile.Envelope(b"#@[]", [POSTMASTER])
        if kind in ("bounce", "success"):
            return queuefile.Envelope(b"", [self.envelope(("message", number)).sender])
        return queuefile.parse_todo(self.todo[name])

    def name(self, mess: bytes) -> Name | None:
        """Which message this is, whole. A bounce may be another one than was recorded: it ends in a copy."""
        mark = MARK.search(mess)
        if mark is None or not QP.match(mess):
            return None
        name = kind(mess), int(mark[1])
        message = self.mess.get(("message", name[1]), b"-")
        if b"\nContent-Type: multipart/report;" in mess.partition(b"\n\n")[0]:
            return name if mess.endswith(b"--\n") else None  # it may have the header alone
        return name if (mess.endswith(message) if name[0] != "message" else mess == message) else None


def rank(name: Name) -> int:
    """How many messages a message comes from."""
    return 1 if name[0] == "success" else KINDS.index(name[0])


def kind(text: bytes) -> str:
    """What this is the text of."""
    return "success" if GOOD_NEWS in text else KINDS[(BOUNCE in text) + (DOUBLE in text)]


class State:
    """A tree, taken apart. `taken`: what is at another host by now."""

    def __init__(self, tree: Tree, mail: Mail, taken: Taken = NOBODY) -> None:
        self.mail = mail
        self.wrong: list[str] = []  # for somebody whom its envelope did not name
        self.damaged: list[str] = []
        self.waiting: defaultdict[Name, set[bytes]] = defaultdict(set)  # recipients to whom it will be delivered
        self.told: defaultdict[Name, set[bytes]] = defaultdict(set)  # those whose failure will be told
        self.delivered: defaultdict[Name, list[bytes]] = defaultdict(list)
        self.copies: Counter[tuple[bytes | Name, bytes]] = Counter()  # of a text for a recipient
        self.fresh: set[Name] = set()  # what is in todo/
        self.pieces = 0  # of messages, in an mbox
        self.files: dict[bytes, dict[int, bytes]] = defaultdict(dict)  # kind to number to contents
        for path, text in tree.items():
            if path.startswith(b"home/queue/"):
                of, *_, last = path[len(b"home/queue/") :].split(b"/")
                if last.isdigit():
                    self.files[of][int(last)] = text
            elif NEW.fullmatch(path):
                if not self._delivery(path, text):
                    self.damaged.append(f"{path!r} is not a whole message: {text[:500]!r}")
            elif BOX.fullmatch(path):
                self._box(path, text)
        for (name, recipient), times in taken.items():
            self._delivered(b"another host", name, name, recipient, times)
        for number in self.files[b"todo"]:
            self._fresh(number)
        for number in self.files[b"info"].keys() - self.files[b"todo"].keys():
            self._prepared(number)

    def _delivery(self, path: bytes, text: bytes) -> bool:
        """Is it a whole message?"""
        _return_path, _, rest = text.partition(b"\n")
        to, _, mess = rest.partition(b"\n")
        name, to = self.mail.name(mess), to.removeprefix(b"Delivered-To: ")
        if name is None:
            return False
        self._delivered(path, name, mess, to)
        return True

    def _delivered(self, where: bytes, name: Name, text: bytes | Name, to: bytes, times: int = 1) -> None:
        if to not in self.mail.envelope(name).recipients:
            self.wrong.append(f"{where!r} has {name}, which is for {self.mail.envelope(name).recipients}")
        self.delivered[name].append(to)
        self.copies[text, to] += times

    def _box(self, path: bytes, text: bytes) -> None:
        """What a delivery that was not reported has left in an mbox stays there, behind whole messages or alone."""
        for piece in FROM.split(text):
            _from, _, rest = piece.partition(b"\n")
            mark = MARK.search(rest)
            mess = self.mail.mess.get(("message", int(mark[1])), b"") if mark else b""
            end = rest.find(mess) + len(mess) if mess and mess in rest else 0
            # Cut off just before its last byte a message is whole: the next delivery adds the empty line.
            whole = bool(end) and self._delivery(path, rest[:end])
            self.pieces += piece != b"" and not (whole and rest[end:] in (b"", b"\n"))

    def _fresh(self, number: int) -> None:
        text = self.files[b"todo"][number]
        mess = self.files[b"mess"].get(number)
        if mess is None:
            return  # qmail-send finds no message, and sets the envelope aside
        name = self.mail.name(mess)
        if name is None:
            self.damaged.append(f"mess/{number}, in todo/ too, is not a whole message: {mess[:500]!r}")
        elif not self._is_whole(name, text):
            self.wrong.append(f"mess/{number} is {name}, and todo/ says {text!r}")
        else:
            self.waiting[name] |= set(self.mail.envelope(name).recipients)
            self.fresh.add(name)

    def _is_whole(self, name: Name, text: bytes) -> bool:
        try:
            found, expected = queuefile.parse_todo(text), self.mail.envelope(name)
        except (queuefile.Corrupt, KeyError):
            return False
        return (found.sender, list(found.recipients)) == (expected.sender, list(expected.recipients))

    def _prepared(self, number: int) -> None:
        mess = self.files[b"mess"].get(number)
        sender = self.files[b"info"][number]
        wanted = {
            record[1:]
            for channel in (b"local", b"remote")
            for record in self.files[channel].get(number, b"").split(b"\0")
            if record[:1] == b"T"
        }
        failed = set(FAILED.findall(self.files[b"bounce"].get(number, b"")))
        if mess is None:
            return
        name = self.mail.name(mess)
        if name is None:
            if wanted:
                self.damaged.append(f"info/{number} is of a message that is not whole: {mess[:500]!r}")
            return
        envelope = self.mail.envelope(name)
        if wanted and (not sender.startswith(b"F%b\0" % envelope.sender) or not wanted <= set(envelope.recipients)):
            self.wrong.append(f"mess/{number} is {name}, and would go from {sender!r} to {wanted}")
        self.waiting[name] |= wanted
        self.told[name] |= failed

    def lost(self, name: Name) -> Iterator[bytes]:
        """The recipients of an acknowledged message who will not get it, and of whom its sender will not hear."""
        notices = [(of, name[1]) for of in KINDS[rank(name) + 1 :]]
        will_be_told = any(self.waiting[notice] or self.delivered[notice] for notice in notices)
        for recipient in self.mail.envelope(name).recipients:
            alive = (self.waiting[name], self.told[name], self.delivered[name])
            if not will_be_told and not any(recipient in one for one in alive):
                yield recipient

    def untold(self, name: Name) -> Iterator[bytes]:
        """Recipients that count as done, and of whom the sender was to hear, and will not."""
        asked = self.mail.envelope(name).parameters if name[0] == "message" else None
        notice = "success", name[1]
        if asked is not None and not self.waiting[notice] and not self.delivered[notice]:
            for recipient, wish in asked.wishes.items():
                if wish.success and recipient in self.delivered[name] and recipient not in self.waiting[name]:
                    yield recipient

    def beside_nothing(self) -> Iterator[str]:
        """Files of a number that is free: a new message would find them beside it."""
        for of in (b"todo", b"info", b"local", b"remote", b"bounce"):
            for number in self.files[of].keys() - self.files[b"mess"].keys():
                yield f"{of.decode()}/{number} is there, and mess/{number} is not"

    def windows(self, acknowledged: Iterable[Name]) -> set[tuple[str, Name]]:
        """Where something may come twice from here, or has."""
        asked = {name for name, recipients in self.waiting.items() if recipients and name[0] == "message"}
        found = {(UNANSWERED, name) for name in asked - set(acknowledged)}
        for name, recipients in self.waiting.items():
            if recipients & set(self.delivered[name]):
                found.add((FIRST if name in self.fresh else MARK_PENDING, name))
        for name in {*self.fresh, *(name for name, recipients in self.told.items() if recipients)}:
            notice = KINDS[min(rank(name) + 1, 2)], name[1]
            if self.waiting[notice] or self.delivered[notice]:
                found.add((TOLD, name))
        for name in {*self.fresh, *(name for name, recipients in self.waiting.items() if recipients)}:
            notice = "success", name[1]
            if name[0] == "message" and (self.waiting[notice] or self.delivered[notice]):
                found.add((SUCCESS_TOLD, name))
        return found


def problems(state: State, acknowledged: Iterable[Name]) -> Iterator[tuple[str, str]]:
    """What is wrong with a state: (kind, what), the kind being lost, damaged, orphans or wrong."""
    yield from (("wrong", what) for what in state.wrong)
    yield from (("damaged", what) for what in state.damaged)
    yield from (("orphans", what) for what in state.beside_nothing())
    for name in acknowledged:
        for recipient in state.lost(name):
            yield "lost", f"{name} was accepted, and is lost for {recipient!r}"
        for recipient in state.untold(name):
            yield "lost", f"{name} counts as delivered to {recipient!r}, and the report on that is lost"
