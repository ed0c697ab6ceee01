"""What is asked of a mailing list, by the address that was written to (ezmlm-manage(1)).

[DATABASE-]COMMAND[-BOX=HOST]         such as subscribe, digest-query-joe=example.org
[DATABASE-]XC.TIME.CODE-BOX=HOST      the answer to a request for confirmation
"""

from __future__ import annotations

from qmail.formats import listcookie
from qmail.formats.listaddress import spelled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.formats.listcookie import Cookie

DATABASES = (b"digest", b"allow", b"deny")
LIFETIME = 1_000_000  # seconds that a cookie is good for

# Purposes of cookies: who has to confirm, and what.
SUBSCRIBE, UNSUBSCRIBE = b"sc", b"uc"  # whose address it is
MODERATED_SUBSCRIBE, MODERATED_UNSUBSCRIBE = b"tc", b"vc"  # any moderator
REMOTE_SUBSCRIBE, REMOTE_UNSUBSCRIBE = b"rc", b"wc"  # the moderator who began it
JOINING = (SUBSCRIBE, MODERATED_SUBSCRIBE, REMOTE_SUBSCRIBE)
LEAVING = (UNSUBSCRIBE, MODERATED_UNSUBSCRIBE, REMOTE_UNSUBSCRIBE)

# What else is understood, by all the names that it goes by.
COMMANDS = {
    b"subscribe": b"subscribe", b"sub": b"subscribe", b"unsubscribe": b"unsubscribe", b"unsub": b"unsubscribe",
    b"query": b"query", b"help": b"help", b"request": b"help", b"info": b"info", b"faq": b"faq",
    b"list": b"list", b"listn": b"listn", b"log": b"log", b"get": b"get",
}  # fmt: skip


class Request:
    """`database`: b"" for the list itself; `command`: one of the values of COMMANDS, b"confirm" with a `cookie`, or
    b"help"; `argument`: what stands between a dot and the hyphen; `target`: the address it is about."""

    __slots__ = ("argument", "command", "cookie", "database", "target", "told")

    def __init__(self, database: bytes, command: bytes, argument: bytes, target: bytes, told: bool) -> None:
        self.database, self.command, self.argument, self.target = database, command, argument, target
        self.told = told  # the target was named
        self.cookie: Cookie | None = None


def request(text: bytes, sender: bytes) -> Request:
    """From what stands behind `LIST-`; whatever makes no sense is a call for help."""
    database = b""
    for name in DATABASES:
        if text.lower().startswith(name):
            database, text = name, text[len(name) :].removeprefix(b"-")
            break
    word, dash, named = text.partition(b"-")
    target = spelled(named) if dash and named else sender
    name, _, argument = word.lower().partition(b".")
    made = Request(database, COMMANDS.get(name, b"help"), argument, target, bool(named))
    if name in JOINING or name in LEAVING:
        made.cookie = listcookie.parse(text)
        if made.cookie is not None:
            made.command, made.target = b"confirm", made.cookie.address
    elif not argument and name.startswith(b"get") and name != b"get":
        made.command, made.argument = b"get", name[3:]
    elif name == b"get" and not argument:
        made.argument, made.target = named, sender
    return made
