"""Received lines, and the dates in them: what each program that takes a message puts in front of it.

Dates are those of RFC 5322 3.3, without a day of the week; in UTC the zone is -0000.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.@%+/=:-"
_SAFE = bytes(byte if byte in _LETTERS else ord("?") for byte in range(256))


_last = (-1, b"")


def date(seconds: int, offset: int | None = None) -> bytes:
    """Seconds since 1970 as `7 Sep 2020 05:06:07 -0000`, or as local time that is `offset` seconds ahead of UTC."""
    zone = b"-0000"
    if offset is not None:
        hours, minutes = divmod(abs(offset) // 60, 60)
        zone = b"%b%02d%02d" % (b"-" if offset < 0 else b"+", hours, minutes)
        seconds += offset
    days, second = divmod(seconds, 86400)
    year, month, day = _civil(days)
    return b"%d %b %d %02d:%02d:%02d %b" % (
        day, _MONTHS[month - 1], year, second // 3600, second // 60 % 60, second % 60, zone,
    )  # fmt: skip


def stamp(seconds: int) -> bytes:
    """Seconds since 1970 as `20200907050607`, in UTC."""
    days, second = divmod(seconds, 86400)
    return b"%04d%02d%02d%02d%02d%02d" % (*_civil(days), second // 3600, second // 60 % 60, second % 60)


def safe(text: bytes) -> bytes:
    """What a stranger said, fit for a header line: any byte that could mean something becomes `?`."""
    return text.translate(_SAFE)


class Origin:
    """Where a message comes from, as tcp-environ(5) names it; `host` and `ip` are b"unknown" where unset."""

    __slots__ = ("host", "info", "ip", "local")

    def __init__(self, host: bytes, ip: bytes, info: bytes | None, local: bytes) -> None:
        self.host, self.ip, self.info, self.local = host, ip, info, local


def origin(environ: Mapping[bytes, bytes]) -> Origin:
    """The other side, by the variables that tcpserver or tcp-env has set."""
    return Origin(
        environ.get(b"TCPREMOTEHOST", b"unknown"),
        environ.get(b"TCPREMOTEIP", b"unknown"),
        environ.get(b"TCPREMOTEINFO"),
        environ.get(b"TCPLOCALHOST", environ.get(b"TCPLOCALIP", b"unknown")),
    )


def line(protocol: bytes, origin: Origin, greeted: bytes | None, seconds: int) -> bytes:
    """The field of a message that came over the network, two lines long.

    `greeted` is what the client called itself, or None where that is the name we knew.
    """
    global _last
    if seconds != _last[0]:
        _last = (seconds, date(seconds))  # a busy server asks for the same second again and again
    return b"%b; %b\n" % (head(protocol, origin, greeted), _last[1])


def secure(protocol: bytes, cipher: bytes) -> bytes:
    """What `line` is to call SMTP inside TLS (RFC 3848), with how it is protected as a comment."""
    return b"ESMTPS (%b %b)" % (safe(protocol), b"_".join(map(safe, cipher.split(b"_"))))


def international(protocol: bytes) -> bytes:
    """What `line` is to call it where addresses may be in UTF-8 (RFC 6531 4.3): UTF8SMTP, UTF8SMTPS, UTF8SMTPSA."""
    return b"UTF8" + protocol.removeprefix(b"E")


def head(protocol: bytes, origin: Origin, greeted: bytes | None) -> bytes:
    """The field up to its date."""
    return b"Received: from %b%b (%b%b)\n  by %b with %b" % (
        safe(origin.host),
        b"" if greeted is None else b" (HELO " + safe(greeted) + b")",
        b"" if origin.info is None else safe(origin.info) + b"@",
        safe(origin.ip),
        safe(origin.local),
        protocol,
    )


def _civil(days: int) -> tuple[int, int, int]:
    # Days since 1970 to (year, month, day): the year is taken to begin in March, so that a leap day ends it.
    era, day = divmod(days + 719468, 146097)
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    year += era * 400
    return (year + 1, month - 9, day + 1) if month > 9 else (year, month + 3, day + 1)
