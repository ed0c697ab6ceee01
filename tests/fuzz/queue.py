"""What stands in the queue and goes between its programs: envelopes, state, notes, frames, orders, reports."""

from __future__ import annotations

import os
import re
import tempfile

from fuzz.laws import Choices, Group, agreed, outcome
from qmail.formats import besides, bounce, deliverystatus, mailparameters, note, queuefile, remotereport, report
from qmail.formats.envelope import LONGEST_ADDRESS, MALFORMED, TOO_LONG, Check, envelope
from qmail.formats.usersassign import Account
from qmail.protocols import handover, localjobs, spawn, submit
from qmail.protocols.submit import Stage
from qmail.rules.destinations import Destinations
from qmail.rules.dispatch import Dispatch
from qmail.stores.deliverystate import DeliveryState
from qmail.stores.queue import Queue
from qmail.stores.queuecheck import sensible
from qmail.stores.recipientfile import Recipients

GROUP = Group()
PLACE = os.path.join(tempfile.gettempdir(), f"pyqmail-fuzz-{os.getpid()}")


@GROUP.target(
    b"F", b"T", b"\0", b"a@b", b"Fa\0Tb\0\0", b"F" + b"x" * 1002 + b"\0Tb\0\0", b"F" + b"x" * 1003 + b"\0Tb\0\0",
    b"x" * 1002, b"\0\0", b"Fa\0",
)  # fmt: skip
def envelopes(data: bytes) -> None:
    """What qmail-queue reads on descriptor 1: whole, faulty or unfinished, as a pattern says."""

    def read(pieces: list[bytes]) -> object:
        check = Check()
        taken = b"".join(map(check.feed, pieces))
        return check.whole, check.code, taken

    whole, code, taken = agreed(read, data)
    record = rb"[^\0]{0,%d}\0" % LONGEST_ADDRESS
    assert whole == bool(re.match(rb"F%b(?:T%b)*\0" % (record, record), data))
    assert not whole or code == 0
    assert code in (0, MALFORMED, TOO_LONG)
    assert data.startswith(taken)
    if whole:
        found = queuefile.parse_todo(b"u0\0p1\0" + taken)
        assert envelope(found.sender, found.recipients) == taken + b"\0"


@GROUP.target(b"u0\0", b"p12\0", b"Fa@b\0", b"Tc@d\0", b"\0", b"T", b"F", b"u-1\0", b"u99999999999999999999\0", b"\xff")
def todo_file(data: bytes) -> None:
    """todo/N: an envelope, or Corrupt; and what was written is read again."""
    found = outcome(lambda: queuefile.parse_todo(data), queuefile.Corrupt)
    if isinstance(found, queuefile.Envelope):
        again = queuefile.parse_todo(queuefile.todo(found))
        assert _all(again) == _all(found)
    choices = Choices(data.replace(b"\0", b""))
    made = queuefile.Envelope(choices.text(), choices.texts(20), choices.large(), choices.number())
    if made.uid < 10**18:
        assert _all(queuefile.parse_todo(queuefile.todo(made))) == _all(made)


def _all(one: queuefile.Envelope) -> tuple[bytes, list[bytes], int, int]:
    return one.sender, list(one.recipients), one.uid, one.pid


@GROUP.target(b"Tc@d\0", b"Dc@d\0", b"\0", b"T", b"D", b"X", b"T\0", b"\xff")
def recipients_file(data: bytes) -> None:
    """local/N and remote/N: whoever is still to be served, each with its place; or Corrupt at the first odd record."""
    with open(PLACE, "wb") as file:
        file.write(data)
    reader = Recipients(os.fsencode(PLACE))
    found: list[tuple[int, bytes]] = []

    def read() -> str:
        while (one := reader.next()) is not None:
            found.append(one)
        return "torn" if reader.torn else "whole"

    end = outcome(read, queuefile.Corrupt)
    reader.close()
    os.unlink(PLACE)
    lawful = re.match(rb"(?:[TD][^\0]*\0)*", data)[0]
    assert found == [(one.start(), one[0][1:-1]) for one in re.finditer(rb"[TD][^\0]*\0", lawful) if one[0][:1] == b"T"]
    rest = data[len(lawful) :]
    # An empty file is torn, too: none is written without a recipient.
    assert end == (queuefile.Corrupt if b"\0" in rest else "torn" if rest or not data else "whole")

    kept, odd = sensible(data)
    assert (kept, odd) == (data, 0) or end is queuefile.Corrupt or end == "torn"
    assert sensible(kept) == (kept, 0)


@GROUP.target(b"Fa@b\0", b"F", b"\0", b"T", b"x" * 65536, b"\xff")
def info_file(data: bytes) -> None:
    """info/N: a sender, or Corrupt; a file without an end is not read on for ever."""
    directory = PLACE + "-queue/info/7"
    os.makedirs(directory, exist_ok=True)
    with open(directory + "/7", "wb") as file:
        file.write(data)
    state = DeliveryState(Queue(os.fsencode(PLACE) + b"-queue"))
    found = outcome(lambda: state.info(7)[0], queuefile.Corrupt)
    os.unlink(directory + "/7")
    sender = re.match(rb"F([^\0]*)\0", data[:65536])
    assert found == (sender[1] if sender else queuefile.Corrupt)


@GROUP.target(
    b"+parameters\0", b"mail = = =\0", b"mail HDRS QQ =\0", b"rcpt NEVER rfc822;a a@b\0", b"rcpt = = ", b"\0", b"\0\0",
    b"SUCCESS,DELAY", b"REQUIRETLS", b"+2B", b"=", b" ", b"utf-8;x", b"\xff",
)  # fmt: skip
def parameters(data: bytes) -> None:
    """What stands behind an envelope and in queue files: parameters, or Malformed; what was written is read again."""

    def read(pieces: list[bytes]) -> object:
        reader = besides.Reader()
        records = [record for piece in pieces for record in reader.feed(piece)]
        reader.end()
        return records, reader.ours, reader.over

    agreed(lambda pieces: outcome(lambda: read(pieces), mailparameters.Malformed), data)
    found = outcome(lambda: besides.parse_extension(data), mailparameters.Malformed)
    if isinstance(found, mailparameters.Parameters):
        _written(found)
    for read in (mailparameters.parse_single, mailparameters.notify, mailparameters.orcpt, mailparameters.envid):
        outcome(lambda read=read: read(data), mailparameters.Malformed)  # type: ignore[misc]
    choices = Choices(data.replace(b"\0", b""))
    wishes = {}
    for _ in range(choices.number(4)):
        name, original = choices.text()[: mailparameters.LONGEST_ADDRESS], choices.text()[:100]
        orcpt = b"x;" + mailparameters.encoded(original) if original else b""
        wishes[name] = mailparameters.Wish(choices.number(7) << 1 or choices.number(1), orcpt)
    envid, ret = mailparameters.encoded(choices.text()[:33]), (b"", b"FULL", b"HDRS")[choices.number(2)]
    _written(mailparameters.Parameters(ret, envid, choices.flag(), wishes))


def _written(one: mailparameters.Parameters) -> None:
    again = besides.parse_extension(besides.extension(one)) or mailparameters.Parameters()
    assert _asked(again) == _asked(one)
    sender, again_in_file = queuefile.parse_info(queuefile.info(b"a@b", one))
    assert sender == b"a@b" and _asked(again_in_file or mailparameters.Parameters()) == _asked(one)
    for recipient, wish in one.wishes.items():
        single = mailparameters.parse_single(mailparameters.single(one, recipient))
        assert (single.ret, single.envid, single.requiretls) == (one.ret, one.envid, one.requiretls)
        assert (single.wish.notify, single.wish.orcpt) == (wish.notify, wish.orcpt)


def _asked(one: mailparameters.Parameters) -> object:
    wishes = {name: (wish.notify, wish.orcpt) for name, wish in one.wishes.items()}
    return one.ret, one.envid, one.requiretls, wishes


@GROUP.target(
    b"<a@b>:\n", b"\n\n", b"\n", b"(#5.1.1)", b"(#", b"Remote host said: 550 5.1.1 no\n", b"Connected to ::1 but ",
    b"did 0+1+0\n", b"\0dsn", b"did +", b"\xff",
)  # fmt: skip
def statuses(data: bytes) -> None:
    """What a report says of a recipient: fields of one line each, whatever the words, and codes that are codes."""

    def read(pieces: list[bytes]) -> object:
        return [(fate.recipient, fate.words) for fate in deliverystatus.fates(pieces, deliverystatus.FAILED)]

    agreed(read, data)
    recipient, _, words = data.partition(b"\n")
    for action in (deliverystatus.FAILED, deliverystatus.DELAYED, deliverystatus.DELIVERED):
        fields = deliverystatus.recipient_fields(deliverystatus.Fate(action, recipient, words), b"rfc822;a+0Ab")
        assert re.fullmatch(rb"\n(?:[A-Z][A-Za-z-]+: [^\n\r]*\n)+", fields) and max(map(len, fields.split(b"\n"))) < 998
        assert re.search(rb"\nStatus: [245]\.[0-9]{1,3}\.[0-9]{1,3}\n", fields)
    for local in (False, True):
        deliverystatus.success(recipient, words, local=local)
    headers = agreed(lambda pieces: b"".join(deliverystatus.header_only(pieces, 1 << 30)), data)
    assert isinstance(headers, bytes) and data.startswith(headers) and b"\n\n" not in headers


@GROUP.target(b"\0", b"a@b", b"\n\n", b"\n", b"report", b"<x>:\n", b"--- Below", b"\xff", b"-@[]", b"#@[]")
def bounces(data: bytes) -> None:
    """A paragraph about one recipient is one paragraph, whatever address and report hold; the head is a header."""
    choices = Choices(data)
    recipient, said, sender = choices.text(), choices.text(), choices.text()
    text = bounce.paragraph(recipient, said)
    assert text.startswith(b"<") and text.endswith(b"\n\n") and text.find(b"\n\n") == len(text) - 2
    assert text.split(b"\n")[0] == b"<" + recipient.replace(b"\n", b"_") + b">:"
    one = bounce.Bounce(sender, b"postmaster@h.example")
    assert one.recipient and one.envelope_sender in (b"", bounce.DOUBLE)
    one.head(b"DATE", b"MAILER-DAEMON", b"h.example")
    one.middle()


@GROUP.target(b"\0\0\0\x31", b"\0\0\0\0\0\0\0\7" * 6, b"u0\0p1\0Fa\0Tb\0", b"\xff\xff\xff\xff", b"\0")
def notes(data: bytes) -> None:
    """Notes about fresh messages: what is none ends the list; what was packed comes out again."""
    found = note.unpack(data)
    assert b"".join(map(note.pack, found)) == data[: sum(len(note.pack(one)) for one in found)]
    choices = Choices(data)
    made = [note.Note(*(choices.large() for _ in range(6)), choices.text()) for _ in range(choices.number(5))]
    again = note.unpack(b"".join(map(note.pack, made)))
    assert [[getattr(one, each) for each in one.__slots__] for one in again] == [
        [getattr(one, each) for each in one.__slots__] for one in made
    ]


@GROUP.target(
    b"B\0\0\0\1p", b"B\0\0\0\0", b"M\0\0\0\3abc", b"E\0\0\0\5Fa\0Tb", b".\0\0\0\0", b"A\0\0\0\0", b"M\0\1\0\1",
    b"X\0\0\0\0", b"R\0\0\0\0030 7", b"\xff", b"\0",
)  # fmt: skip
def submissions(data: bytes) -> None:
    """The frames of qmail-queued's clients, and its answers."""

    def read(pieces: list[bytes]) -> object:
        incoming, messages, fed = submit.Incoming(), [], 0
        message, text = b"", b""
        try:
            for piece in pieces:
                fed += len(piece)
                stage = incoming.feed(piece)
                found = incoming.take()
                message, text = message + b"".join(found[0]), text + b"".join(found[1])
                if stage >= Stage.COMMITTED:
                    whole, _ = submit_frames(data[:fed])
                    assert re.fullmatch(rb"(?:BM*E*[.A])+", b"".join(letter for letter, _ in whole))
                    assert stage == Stage.COMMITTED or data[:fed].endswith(b"A\0\0\0\0")
                    assert stage == Stage.ABANDONED or data[:fed].endswith(b".\0\0\0\0")
                    messages.append((stage, message, text, incoming.program))
                    message = text = b""
                    incoming.answered()
        except submit.Broken:
            return "broken"
        return messages, message, text, incoming.stage

    # A client that goes on before it has its answer is broken: whole streams end at the first one.
    results = [read([data[at : at + 1] for at in range(len(data))])]
    end = next((at for at in range(len(data)) if read([data[: at + 1]]) == "broken"), len(data))
    if end == len(data):
        results.append(read([data] if data else []))
        assert results[0] == results[1]
    agreed(_frames, data)
    outcome(lambda: submit.parse_answer(data), submit.Broken)
    assert submit.parse_answer(submit.answer(53, 7, full=True)[submit.HEAD :]) == (53, 7)


def submit_frames(data: bytes) -> tuple[list[tuple[bytes, bytes]], bool]:
    """The whole frames in these bytes, by another reader; are they all that is there?"""
    found = []
    while len(data) >= submit.HEAD:
        end = submit.HEAD + int.from_bytes(data[1 : submit.HEAD], "big")
        if end > len(data):
            break
        found.append((data[:1], data[submit.HEAD : end]))
        data = data[end:]
    return found, not data


def _frames(pieces: list[bytes]) -> object:
    reader, found = submit.Reader(), []
    try:
        for piece in pieces:
            reader.feed(piece)
            while (one := reader.next()) is not None:
                found.append(one)
    except submit.Broken:
        return found, "broken"
    return found


class Counted:
    """A job of the dispatcher that counts what it is told."""

    number, sender, last_try = 7, b"a@b", False

    def __init__(self) -> None:
        self.outcomes: list[int] = []

    def ended(self, key: int, recipient: bytes, outcome: int, report: bytes) -> None:
        """One delivery ended."""
        self.outcomes.append(outcome)


@GROUP.target(
    b"\x05", b"\0\0\x05", b"\0Kdone\0", b"\1Zlater\0", b"\0\0\0\5\0\1Kok", b"D", b"\xff\xff\xff\xff", b"\n", b"\0",
    b"K",
)  # fmt: skip
def delivery_reports(data: bytes) -> None:
    """What a spawner says: each delivery ends once, and each line of the log is one line."""

    def read(pieces: list[bytes]) -> object:
        reader, found = spawn.Reports(), []
        try:
            for piece in pieces:
                found += reader.feed(piece)
        except spawn.Broken:
            return "broken"
        return found, reader.limit, reader.wide

    found = agreed(read, data)
    lines: list[bytes] = []
    dispatch, job = Dispatch((3, 3), Destinations(3), lines.append), Counted()
    slots = [dispatch.start(0, job, key, b"c@d")[0] for key in range(3)]
    for number, text in found[0] if isinstance(found, tuple) else []:
        dispatch.report(0, number, text)
    assert len(job.outcomes) + dispatch.running(0) == len(slots)
    assert all(each in b"KZD" for each in job.outcomes)
    assert all(line.count(b"\n") == 1 and line.endswith(b"\n") for line in lines)


@GROUP.target(b"\0", b"\x006/1000\0a@b\0c@d\0", b"\0\0\0\x0f\0\0016/10\0a@b\0c@d\0", b"\xff\xff\xff\xff", b"\0\0\0\2")
def delivery_orders(data: bytes) -> None:
    """What qmail-send asks of the spawners, in both dialects; and what was ordered is read."""
    choices = Choices(data)
    wide = choices.flag()
    stream = choices.rest()

    def read(pieces: list[bytes]) -> object:
        reader, found = spawn.Orders(wide), []
        try:
            for piece in pieces:
                found += [(it.number, it.message, it.sender, it.recipient) for it in reader.feed(piece)]
        except spawn.Broken:
            return "broken"
        return found

    agreed(read, stream)
    one = spawn.Order(len(stream) % 256, *(part.replace(b"\0", b"") for part in (b"6/7", stream[:50], stream[50:99])))
    (again,) = spawn.Orders(wide).feed(spawn.order(one, wide))
    assert all(getattr(again, each) == getattr(one, each) for each in one.__slots__)


@GROUP.target(b"r\0", b"K192.0.2.1 accepted\0", b"h", b"s", b"D", b"Z", b"\0", b"\n", b"Kx", b"\xff")
def program_reports(data: bytes) -> None:
    """What qmail-remote and qmail-local leave behind becomes one report of a lawful kind and size."""
    choices = Choices(data)
    code = (None, 0, 100, 111, choices.number())[choices.number(4)]
    output = choices.rest()
    for one in (remotereport.report(code, output), report.local(code, output)):
        assert one[:1] in (b"K", b"Z", b"D")
    assert len(report.cut(output * 100)) <= report.LONGEST
    assert b"\0" not in report.local(code, output)
    if remotereport.report(code, output).startswith(b"K"):
        assert code == 0 and b"K" in output


@GROUP.target(
    b"\0\1", b"\0\0\0\0\0\0\0\5", b"\0\0\0\3joe", b"\0\0\0\0", b"\xff\xff\xff\xff", b"B", b"A", b"\0\1\0\0\0\0\2ok",
)  # fmt: skip
def warm_jobs(data: bytes) -> None:
    """Packets between qmail-lspawn, qmail-rspawn and their workers: values, or Broken; and there and back."""
    for parse in (
        localjobs.parse_jobs, localjobs.parse_reports, localjobs.parse_worker, localjobs.parse_started,
        localjobs.parse_questions,
    ):  # fmt: skip
        outcome(lambda parse=parse: parse(data), localjobs.Broken)
    outcome(lambda: handover.parse_job(data), ValueError)
    choices = Choices(data)
    one = localjobs.Job(choices.number(), choices.large(), *(choices.text() for _ in range(5)))
    (again,) = localjobs.parse_jobs(localjobs.TOGETHER + localjobs.job(one))
    assert all(getattr(again, each) == getattr(one, each) for each in one.__slots__)
    who = Account(choices.text(), choices.number(), choices.number(), choices.text(), b"", b"")
    serial, found = localjobs.parse_worker(localjobs.worker(5, who))
    assert (serial, found.user, found.home) == (5, who.user, who.home)
    words = [word.replace(b"\0", b"") for word in (choices.text(), choices.text(), choices.text(), choices.text())]
    assert handover.parse_job(handover.job(3, 99, *words)) == (99, *words)


TARGETS = GROUP.targets
