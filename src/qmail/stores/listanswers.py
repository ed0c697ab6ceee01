"""What a list answers to a request: its texts, with what they speak of put in, as messages to be sent."""

from __future__ import annotations

from qmail.formats import listcookie, subscriber
from qmail.formats.address import quote
from qmail.formats.listaddress import dashed, mailto
from qmail.host import clock
from qmail.rules.listrequest import JOINING
from qmail.stores.listmail import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from qmail.formats.listcookie import Cookie
    from qmail.stores.listdir import MailingList
    from qmail.stores.listmail import Incoming

COPY = b"--- Below this line is what you have sent.\n\n"
SUBJECTS = {b"sub-ok": b"WELCOME to", b"unsub-ok": b"GOODBYE from"}


class Answers:
    """The answers to one message, in `made`: each with its envelope sender and recipients.

    `bare`: without general help and a copy of the request.
    """

    def __init__(self, mlist: MailingList, sender: bytes, incoming: Incoming, *, bare: bool) -> None:
        self.mlist, self.sender, self._incoming, self._bare = mlist, sender, incoming, bare
        self.now = int(clock.now())
        self._copy = b""  # of the request
        self.made: list[tuple[Reply, bytes, Sequence[bytes]]] = []

    def author(self) -> bytes:
        """From whom the request is, as it says itself."""
        return (self._incoming.contents(b"from") or b"").replace(b"\n", b" ").strip()

    def ask(self, key: bytes, purpose: bytes, target: bytes, whom: Sequence[bytes], text: bytes = b"") -> None:
        """Ask for confirmation of what the target wants: the target alone, or moderators."""
        cookie = listcookie.make(key, purpose, self.now, subscriber.canonical(target))
        joining, personal = purpose in JOINING, purpose in (b"sc", b"uc")
        if not text:
            text = (b"" if personal else b"mod-") + (b"sub-confirm" if joining else b"unsub-confirm")
        to = whom[0] if len(whom) == 1 else self.mlist.owner
        what = b"subscribe to" if joining else b"unsubscribe from"
        reply = self._reply(to, (b"confirm " if personal else b"CONFIRM ") + what)
        reply.fields.append(b"Reply-To: %b\n" % quote(b"%b-%b@%b" % (self.mlist.name, cookie.text, self.mlist.host)))
        self._finish(reply, [text], self._tags(target, cookie), whom)

    def tell(
        self, texts: Sequence[bytes], to: bytes, target: bytes, *, more: bytes = b"", moderator: bool = False
    ) -> None:
        """Say what is so. `moderator`: one of them has done it, who is not to be known; `more` follows the texts."""
        subject = next((SUBJECTS[text] for text in texts if text in SUBJECTS), b"ezmlm response from")
        # Answers to what made no sense come from elsewhere, so that answering machines reach nobody.
        reply = self._reply(to, subject, author=b"return-" if b"help" in texts else b"help")
        if b"sub-ok" in texts:
            leave = b"%b-unsubscribe-%b@%b" % (self.mlist.name, dashed(target), self.mlist.host)
            reply.fields.append(b"List-Unsubscribe: %b\n" % mailto(leave))
        self._finish(reply, texts, self._tags(target, None), [to], more, moderator=moderator)

    def _reply(self, to: bytes, subject: bytes, *, author: bytes = b"help") -> Reply:
        return Reply(self.mlist, to, b"%b %b@%b" % (subject, self.mlist.name, self.mlist.host), author=author)

    def _finish(
        self,
        reply: Reply,
        texts: Sequence[bytes],
        tags: dict[bytes, bytes],
        whom: Sequence[bytes],
        more: bytes = b"",
        *,
        moderator: bool = False,
    ) -> None:
        reply.add(self.mlist.words(b"top", tags), *(self.mlist.words(text, tags) for text in texts), more)
        if moderator:
            reply.add(self.mlist.words(b"mod-sub", tags))
        elif not self._bare:
            reply.add(self.mlist.words(b"bottom", tags))
            if not self._copy:
                self._copy = self._incoming.excerpt(self.sender, self.mlist.count(b"copylines"))
            reply.add(COPY, self._copy)
        self.made.append((reply, b"%b-return-@%b" % (self.mlist.name, self.mlist.host), whom))

    def _tags(self, target: bytes, cookie: Cookie | None) -> dict[bytes, bytes]:
        tags = {b"A": target, b"a": target.rpartition(b"@")[0], b"t": dashed(target)}
        if cookie is not None:
            local = b"%b-%b" % (self.mlist.name, cookie.text)
            tags |= {b"R": local + b"@" + self.mlist.host, b"r": local, b"c": cookie.text}
            tags |= {b"C": cookie.code, b"T": b"%d" % cookie.seconds, b"X": cookie.purpose}
        return {letter: value.replace(b"\n", b"_") for letter, value in tags.items()}
