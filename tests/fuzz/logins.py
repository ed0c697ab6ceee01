"""Who may log in, and mail on its way to other places: password files, archives of a queue, what is sent in series."""

from __future__ import annotations

import base64
import re

from fuzz.laws import Choices, Group, agreed, outcome
from qmail.formats import (
    deliverylines,
    passwordfile,
    passwordhash,
    queuearchive,
    saslprep,
    scram,
    serialresult,
    shadow,
    tracelines,
    ustar,
    utmp,
)
from qmail.formats.netstring import Broken
from qmail.formats.received import Origin
from qmail.protocols import (
    checkpw,
    login,
    pop3,
    pop3login,
    qmtp,
    sasl,
    saslclient,
    smtpentry,
    smtpevents,
    smtpextensions,
    smtplines,
    smtplogin,
)
from qmail.protocols.recipients import TAKEN
from qmail.protocols.replyreader import Reply
from qmail.protocols.smtpserver import Session
from qmail.protocols.smtpsite import Client, Site, Submission
from qmail.rules import completing, rewriting, smtpcredentials, userlimits
from qmail.rules.relay import Door

GROUP = Group()


@GROUP.target(
    b"\0", b"joe:", b"$6$x$y", b":", b"\n", b"#", b":c2VlZA==\n", b"SCRAM-SHA-256$100000:", b"c2FsdA==", b"$", b"\xff",
)  # fmt: skip
def password_file(data: bytes) -> None:
    """users/passwords: one line changes, and no other."""
    choices = Choices(data)
    name = choices.text()
    text = choices.rest()
    found = passwordfile.logins(text)
    assert all(b":" not in each and b"\n" not in each for each in found)
    passwordfile.seed(text)
    for each in found.values():
        passwordhash.is_hash(each.hash)
        scram.read(each.keys)
    scram.read(data)
    if passwordfile.may_be_name(name):
        new = passwordfile.with_login(text, passwordfile.Login(name, b"!", b"x", b"/h"))
        after = passwordfile.logins(new)
        assert after.keys() == found.keys() | {name} and after[name].hash == b"!"
        assert all(after[each].line() == found[each].line() for each in found if each != name)
        gone = passwordfile.logins(passwordfile.without(new, name))
        assert gone.keys() == found.keys() - {name}


@GROUP.target(b"I\xc2\xadX", b"\xc2\xaa", b"\xe2\x85\xa8", b"\xd8\xa7", b"\xd8\xa71", b"\x07", b"\xc2\xa0", b"\xff")
def prepared_words(data: bytes) -> None:
    """What was prepared is prepared; plain text stays as it is."""
    found = saslprep.prepared(data)
    if found is not None:
        assert saslprep.prepared(found) == found
    if data and all(32 <= byte < 127 for byte in data):
        assert found == data


@GROUP.target(b"joe:$6$x$y:19000:0:99999:7:::\n", b"joe:", b":", b"\n", b"0", b"99999999999999999999", b"!", b"\0")
def shadow_file(data: bytes) -> None:
    """/etc/shadow: the line of an account, and of no other one."""
    found = shadow.find(data, b"joe")
    assert (found is None) == (re.search(rb"(?:\A|\n)joe:", data) is None)
    if found is not None:
        found.counts(20_000)
    assert all(b":" not in each for each in shadow.hashes(data))


@GROUP.target(b"joe", b"K", b"Z", b"D", b"\0", b"\n", b"name\0Kok\n", b"name\0Znot now\n", b"x")
def serial_results(data: bytes) -> None:
    """What clients of maildirserial report: however it is cut; what was reported is read."""

    def read(pieces: list[bytes]) -> object:
        reports, found = serialresult.Reports(), []
        for piece in pieces:
            found += reports.feed(piece)
        return found

    agreed(lambda pieces: outcome(lambda: read(pieces), serialresult.Broken), data)
    name = data.translate(None, b"\0\n")
    (again,) = read([serialresult.report(name, b"Z", data, b"192.0.2.1")])
    assert again[:2] == (name, b"Z") and again[2].isascii()


@GROUP.target(b"3:Kok,", b"2:Z", b",", b"K", b"D", b":", b"9999999", b"0:,", b"1:K,", b"\xff")
def qmtp_answers(data: bytes) -> None:
    """What a QMTP server answers."""

    def read(pieces: list[bytes]) -> object:
        answers, found = qmtp.Answers(), []
        try:
            for piece in pieces:
                answers.feed(piece)
                while (one := answers.next()) is not None:
                    found.append(one)
        except Broken:
            return found, "broken"
        return found

    agreed(read, data)


@GROUP.target(b"Return-Path: <", b">\n", b"Delivered-To: ", b"a@b", b"\n", b'"a b"@c', b"\\", b'"', b"\0", b"\r")
def delivery_lines(data: bytes) -> None:
    """The envelope in front of a message in a Maildir: what qmail-local wrote is read."""
    deliverylines.read(data)
    choices = Choices(data.translate(None, b"\0\n\r"))
    sender, recipient = choices.text(), choices.text()
    found = deliverylines.read(tracelines.return_path(sender) + tracelines.delivered_to(recipient) + b"x\n")
    assert found is not None
    assert (found.sender, found.recipient) == (sender, recipient)


@GROUP.target(
    b"format 1\n", b"number 7\n", b"birth 5\n", b"sender a@b\n", b"fresh c@d\n", b"local e@f\n", b"local-done g@h\n",
    b"local-due 9\n", b"%00", b"%", b"%41", b"\n", b"uid 1\n", b"qp 2\n", b" ", b"remote-due 1\n",
)  # fmt: skip
def queue_archive(data: bytes) -> None:
    """A message in an archive of a queue: an envelope that is written as it was read, or Corrupt."""
    found = outcome(lambda: queuearchive.parse(data), queuearchive.Corrupt)
    if isinstance(found, queuearchive.Envelope):
        again = queuearchive.parse(queuearchive.text(found))
        assert all(getattr(again, each) == getattr(found, each) for each in found.__slots__)
        assert b"\0" not in found.sender
        assert found.left <= data.count(b"\n")
    outcome(lambda: queuearchive.parse_sums(data), queuearchive.Corrupt)
    plain = data.replace(b"\0", b"")
    assert queuearchive.unquoted(queuearchive.quoted(plain)) == plain
    assert not set(queuearchive.quoted(plain)) & set(b" \n")


@GROUP.target(b"\0", b"7/envelope", b"ustar\x0000", b"0000600\0", b" ", b"7", b"\xff")
def tar_heads(data: bytes) -> None:
    """Heads of files in an archive: what was written is read; any other block is a file, an end or Corrupt."""
    choices = Choices(data)
    name, size, seconds = choices.text()[: ustar.LONGEST_NAME], choices.large() % ustar.LARGEST, choices.large() % 8**11
    block = ustar.head(name, size, seconds)
    again = ustar.member(block)
    assert again is not None and again.size == size and again.regular
    assert b"\0" in name or again.name == name.removeprefix(b"./")
    changed = bytearray(block)
    for _ in range(choices.number(8)):
        changed[choices.large() % ustar.BLOCK] = choices.number()
    # A sum that fits, so that what is behind it is read at all.
    changed[148:156] = b"%06o\0 " % (sum(changed[:148]) + 256 + sum(changed[156:]))
    found = outcome(lambda: ustar.member(bytes(changed)), ustar.Corrupt)
    if isinstance(found, ustar.Member) and len(found.name) <= ustar.LONGEST_NAME and found.size <= ustar.LARGEST:
        again = ustar.member(ustar.head(found.name, found.size, 0))
        assert again is not None and again.size == found.size
    outcome(lambda: ustar.member(data), ustar.Corrupt)


KEYS = scram.made(b"secret", b"salt", 1)


@GROUP.target(
    b"\x02\1\1", b"\0joe\0secret", b"joe\0joe\0wrong", b"n,,n=joe,r=abc", b"c=biws,r=abcNONCE,p=", b"y,,", b"=2C",
    b"=3D", b"c2VjcmV0", b",", b"\0", b"m=x", b"\xff", b"\x0b", b"secret", b"joe",
)  # fmt: skip
def sasl_exchange(data: bytes) -> None:
    """Whatever a client says to log in, it is let in with the password only, and the conversation is short."""
    choices = Choices(data)
    mechanism = sasl.MECHANISMS[choices.number(2)]
    exchange = sasl.Exchange(mechanism, b"NONCE")
    step = exchange.begin(choices.text() if choices.flag() else None)
    for _ in range(4):
        if isinstance(step, sasl.Password):
            assert 0 < len(step.name) <= sasl.LONGEST_NAME and 0 < len(step.password) <= sasl.LONGEST_PASSWORD
            right = step.password == b"secret"
            step = exchange.decided(right)
            assert isinstance(step, sasl.Done) == right and mechanism != sasl.SCRAM
        elif isinstance(step, sasl.Wanted):
            assert KEYS is not None and 0 < len(step.name) <= sasl.LONGEST_NAME
            step = exchange.keyed(KEYS)
        elif isinstance(step, sasl.Challenge):
            step = exchange.heard(choices.text())
            # Nobody guesses a proof of SHA-256.
            assert not isinstance(step, sasl.Done)
    assert isinstance(step, (sasl.Done, sasl.Failed)) or mechanism == sasl.SCRAM


class Entry:
    """An SMTP session under TLS in which clients may log in, or must; the password is `secret`."""

    def __init__(self, login: int) -> None:
        submission = Submission(completion=COMPLETION, limited=True)
        site = Site(
            b"mx.example.org", Door([b"example.org"]), owns=lambda user, sender: sender == user + b"@example.org",
            submission=lambda: submission, extensions=frozenset([smtpextensions.CHUNKING]),
        )  # fmt: skip
        origin = Origin(b"client.example.net", b"192.0.2.7", None, b"mx.example.org")
        self.session = Session(site, Client(origin, protocol=b"ESMTPS", login=login))
        self.login = login
        self.exchange = sasl.Exchange(b"", b"")
        self.said = b""
        self.messages: list[tuple[bytes, list[bytes]]] = []
        self.passwords = self.counted = 0  # right ones; messages that may come
        self.spending = userlimits.Spending()
        self.content = b""

    def play(self, pieces: list[bytes]) -> object:
        """All of it, and what came of it."""
        for piece in [*pieces, b""]:
            self.session.receive(piece)
            while (event := self.session.turn()) not in (smtpevents.WAIT, smtpevents.OVER):
                self._act(event)
            self.said += self.session.replies()
            if event == smtpevents.OVER:
                break
        return self.said, self.messages, self.session.login.user

    def _act(self, event: int) -> None:
        session = self.session
        if event == smtpevents.LOGIN and session.login.packet:
            assert len(session.login.packet) <= smtplines.LONGEST_LINE + 99
            session.told(self._answer(session.login.packet))
            assert not session.login.user or self.passwords
        elif event == smtpevents.ASK:
            session.answered(TAKEN)
        elif event == smtpevents.BEGIN:
            session.begin(0)
        elif event == smtpevents.COMMIT:
            user, envelope = session.login.user, session.envelope
            assert user or self.login != smtplogin.DEMANDED
            assert not user or envelope.sender == user + b"@example.org"
            assert user or all(each.endswith(b"@example.org") or b"@" not in each for each in envelope.recipients)
            self.messages.append((envelope.sender, envelope.recipients))
            session.accepted(7, 1000)

    def _answer(self, packet: bytes) -> bytes:
        """As qmail-authd would."""
        if packet.startswith(login.COUNT):
            refused = self.spending.spend({b"joe": (2, 3)}, *login.parse_count(packet), 0.0)
            self.counted += refused is None
            return login.DONE if refused is None else login.LATER + b"%d" % (refused.seconds or 0)
        if packet.startswith(login.BEGIN):
            _, mechanism, initial = login.parse_begin(packet)
            self.exchange = sasl.Exchange(mechanism, b"NONCE")
            step = self.exchange.begin(initial)
        else:
            step = self.exchange.heard(packet[1:])
        if isinstance(step, sasl.Password):
            self.passwords += step.password == b"secret"
            step = self.exchange.decided(step.password == b"secret")
        elif isinstance(step, sasl.Wanted):
            assert KEYS is not None
            step = self.exchange.keyed(KEYS)
        if isinstance(step, sasl.Challenge):
            return login.CHALLENGE + step.text
        return login.DONE + step.name if isinstance(step, sasl.Done) else login.REFUSED


COMPLETION = completing.Completion(rewriting.Hosts(b"h.example", b"d.example", b"p.example"), b"id.example")
JOE, NOT_JOE = base64.b64encode(b"\0joe\0secret"), base64.b64encode(b"\0joe\0wrong")


@GROUP.target(
    b"\0", b"\1", b"\2", b"EHLO x\r\n", b"AUTH PLAIN " + JOE + b"\r\n", b"AUTH PLAIN " + NOT_JOE + b"\r\n",
    b"AUTH LOGIN\r\n", b"AUTH PLAIN\r\n", JOE + b"\r\n", b"am9l\r\n", b"c2VjcmV0\r\n", b"*\r\n",
    b"AUTH SCRAM-SHA-256 bixuPWpvZSxyPWE=\r\n", b"MAIL FROM:<joe@example.org>\r\n", b"MAIL FROM:<eve@example.org>\r\n",
    b"RCPT TO:<a@example.org>\r\n", b"RCPT TO:<a@elsewhere>\r\n", b"DATA\r\n.\r\n", b"RSET\r\n", b"=", b"\r\n",
    b"BDAT 5\r\nTo: y", b"BDAT 9 LAST\r\n\r\n\r\nbody\r", b"BDAT 0 LAST\r\n", b"STARTTLS\r\n", b"AUTH ",
    b"DATA\r\nFrom: x\r\nResent-To: y\r\n\r\nbody\r\n.\r\n",
)  # fmt: skip
def smtp_login(data: bytes) -> None:
    """Logging in by SMTP: nobody sends elsewhere, or as somebody else, who has not said the password."""
    choices = Choices(data)
    kind = (smtplogin.OFFERED, smtplogin.DEMANDED, smtplogin.NEVER)[choices.number(2)]
    stream = choices.rest()
    agreed(lambda pieces: Entry(kind).play(pieces), stream)
    outcome(lambda: login.parse_begin(stream), login.Broken)
    outcome(lambda: login.parse_count(stream), login.Broken)
    assert 0 <= login.number(stream) < 10**9


@GROUP.target(
    b"AUTH PLAIN " + JOE + b"\r\n", b"AUTH PLAIN\r\n", JOE + b"\r\n", NOT_JOE + b"\r\n", b"*\r\n", b"=\r\n", b"\r\n",
    b"AUTH SCRAM-SHA-256\r\n", b"auth plain ", b"\0", b"USER joe\r\n",
)  # fmt: skip
def pop3_login(data: bytes) -> None:
    """AUTH in POP3: each line is refused, asked more about, or is a name and a password; however it is cut."""

    def read(pieces: list[bytes]) -> object:
        lines, entry, found = pop3.Lines(), pop3login.Login(), []
        for line in (each for piece in pieces for each in lines.feed(piece)):
            answer = entry.line(line) if entry.awaited else entry.command(pop3.command(line)[1])
            if isinstance(answer, sasl.Password):
                assert 0 < len(answer.name) <= sasl.LONGEST_NAME and b"\0" not in answer.name + answer.password
                found.append((answer.name, answer.password))
            else:
                assert answer.endswith(b"\r\n") and answer[:1] in (b"+", b"-")
                assert entry.awaited == (answer[:1] == b"+")
                found.append((answer, b""))
        return found

    agreed(read, data)


@GROUP.target(
    b"\0", b"250-mx\n250 AUTH SCRAM-SHA-256 PLAIN LOGIN\n", b"250-mx\n250-AUTH=PLAIN\n250 X\n", b"334 \n", b"235 ok\n",
    b"334 " + base64.b64encode(b"r=NONCEx,s=c2FsdA==,i=4096") + b"\n", b"535 no\n", b"334 VXNlcm5hbWU6\n", b"\xff",
)  # fmt: skip
def relay_login(data: bytes) -> None:
    """Logging in elsewhere: whatever a server says, it ends soon, and by SCRAM only who knows the password ends it."""
    choices = Choices(data)
    entry = smtpentry.Entry(b"joe", b"secret", b"NONCE")
    hello = choices.text()
    state, steps = entry.begin(b"250-mx\n" + hello), 0
    scrammed = entry.output.startswith(b"AUTH SCRAM")
    while state == smtpentry.NOT_YET and steps < 6:
        assert entry.output.endswith(b"\r\n") and entry.output.count(b"\n") == 1
        steps += 1
        text = choices.text()
        code = int(text[:3]) if text[:3].isdigit() else 500
        state = entry.heard(Reply(code, text))
    assert state != smtpentry.NOT_YET or steps == 6
    assert state != smtpentry.IN or not scrammed
    assert b"secret" not in entry.complaint and (state == smtpentry.OUT) == bool(entry.complaint)
    smtpcredentials.table(data.split(b"\n"))
    exchange = saslclient.Exchange(sasl.SCRAM, b"joe", b"secret", b"NONCE")
    exchange.begin()
    outcome(lambda: exchange.heard(b"r=NONCE" + data), saslclient.Unproved)
    assert not exchange.proved


@GROUP.target(b"192.0.2.1\0joe\0secret", b"\0", b"joe", b"::1\0", b"\xff")
def checker_questions(data: bytes) -> None:
    """What qmail-checkpwd is asked: what was written is read, and anything else is Broken."""
    found = outcome(lambda: checkpw.parse(data), checkpw.Broken)
    if isinstance(found, tuple):
        assert checkpw.question(*found) == data


@GROUP.target(b"\7\0\0\0", b"joe", b"pts/0", bytes(372), b"\xff" * 30, b"\0")
def logged_in(data: bytes) -> None:
    """utmp: terminals of a user, as many as there are whole records."""
    found = list(utmp.lines(data, b"joe"))
    assert len(found) <= len(data) // utmp.SIZE
    assert all(b"\0" not in each for each in found) and not list(utmp.lines(data, b""))


TARGETS = GROUP.targets
