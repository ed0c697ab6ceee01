"""ezmlm-manage: a mailing list's answers to those who want to come, go, or know something.

A program for lines of .qmail files.

Usage: ezmlm-manage [-aAbBcCdDeEfFlLmMnNqQsSuUvV] DIR

    |ezmlm-manage /home/joe/sos

    -B  answers come without general help and without a copy of the request
    -C  no messages from the archive (ezmlm-get sends them too, where it stands before this line)
    -F  the From field of a confirmation does not go into the Log
    -l  moderators may ask for all subscribers, and for the Log
    -m  where moderators decide who comes, they decide who goes too
    -N  nobody is told of what a moderator did
    -Q  the owner hears of addresses that could not be taken off; -QQ of all that come and go
    -S  who wants to come need not confirm it: anybody can subscribe anybody
    -U  the same for who wants to go
    -b, -c, -f, -L, -M, -n, -q, -s, -u  (default) the opposite
    -a, -A, -d, -D, -e, -E  taken for the sake of old .qmail files; mean nothing
    -v, -V  show the version

Files in DIR do the same as -B (omitbottom), -l (modcanlist), -S (nosubconfirm)
and -U (nounsubconfirm).

What is asked is said by the address, not by the text: LIST-COMMAND, or
LIST-COMMAND-BOX=HOST about another address than the sender's. COMMAND is
subscribe, unsubscribe, query, info, faq, get.NUMBER, or anything else for help;
moderators have list, listn and log. LIST-digest-COMMAND is about the digest,
LIST-allow- and LIST-deny- about the lists of ezmlm-issubn.

Behaviour:
The address that is to be put on the list, or taken off, gets a message, and
whoever answers it agrees: it is answered to an address with a code in it, which
is good for 1,000,000 seconds, and only for this list, deed and address. Where
DIR/modsub exists the moderators are asked after that, and one of them must
agree; they are in DIR/mod/subscribers, or below the directory that modsub or
remote names. Where DIR/remote exists a moderator may act for others, and
confirms it himself. Without DIR/public only that is possible, and help.

Not answered are messages without a sender or with a Mailing-List field.

Environment: SENDER, DEFAULT (or LOCAL); QMAILQUEUE replaces qmail-queue.
Files: DIR/: subscribers/, Log, lock, key, text/, public, modsub, remote, mod/,
digest/, allow/, deny/, archive/, copylines, charset, mailinglist, listid,
omitbottom, modcanlist, nosubconfirm, nounsubconfirm, outlocal, outhost.
Runs as: the owner of the list.
Exit codes: 0 answered, or done; 100 refused, or usage; 111 try again.
See also: ezmlm(5), ezmlm-get(1).
"""

from __future__ import annotations

from qmail.formats import listaddress, listoptions, subscriber
from qmail.formats.verdict import Permanent
from qmail.host import program
from qmail.rules import listrequest
from qmail.rules.listrequest import JOINING, LIFETIME
from qmail.stores import home, listarchive, listmail, listrights, subscribers
from qmail.stores.listanswers import Answers
from qmail.stores.listdir import MailingList

USAGE = b"ezmlm-manage: usage: ezmlm-manage [ -aAbBcCdDeEfFlLmMnNqQsSuUvV ] dir"
CLOSED = b"This list takes no requests by mail. (#5.7.2)"
NOT_YOU = b"Only moderators may ask for that, and not on all lists. (#5.7.2)"
NO_ADDRESS = b"This is no address that can be on a list. (#5.1.3)"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    said, words = listoptions.read(argv, b"aAbBcCdDeEfFlLmMnNqQsSuU", USAGE)
    mlist = MailingList(words[0])
    sender = listmail.sender(environ)
    incoming = listmail.Incoming()
    if incoming.contents(b"mailing-list") is not None:
        raise Permanent(listmail.FROM_LIST)
    answers = Answers(mlist, sender, incoming, bare=b"B" in said or mlist.has(b"omitbottom"))
    text = listaddress.command(environ, mlist.local) or b""
    _Manager(answers, listrequest.request(text, sender), said).obey()
    for reply, envelope, recipients in answers.made:
        qp = reply.send(home.find(argv[0], environ), environ, envelope, recipients)
        program.say(2, b"ezmlm-manage: info: qp %d\n" % qp)
    return 0


class _Manager:
    """One request."""

    def __init__(self, answers: Answers, asked: listrequest.Request, said: dict[bytes, bytes]) -> None:
        self.answers, self.asked, self.said = answers, asked, said
        self.mlist, self.sender = answers.mlist, answers.sender
        self.moderated, self.remote = self.mlist.has(b"modsub"), self.mlist.has(b"remote")
        if asked.database:
            self.mlist.suffix = b"-" + asked.database

    def obey(self) -> None:
        """Do what is asked, and put the answers together. Raises Permanent or Temporary."""
        asked = self.asked
        if asked.command in (b"info", b"faq", b"help"):
            self.answers.tell(self._help(), self.sender, asked.target)
        elif asked.command in (b"list", b"listn", b"log"):
            self._tell_moderator()
        elif not subscriber.fit(asked.target):
            raise Permanent(NO_ADDRESS)
        elif not self._may_ask():
            raise Permanent(CLOSED)
        elif asked.command == b"get":
            self._send_message()
        elif asked.command == b"query":
            there = subscribers.contains(self.mlist, asked.database, asked.target)
            self.answers.tell([b"sub-nop" if there else b"unsub-nop"], asked.target, asked.target)
        elif asked.command == b"confirm":
            self._confirmed()
        else:
            self._begin(joining=asked.command == b"subscribe")

    def _may_ask(self) -> bool:
        if self.mlist.has(b"public") and self.asked.database != b"deny":
            return True
        # Only a moderator has got a cookie that is none of those for everybody.
        cookie = self.asked.cookie
        return self.remote and (
            listrights.is_moderator(self.mlist, self.sender) if cookie is None else cookie.purpose not in (b"sc", b"uc")
        )

    def _begin(self, *, joining: bool) -> None:
        """Somebody wants to come or go."""
        handshake = b"S" if joining else b"U", b"nosubconfirm" if joining else b"nounsubconfirm"
        if (
            self.remote
            and self.asked.target.lower() != self.sender.lower()
            and listrights.is_moderator(self.mlist, self.sender)
        ):
            self._ask(b"rc" if joining else b"wc", [self.sender])
        elif handshake[0] in self.said or self.mlist.has(handshake[1]):
            self._settled(joining, quiet=b"N" in self.said)
        else:
            self._ask(b"sc" if joining else b"uc", [self.asked.target])

    def _confirmed(self) -> None:
        """Somebody has answered."""
        cookie, target = self.asked.cookie, self.asked.target
        assert cookie is not None
        joining = cookie.purpose in JOINING
        if not cookie.good(self.mlist.key(self.asked.database), self.answers.now, LIFETIME):
            self._refuse(cookie.purpose)
        elif cookie.purpose in (b"sc", b"uc"):
            self._settled(joining, quiet=False)
        elif self._change(joining):
            if b"N" not in self.said:
                self.answers.tell([b"sub-ok" if joining else b"unsub-ok"], target, target, moderator=True)
        elif cookie.purpose == b"wc":
            # Most likely another address is the one on the list: only who has asked can find out.
            self.answers.tell([b"unsub-nop"], self.sender, target)

    def _refuse(self, purpose: bytes) -> None:
        """The cookie is forged, or too old: offer a new one to whom it is for."""
        text = b"sub-bad" if purpose in JOINING else b"unsub-bad"
        if purpose in (b"sc", b"uc"):
            self._ask(purpose, [self.asked.target], text)
        elif listrights.is_moderator(self.mlist, self.sender):
            self._ask(purpose, [self.sender], text)
        else:
            raise Permanent(NOT_YOU)

    def _settled(self, joining: bool, *, quiet: bool) -> None:
        """Whose address it is agrees: do it, or ask the moderators."""
        target, database = self.asked.target, self.asked.database
        if self.moderated and (joining or b"m" in self.said) and not listrights.is_moderator(self.mlist, target):
            self._ask(b"tc" if joining else b"vc", listrights.moderators(self.mlist))
            return
        news = self._change(joining)
        if not (quiet or database == b"allow"):
            kind, done = (b"sub-", b"sub-ok") if joining else (b"unsub-", b"unsub-ok")
            self.answers.tell([done if news else kind + b"nop"], target, target)

    def _change(self, joining: bool) -> bool:
        """Put the target on the list, or take it off; was it news?"""
        cookie, target = self.asked.cookie, self.asked.target
        by_moderator = cookie is not None and cookie.purpose not in (b"sc", b"uc")
        event = (b"+" if joining else b"-") + (b"mod" if by_moderator else b"")
        author = b"" if b"F" in self.said else self.answers.author()
        news = bool(subscribers.change(self.mlist, self.asked.database, [target], event, [author]))
        if b"QQ" in self.said or (b"Q" in self.said and not (news or joining or by_moderator)):
            text = (b"sub-" if joining else b"unsub-") + (b"ok" if news else b"nop")
            self.answers.tell([text], self.mlist.owner, target)
        return news

    def _ask(self, purpose: bytes, whom: list[bytes], text: bytes = b"") -> None:
        database = self.asked.database
        self.answers.ask(self.mlist.key(database), purpose, self.asked.target, whom, text)

    def _help(self) -> list[bytes]:
        if (
            self.asked.command == b"help"
            and (self.moderated or self.remote)
            and listrights.is_moderator(self.mlist, self.sender)
        ):
            return [b"mod-help", b"help"]
        return [self.asked.command]

    def _tell_moderator(self) -> None:
        """Send the list of subscribers, their number, or the Log."""
        allowed = (b"l" in self.said or self.mlist.has(b"modcanlist")) and (self.moderated or self.remote)
        if not (allowed and listrights.is_moderator(self.mlist, self.sender)):
            raise Permanent(NOT_YOU)
        database = self.asked.database
        if self.asked.command == b"log":
            text = listarchive.tail(self.mlist, subscribers.below(database, b"Log"))
        elif self.asked.command == b"listn":
            text = b"%d subscribers\n" % subscribers.count(self.mlist, database)
        else:
            text = b"".join(b"%b\n" % address for address in subscribers.everyone(self.mlist, database))
        self.answers.tell([], self.sender, self.asked.target, more=text)

    def _send_message(self) -> None:
        """Send a message from the archive, as part of the answer."""
        if not listrights.may_read(self.mlist, self.sender):
            raise Permanent(listrights.NO_READER)
        found, rest = listaddress.number(self.asked.argument)
        if b"C" in self.said or not found or rest or not listarchive.is_whole(self.mlist, found):
            self.answers.tell([b"get-bad"], self.sender, self.asked.target)
        else:
            text = listarchive.tail(self.mlist, listarchive.place(found))
            quoted = b"".join(b"> " + line for line in text.splitlines(keepends=True))
            self.answers.tell([], self.sender, self.asked.target, more=quoted)
