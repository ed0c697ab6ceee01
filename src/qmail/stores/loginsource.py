"""Who says whether a password is right, when somebody logs in to send: control/logins, and what follows for SASL."""

from __future__ import annotations

from qmail.formats.verdict import Temporary
from qmail.protocols import sasl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmail.stores.control import Control

NAME = b"logins"
PASSWORDS, CHECKER = b"passwords", b"checker"
# A checker must see the password, which SCRAM never shows.
MECHANISMS = {PASSWORDS: sasl.MECHANISMS, CHECKER: tuple(each for each in sasl.MECHANISMS if each != sasl.SCRAM)}


def source(control: Control) -> bytes:
    """PASSWORDS, which is users/passwords, or CHECKER, which is qmail-checkpwd. Raises Temporary for another word."""
    word = control.line(NAME) or PASSWORDS
    if word not in MECHANISMS:
        raise Temporary(b"control/logins is neither `passwords` nor `checker`")
    return word
