"""Who still gets a message, in a state of the queue and Maildirs of a host: `message-0`, `message-1` and so on."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from crash.disk import Tree
from crash.recording import Event, Wrote
from qmail.formats import queuefile

MARK = re.compile(rb"message-(\d+)")
QP = re.compile(rb"Received: \(qmail (\d+) ")
BOUNCE = b"Hi. This is the qmail-send program"
NEW = re.compile(rb".*/Maildir/new/[^/]+")
FAILED = re.compile(rb"^<(.*)>:$", re.MULTILINE)
SPLIT = 23

Name = tuple[str, int]  # ("message", k), or ("bounce", k) for what tells its sender that it failed


class Mail:
    """Every message of a recording: its text, its envelope, the qp that it was acknowledged with."""

    def __init__(self, events: Iterable[Event]) -> None:
        contents: dict[int, bytes] = {}
        for event in events:
            if isinstance(event, Wrote) and event.offset is None:
                contents[event.file] = contents.get(event.file, b"") + event.data
        self.mess: dict[Name, bytes] = {}
        self.todo: dict[Name, bytes] = {}
        self.by_qp: dict[int, Name] = {}
        for text in contents.values():
            if (qp := QP.match(text)) and (name := message_name(text)):
                self.mess[name] = text
                self.by_qp[int(qp[1])] = name
            elif re.match(rb"u\d+\0p\d+\0F", text) and (name := envelope_name(text)):
                self.todo[name] = text

    def envelope(self, name: Name) -> queuefile.Envelope:
        """Sender and recipients."""
        kind, number = name
        if kind == "bounce":
            return queuefile.Envelope(b"", [self.envelope(("message", number)).sender])
        return queuefile.parse_todo(self.todo[name])

    def name(self, mess: bytes) -> Name | None:
        """Which message this is, whole. A bounce may be another one than was recorded: it ends in a copy."""
        mark = MARK.search(mess)
        if mark is None or not QP.match(mess):
            return None
        number = int(mark[1])
        message = self.mess.get(("message", number), b"-")
        if mess == message:
            return "message", number
        return ("bounce", number) if BOUNCE in mess and mess.endswith(message) else None


def message_name(text: bytes) -> Name | None:
    """Which message this is the text of."""
    mark = MARK.search(text)
    return ("bounce" if BOUNCE in text else "message", int(mark[1])) if mark else None


def envelope_name(text: bytes) -> Name | None:
    """Which message this is the envelope of."""
    mark = MARK.search(text)
    return ("bounce" if b"\0F\0" in text else "message", int(mark[1])) if mark else None


class State:
    """A tree, taken apart. `queue`: where the queue is in it."""

    def __init__(self, tree: Tree, mail: Mail, queue: bytes = b"home/queue") -> None:
        self.mail = mail
        self.wrong: list[str] = []
        self.waiting: defaultdict[Name, set[bytes]] = defaultdict(set)  # recipients to whom it will be delivered
        self.told: defaultdict[Name, set[bytes]] = defaultdict(set)  # those whose failure will be told
        self.delivered: defaultdict[Name, list[bytes]] = defaultdict(list)
        self.copies: Counter[tuple[bytes, bytes]] = Counter()  # of a text for a recipient
        self._files: dict[bytes, dict[int, bytes]] = defaultdict(dict)  # kind to number to contents
        for path, text in tree.items():
            if path.startswith(queue + b"/"):
                kind, *_, last = path[len(queue) + 1 :].split(b"/")
                if last.isdigit():
                    self._files[kind][int(last)] = text
            elif NEW.fullmatch(path):
                self._delivery(path, text)
        for number in self._files[b"todo"]:
            self._fresh(number)
        for number in self._files[b"info"].keys() - self._files[b"todo"].keys():
            self._prepared(number)

    def _delivery(self, path: bytes, text: bytes) -> None:
        _return_path, _, rest = text.partition(b"\n")
        to, _, mess = rest.partition(b"\n")
        name, to = self.mail.name(mess), to.removeprefix(b"Delivered-To: ")
        if name is None:
            self.wrong.append(f"{path!r} is not a whole message: {text!r}")
        elif to not in self.mail.envelope(name).recipients:
            self.wrong.append(f"{path!r} has {name}, which is for {self.mail.envelope(name).recipients}")
        else:
            self.delivered[name].append(to)
            self.copies[mess, to] += 1

    def _fresh(self, number: int) -> None:
        text = self._files[b"todo"][number]
        name = envelope_name(text)
        mess = self._files[b"mess"].get(number)
        if name is None or not self._is_whole(name, text):
            self.wrong.append(f"todo/{number} is not a whole envelope: {text!r}")
        elif mess is None:
            return  # qmail-send finds no message, and sets the envelope aside
        elif self.mail.name(mess) != name:
            self.wrong.append(f"todo/{number} has the recipients of {name}, and mess/ something else: {mess!r}")
        else:
            self.waiting[name] |= set(self.mail.envelope(name).recipients)

    def _is_whole(self, name: Name, text: bytes) -> bool:
        try:
            found, expected = queuefile.parse_todo(text), self.mail.envelope(name)
        except (queuefile.Corrupt, KeyError):
            return False
        return (found.sender, list(found.recipients)) == (expected.sender, list(expected.recipients))

    def _prepared(self, number: int) -> None:
        mess = self._files[b"mess"].get(number)
        sender = self._files[b"info"][number]
        wanted = {
            record[1:]
            for kind in (b"local", b"remote")
            for record in self._files[kind].get(number, b"").split(b"\0")
            if record[:1] == b"T"
        }
        failed = set(FAILED.findall(self._files[b"bounce"].get(number, b"")))
        if mess is None:
            return
        name = self.mail.name(mess)
        if name is None:
            if wanted:
                self.wrong.append(f"info/{number} is of a message that is not whole: {mess!r}")
            return
        envelope = self.mail.envelope(name)
        if wanted and (sender != b"F%b\0" % envelope.sender or not wanted <= set(envelope.recipients)):
            self.wrong.append(f"mess/{number} is {name}, and would go from {sender!r} to {wanted}")
        self.waiting[name] |= wanted
        self.told[name] |= failed

    def orphans(self) -> set[tuple[bytes, int]]:
        """Files of no message that is waiting for something."""
        todo, info = self._files[b"todo"].keys(), self._files[b"info"].keys()
        live = {b"intd": todo, b"mess": todo | info, b"local": info, b"remote": info, b"bounce": info}
        return {(kind, number) for kind, numbers in live.items() for number in self._files[kind].keys() - numbers}

    def lost(self, name: Name) -> Iterator[bytes]:
        """The recipients of an acknowledged message who will not get it, and of whom its sender will not hear."""
        bounce = ("bounce", name[1])
        will_be_told = name[0] == "message" and bool(self.waiting[bounce] or self.delivered[bounce])
        for recipient in self.mail.envelope(name).recipients:
            alive = (self.waiting[name], self.told[name], self.delivered[name])
            if not will_be_told and not any(recipient in one for one in alive):
                yield recipient


def problems(state: State, acknowledged: Iterable[Name]) -> Iterator[str]:
    """What is wrong with a state."""
    yield from state.wrong
    for name in acknowledged:
        for recipient in state.lost(name):
            yield f"{name} was accepted, and is lost for {recipient!r}"
