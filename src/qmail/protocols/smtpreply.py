"""What the SMTP server says, but for what holds its own name: the replies as they go over the wire."""

from __future__ import annotations

UNREADABLE = b"421 unable to read controls (#4.3.0)\r\n"
TIMEOUT = b"451 timeout (#4.4.2)\r\n"
NO_QUEUE = b"451 qqt failure (#4.3.0)\r\n"
OK = b"250 ok\r\n"
WANT_MAIL, WANT_RCPT = b"503 MAIL first (#5.5.1)\r\n", b"503 RCPT first (#5.5.1)\r\n"
SYNTAX = b"555 syntax error (#5.5.4)\r\n"
PARAMETER = b"555 unknown parameter (#5.5.4)\r\n"
VALUE = b"501 no such value of a parameter (#5.5.4)\r\n"
BAD_SENDER = b"553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)\r\n"
NO_GATEWAY = b"553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)\r\n"
NO_MAILBOX = b"550 5.1.1 sorry, no mailbox here by that name\r\n"
NO_LOOKUP = b"451 4.3.0 unable to find out whether there is such a mailbox\r\n"
TOO_MANY_UNKNOWN = b"452 4.5.3 too many unknown recipients, try this one again later\r\n"
HARVESTING = b"421 4.7.0 too many unknown recipients, closing\r\n"
TOO_MANY = b"452 too many recipients (#4.5.3)\r\n"
TOO_LONG = b"500 line too long (#5.5.2)\r\n"
UNKNOWN = b"502 unimplemented (#5.5.1)\r\n"
BARE_LF = b"451 See https://cr.yp.to/docs/smtplf.html.\r\n"
LOOP = b"554 too many hops, this message is looping (#5.4.6)\r\n"
TOO_LARGE = b"552 sorry, that message size exceeds my databytes limit (#5.3.4)\r\n"
GO_SECURE = b"220 ready for TLS (#2.0.0)\r\n"
NO_TLS = b"454 TLS is not to be had now (#4.7.0)\r\n"
SECURE = b"503 TLS is there already (#5.5.1)\r\n"
NO_ARGUMENT = b"501 STARTTLS takes no argument (#5.5.4)\r\n"
NOTHING_BEHIND = b"503 nothing may follow STARTTLS before the handshake (#5.5.1)\r\n"
HELP = b"214 notqmail home page: https://notqmail.org\r\n"
NO_INTRODUCTION = b"501 5.5.4 no such attribute, or no such value of it\r\n"
WANT_UTF8 = b"553 5.6.7 an address beyond ASCII needs SMTPUTF8 behind MAIL\r\n"
NO_UTF8 = b"553 5.1.3 that address is not in UTF-8, or its host is no name\r\n"
NO_CHUNK = b"501 no such size of a chunk (#5.5.4)\r\n"
IN_CHUNKS = b"503 BDAT or RSET first (#5.5.1)\r\n"
GO_AHEAD = b"354 go ahead\r\n"
FLUSHED = b"250 flushed\r\n"
TRY = b"252 send some mail, i'll try my best\r\n"
WELCOME = b"235 2.7.0 ok, welcome\r\n"
NOT_YOU = b"535 5.7.8 name or password is wrong\r\n"
BAD_LOGIN = b"501 5.5.2 cannot make sense of that\r\n"
CANCELLED = b"501 5.7.0 cancelled\r\n"
NO_LOGIN = b"454 4.7.0 unable to find out who you are, try again later\r\n"
NO_MECHANISM = b"504 5.5.4 no such mechanism\r\n"
LOGGED_IN = b"503 5.5.1 you have logged in already\r\n"
NOT_NOW = b"503 5.5.1 not during a mail transaction\r\n"
NOT_IN_CLEAR = b"538 5.7.11 STARTTLS first\r\n"
WANT_LOGIN = b"530 5.7.0 log in first\r\n"
NOT_YOURS = b"553 5.7.1 sorry, that sender address is not yours\r\n"
NO_COUNT = b"451 4.3.0 unable to find out how much you may send, try again later\r\n"
LONG_HEADER = b"552 5.3.4 sorry, that header is longer than what is kept while Date, Message-ID or From is missing\r\n"
TOO_MANY_LOGINS = b"421 4.7.0 too many failed logins, closing\r\n"

# Enhanced status codes (RFC 3463) of what is in order at a certain place, and of what says none.
SENDER, RECIPIENT = b"2.1.0", b"2.1.5"
_CODES = {BARE_LF: b"4.6.0"}


def enhanced(text: bytes, code: bytes = b"") -> bytes:
    """A reply with its enhanced status code behind its own (RFC 2034 4). `code`: of one that says none."""
    kind, words = text[:1], text[4:-2]
    if kind == b"3" or (words[:1] == kind and _is_code(words.partition(b" ")[0])):
        return text
    before, mark, named = words.rpartition(b" (#")
    if mark and named.endswith(b")") and _is_code(named[:-1]):
        code, words = named[:-1], before
    return b"%b %b%b %b\r\n" % (text[:3], kind, (code or _CODES.get(text, b"0.0.0"))[1:], words)


def _is_code(word: bytes) -> bool:
    numbers = word.split(b".")
    return len(numbers) == 3 and all(0 < len(each) < 4 and each.isdigit() for each in numbers)


def reply_to(complaint: bytes) -> bytes:
    """The reply to a message that the queue does not take. `complaint`: D (for good) or Z, then the words."""
    # A line end in the words, which may be a filter's, would be taken for the end of the reply.
    words = complaint[1:].rstrip(b"\r\n").replace(b"\r", b" ").replace(b"\n", b" ")
    if complaint[:1] == b"D":
        code = b"554 "
    else:
        code = b"452 " if words.endswith(b"(#4.3.1)") else b"451 "  # RFC 5321 4.2.3: insufficient system storage
    return code + words + b"\r\n"


def later(seconds: int) -> bytes:
    """The reply to a user who has sent as much as may be sent in an hour."""
    minutes = -(-seconds // 60)
    return b"450 4.7.1 you have sent as much as you may in an hour, try again in %d minutes\r\n" % minutes


def too_many_ever(recipients: int) -> bytes:
    """The reply to a message with more recipients than its sender may have in an hour."""
    return b"550 5.7.1 a message of yours may have %d recipients\r\n" % recipients
