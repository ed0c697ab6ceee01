"""What an SMTP server announces beyond what qmail always has: the keywords of EHLO (RFC 5321 4.1.1.1).

PIPELINING and 8BITMIME are always there, SIZE, STARTTLS and AUTH where they are configured. The others stand in
control/smtpextensions, one a line.
"""

from __future__ import annotations

from qmail.protocols import smtplogin, smtpxclient
from qmail.protocols.smtpsite import OFFERED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from qmail.protocols.smtppeer import Peer
    from qmail.protocols.smtpsite import Site

CHUNKING = b"CHUNKING"  # RFC 3030
STATUS_CODES = b"ENHANCEDSTATUSCODES"  # RFC 2034
UTF8 = b"SMTPUTF8"  # RFC 6531
LIMITS = b"LIMITS"  # RFC 9422
DSN = b"DSN"  # RFC 3461
REQUIRETLS = b"REQUIRETLS"  # RFC 8689
KNOWN = (CHUNKING, STATUS_CODES, UTF8, DSN, REQUIRETLS, LIMITS)  # in the order in which they are announced
FEWEST_RECIPIENTS = 1000  # so many have room in a transaction, however long they and their parameters are


def known(lines: Iterable[bytes]) -> frozenset[bytes]:
    """Which keywords a control file switches on; what is none of them is nothing."""
    return frozenset(KNOWN).intersection(line.upper() for line in lines)


def local(configured: frozenset[bytes]) -> frozenset[bytes]:
    """What is announced in LMTP: enhanced status codes (RFC 2033 5), and no BDAT."""
    return configured - {CHUNKING} | {STATUS_CODES}


def answer(site: Site, peer: Peer, limit: int) -> bytes:
    """The reply to EHLO. `limit`: bytes of a message, 0 for none. Raises Unreadable."""
    lines = [b"250-%b\r\n250-PIPELINING\r\n" % site.greeting]
    if peer.tls == OFFERED:
        lines.append(b"250-STARTTLS\r\n")
    if peer.client.login != smtplogin.NEVER and peer.is_secured:
        # A password is never asked for in the clear.
        lines.append(smtplogin.keywords(site.submission().mechanisms))
    if limit:
        lines.append(b"250-SIZE %d\r\n" % limit)
    if peer.client.successor is not None:
        login = b"" if peer.client.login == smtplogin.NEVER else smtpxclient.LOGIN
        lines.append(b"250-XCLIENT %b%b\r\n" % (smtpxclient.ATTRIBUTES, login))
    return b"".join([*lines, announced(offered(site, peer)), b"250 8BITMIME\r\n"])


def offered(site: Site, peer: Peer) -> frozenset[bytes]:
    """Those that can be kept: parameters that go with a message, where they reach the queue; REQUIRETLS under TLS."""
    extensions = site.extensions
    if not extensions:
        return extensions
    if not peer.client.carried:
        extensions -= {DSN, REQUIRETLS}
    return extensions if peer.is_secured else extensions - {REQUIRETLS}


def announced(extensions: frozenset[bytes]) -> bytes:
    """Their lines of a reply to EHLO, none of which is the last one."""
    return b"".join([b"250-%b%b\r\n" % (word, _WORDS.get(word, b"")) for word in KNOWN if word in extensions])


# What stands behind a keyword.
_WORDS = {LIMITS: b" RCPTMAX=%d" % FEWEST_RECIPIENTS}
