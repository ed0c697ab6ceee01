"""PAM (pam(3)), by ctypes: is this password right, and may its user in now?

Authentication, account management and credentials, in this order, as the service's file says. No session is
opened: the process that asks becomes another program, and nobody would be left to close it.
"""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LIBRARY = "libpam.so.0"
DIRECTORIES = (b"/etc/pam.d", b"/usr/lib/pam.d")

# Numbers of Linux-PAM.
SUCCESS, BUFFER_ERROR, CONVERSATION_ERROR = 0, 5, 19
USER, REMOTE_HOST = 2, 4  # items
ESTABLISH = 2
NO_EMPTY_PASSWORD, SILENT = 1, 0x8000
ECHO_OFF, ECHO_ON, ERROR, INFORMATION = 1, 2, 3, 4
# Permission denied, wrong, unknown, too many tries, new password required, account and credentials expired.
REFUSALS = frozenset((6, 7, 10, 11, 12, 13, 16, 27))


class Trouble(Exception):
    """PAM cannot answer now."""


class _Message(ctypes.Structure):
    _fields_ = [("style", ctypes.c_int), ("text", ctypes.c_char_p)]


class _Response(ctypes.Structure):
    _fields_ = [("text", ctypes.c_void_p), ("code", ctypes.c_int)]


_Talk = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(ctypes.POINTER(_Message)),
    ctypes.POINTER(ctypes.POINTER(_Response)),
    ctypes.c_void_p,
)


class _Conversation(ctypes.Structure):
    _fields_ = [("talk", _Talk), ("data", ctypes.c_void_p)]


class Passed:
    """Who was let in: `user`, by PAM's name for it, and the `variables` that modules have set."""

    __slots__ = ("user", "variables")

    def __init__(self, user: bytes, variables: list[bytes]) -> None:
        self.user, self.variables = user, variables


def serves(service: bytes) -> bool:
    """Is there a file for this service?"""
    return any(os.path.exists(directory + b"/" + service) for directory in DIRECTORIES)


def check(service: bytes, user: bytes, password: bytes, remote: bytes) -> Passed | None:
    """Ask PAM. `remote`: the client's address, or nothing. None: no. Raises Trouble.

    An account without a password is refused, whatever the service's file says.
    """
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise Trouble(str(error)) from error
    # Both must outlive the calls that use them.
    talk = _Talk(_talker(user, password))
    conversation = _Conversation(talk, None)
    handle = ctypes.c_void_p()
    code: int = library.pam_start(service, user, ctypes.byref(conversation), ctypes.byref(handle))
    if code != SUCCESS:
        raise Trouble(f"pam_start: {code}")
    try:
        if remote:
            library.pam_set_item(handle, REMOTE_HOST, remote)
        for name, flags in (
            ("pam_authenticate", NO_EMPTY_PASSWORD),
            ("pam_acct_mgmt", NO_EMPTY_PASSWORD),
            ("pam_setcred", ESTABLISH),
        ):
            code = getattr(library, name)(handle, flags | SILENT)
            if code in REFUSALS:
                return None
            if code != SUCCESS:
                raise Trouble(f"{name}: {code}")
        return Passed(_user(library, handle), _variables(library, handle))
    finally:
        library.pam_end(handle, code)


def _talker(user: bytes, password: bytes) -> Any:
    """What modules ask of the user: the password, perhaps the name; what they tell is nobody's to read."""
    answers = {ECHO_OFF: password, ECHO_ON: user, ERROR: None, INFORMATION: None}
    libc = ctypes.CDLL(None)
    libc.calloc.restype = libc.strdup.restype = ctypes.c_void_p
    libc.calloc.argtypes = (ctypes.c_size_t, ctypes.c_size_t)

    def talk(count: int, messages: Any, responses: Any, _data: object) -> int:
        if not all(messages[at].contents.style in answers for at in range(count)):
            return CONVERSATION_ERROR
        place = libc.calloc(count, ctypes.sizeof(_Response))  # PAM frees it, and each text
        if not place:
            return BUFFER_ERROR
        made = ctypes.cast(place, ctypes.POINTER(_Response))
        for at in range(count):
            answer = answers[messages[at].contents.style]
            if answer is not None:
                made[at].text = libc.strdup(answer)
        responses[0] = made
        return SUCCESS

    return talk


def _user(library: ctypes.CDLL, handle: ctypes.c_void_p) -> bytes:
    # A module may have put another name in the place of what the client said.
    found = ctypes.c_void_p()
    code: int = library.pam_get_item(handle, USER, ctypes.byref(found))
    name = ctypes.cast(found, ctypes.c_char_p).value
    if code != SUCCESS or not name:
        raise Trouble(f"pam_get_item: {code}")
    return name


def _variables(library: ctypes.CDLL, handle: ctypes.c_void_p) -> list[bytes]:
    library.pam_getenvlist.restype = ctypes.POINTER(ctypes.c_char_p)
    found = library.pam_getenvlist(handle)
    variables: list[bytes] = []
    while found and (variable := found[len(variables)]) is not None:
        variables.append(variable)
    return variables
