"""What a sender asked for beside the envelope: DSN parameters (RFC 3461) and REQUIRETLS (RFC 8689).

One record each, without NUL, `=` where nothing was said; xtext stays as it was given (RFC 3461 4):

    mail RET ENVID REQUIRETLS          mail HDRS QQ314159 =
    rcpt NOTIFY ORCPT ADDRESS          rcpt SUCCESS,FAILURE rfc822;a@example.com b@example.org

They stand behind an envelope (formats.besides), and in todo/N and info/N as records `u<uid> <record>`
(formats.queuefile).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

DSN = b"DSN"  # the extension of RFC 3461
VARIABLE = b"MAILPARAMETERS"  # in the environment of a local delivery: see `Single`
LONGEST_ENVID = 100  # characters, RFC 3461 4.4
LONGEST_ORCPT = 500  # RFC 3461 4.2
LONGEST_MAIL = 200  # bytes of the record of a message
LONGEST_ADDRESS = 1100  # bytes; one in front of which a virtual domain's prefix may stand
LARGEST = 2 * 1024 * 1024  # bytes of all records of one message

NEVER, SUCCESS, FAILURE, DELAY = 1, 2, 4, 8
_WORDS = {b"NEVER": NEVER, b"SUCCESS": SUCCESS, b"FAILURE": FAILURE, b"DELAY": DELAY}
_UNSAID = b"="  # which xtext has no place for
_PLAIN = bytes(byte for byte in range(33, 127) if byte not in b"+=")
_HEXADECIMAL = b"0123456789ABCDEF"
_ATOM = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"


class Malformed(ValueError):
    """No such record, or no such parameter."""


class Wish:
    """What a sender wants to hear of one recipient.

    `notify`: 0, nothing was said; else NEVER, or the sum of some of the others. `orcpt`: b"", or TYPE;XTEXT.
    """

    __slots__ = ("notify", "orcpt")

    def __init__(self, notify: int = 0, orcpt: bytes = b"") -> None:
        self.notify, self.orcpt = notify, orcpt

    @property
    def failure(self) -> bool:
        """Is a failure to be told? It is, where nothing was said."""
        return not self.notify or bool(self.notify & FAILURE)

    @property
    def delay(self) -> bool:
        """Is a delay to be told?"""
        return bool(self.notify & DELAY)

    @property
    def success(self) -> bool:
        """Is a success to be told?"""
        return bool(self.notify & SUCCESS)


UNSAID = Wish()


class Parameters:
    """Those of one message. `ret`: b"", b"FULL" or b"HDRS"; `envid`: xtext; `wishes`: by recipient."""

    __slots__ = ("envid", "requiretls", "ret", "wishes")

    def __init__(
        self,
        ret: bytes = b"",
        envid: bytes = b"",
        requiretls: bool = False,
        wishes: dict[bytes, Wish] | None = None,
    ) -> None:
        self.ret, self.envid, self.requiretls = ret, envid, requiretls
        self.wishes = {} if wishes is None else wishes

    def __bool__(self) -> bool:
        return bool(self.ret or self.envid or self.requiretls or self.wishes)

    @property
    def asks(self) -> bool:
        """Is there any DSN parameter?"""
        return bool(self.ret or self.envid or self.wishes)

    def of(self, recipient: bytes) -> Wish:
        """What was said of this recipient."""
        return self.wishes.get(recipient, UNSAID)

    def of_one(self, recipient: bytes) -> Parameters:
        """The same without the other recipients."""
        wish = self.wishes.get(recipient)
        return Parameters(self.ret, self.envid, self.requiretls, {} if wish is None else {recipient: wish})

    def renamed(self, name: Callable[[bytes], bytes]) -> Parameters:
        """The same, with other names for the recipients."""
        wishes = {name(recipient): wish for recipient, wish in self.wishes.items()}
        return Parameters(self.ret, self.envid, self.requiretls, wishes)


def records(parameters: Parameters) -> list[bytes]:
    """What is written of them."""
    tls = b"REQUIRETLS" if parameters.requiretls else _UNSAID
    lines = [b"mail %b %b %b" % (parameters.ret or _UNSAID, parameters.envid or _UNSAID, tls)]
    for recipient, wish in parameters.wishes.items():
        lines.append(_wished(wish) + recipient)
    return lines


def _wished(wish: Wish) -> bytes:
    # The record of a recipient, up to his address.
    return b"rcpt %b %b " % (notify_words(wish.notify) or _UNSAID, wish.orcpt or _UNSAID)


def parse(lines: Iterable[bytes]) -> Parameters:
    """Read records; of two for the same recipient the later one counts. Raises Malformed."""
    found = Parameters()
    size = 0
    for line in lines:
        size += len(line) + 1
        kind, *words = line.split(b" ", 3)
        if len(words) != 3 or size > LARGEST:
            raise Malformed("no record of parameters")
        if kind == b"mail" and words[2] in (_UNSAID, b"REQUIRETLS"):
            found.ret = b"" if words[0] == _UNSAID else ret(words[0])
            found.envid = b"" if words[1] == _UNSAID else envid(words[1])
            found.requiretls = words[2] != _UNSAID
        elif kind == b"rcpt" and len(words[2]) <= LONGEST_ADDRESS and b"\0" not in words[2]:
            asked = 0 if words[0] == _UNSAID else notify(words[0])
            found.wishes[words[2]] = Wish(asked, b"" if words[1] == _UNSAID else orcpt(words[1]))
        else:
            raise Malformed("no record of parameters")
    return found


class Single:
    """What concerns one recipient, as it goes with the order to deliver to him: RET ENVID REQUIRETLS NOTIFY ORCPT."""

    __slots__ = ("envid", "requiretls", "ret", "wish")

    def __init__(self, ret: bytes, envid: bytes, requiretls: bool, wish: Wish) -> None:
        self.ret, self.envid, self.requiretls, self.wish = ret, envid, requiretls, wish

    def of_mail(self, extensions: Container[bytes]) -> bytes:
        """The parameters behind MAIL for a server that announces `extensions` (RFC 3461 4.3, 4.4; RFC 8689 2)."""
        text = b" REQUIRETLS" if self.requiretls else b""
        if DSN in extensions:
            text += b" RET=" + self.ret if self.ret else b""
            text += b" ENVID=" + self.envid if self.envid else b""
        return text

    def of_rcpt(self, extensions: Container[bytes]) -> bytes:
        """The same behind RCPT (RFC 3461 4.1, 4.2)."""
        if DSN not in extensions:
            return b""
        text = b" NOTIFY=" + notify_words(self.wish.notify) if self.wish.notify else b""
        return text + (b" ORCPT=" + self.wish.orcpt if self.wish.orcpt else b"")

    def for_others(self, recipients: Iterable[bytes]) -> Parameters:
        """For those to whom his mail is sent on: of success he alone is told of (RFC 3461 5.2.7.4).

        Where they are so many that their records would be too large, first ORCPT is left out, and then all of them:
        a long list of addresses must not keep the mail from going on.
        """
        notify = self.wish.notify
        if notify & SUCCESS:
            notify = notify & ~SUCCESS or NEVER
        names = tuple(recipients)
        size = sum(map(len, names))
        for wish in (Wish(notify, self.wish.orcpt), Wish(notify)):
            if (wish.notify or wish.orcpt) and size + len(names) * (len(_wished(wish)) + 1) <= LARGEST - LONGEST_MAIL:
                return Parameters(self.ret, self.envid, self.requiretls, dict.fromkeys(names, wish))
        return Parameters(self.ret, self.envid, self.requiretls)


def single(parameters: Parameters | None, recipient: bytes) -> bytes:
    """What is written of one recipient; nothing where nothing was asked for."""
    if not parameters:
        return b""
    wish = parameters.of(recipient)
    tls = b"REQUIRETLS" if parameters.requiretls else _UNSAID
    words = parameters.ret, parameters.envid, tls, notify_words(wish.notify), wish.orcpt
    return b" ".join([word or _UNSAID for word in words])


def parse_single(text: bytes) -> Single:
    """Read it. Raises Malformed."""
    words = [b"" if word == _UNSAID else word for word in text.split(b" ")]
    if len(words) != 5 or words[2] not in (b"", b"REQUIRETLS"):
        raise Malformed("no parameters of one recipient")
    wish = Wish(notify(words[3]) if words[3] else 0, words[4] and orcpt(words[4]))
    return Single(words[0] and ret(words[0]), words[1] and envid(words[1]), bool(words[2]), wish)


def environment(environ: Mapping[bytes, bytes], text: bytes) -> dict[bytes, bytes]:
    """What a local delivery finds in its environment: `text` too, where there is any."""
    changed = dict(environ)
    changed.pop(VARIABLE, None)
    if text:
        changed[VARIABLE] = text
    return changed


def onward(environ: Mapping[bytes, bytes], recipients: Iterable[bytes], *, listed: bool) -> Parameters | None:
    """For those to whom a local delivery sends the message on. `listed`: for a mailing list, which has its own sender.

    Its members' mail is not of his concern who wrote (RFC 3461 5.2.7.1), but must not travel without TLS either.
    """
    if VARIABLE not in environ or not is_single(environ[VARIABLE]):
        return None
    asked = parse_single(environ[VARIABLE])
    return Parameters(requiretls=asked.requiretls) if listed else asked.for_others(recipients)


def is_single(text: bytes) -> bool:
    """Can `parse_single` read it?"""
    try:
        parse_single(text)
    except Malformed:
        return False
    return True


# ---- the values of parameters, as a client gives them. All raise Malformed.


def ret(value: bytes) -> bytes:
    """RET=FULL or HDRS, RFC 3461 4.3."""
    value = value.upper()
    if value not in (b"FULL", b"HDRS"):
        raise Malformed("RET")
    return value


def envid(value: bytes) -> bytes:
    """ENVID=xtext, RFC 3461 4.4."""
    if len(value) > LONGEST_ENVID or not _is_xtext(value):
        raise Malformed("ENVID")
    return value


def notify(value: bytes) -> int:
    """NOTIFY=NEVER, or a list of SUCCESS, FAILURE and DELAY, RFC 3461 4.1."""
    found = 0
    for word in value.upper().split(b","):
        if word not in _WORDS or found & _WORDS[word]:
            raise Malformed("NOTIFY")
        found |= _WORDS[word]
    if found & NEVER and found != NEVER:
        raise Malformed("NOTIFY")
    return found


def notify_words(value: int) -> bytes:
    """The value of NOTIFY that says so; nothing for 0."""
    return b",".join([word for word, bit in _WORDS.items() if value & bit])


def orcpt(value: bytes) -> bytes:
    """ORCPT=addr-type;xtext, RFC 3461 4.2."""
    kind, _, address = value.partition(b";")
    if len(value) > LONGEST_ORCPT or not kind or kind.translate(None, _ATOM) or not _is_xtext(address):
        raise Malformed("ORCPT")
    return value


def _is_xtext(value: bytes) -> bool:
    first, *rest = value.split(b"+")
    plain = (first, *(piece[2:] for piece in rest))
    coded = all(len(piece) > 1 and not piece[:2].translate(None, _HEXADECIMAL) for piece in rest)
    return bool(value) and coded and not any(piece.translate(None, _PLAIN) for piece in plain)


def decoded(xtext: bytes) -> bytes:
    """What xtext stands for, RFC 3461 4; control characters, which have no place in a header, as blanks."""
    first, *rest = xtext.split(b"+")
    text = first + b"".join([bytes.fromhex(piece[:2].decode()) + piece[2:] for piece in rest])
    return bytes(byte if 32 <= byte != 127 else 32 for byte in text)


def encoded(text: bytes) -> bytes:
    """`text` as xtext."""
    return b"".join(b"%c" % byte if byte in _PLAIN else b"+%02X" % byte for byte in text)
