"""Reports on TLS (RFC 8460): who wants them, the report in JSON, and the mail that brings it.

_smtp._tls.example.org  TXT  "v=TLSRPTv1; rua=mailto:tls@example.org,https://reports.example.org/tls"
"""

from __future__ import annotations

import json
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qmail.formats.tlscount import Session

MOST_WANTING = 10  # places of one domain that a report goes to
_RECORD = re.compile(rb"v=TLSRPTv1[ \t]*;[ \t]*(.*)", re.S)
_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")
_MAILBOX = re.compile(rb"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")
_LINE = 76  # characters of base64 in a line


class Heading:
    """What a report is about, and whose: `submitter` is our name, `contact` an address; `begin` and `end` are seconds
    since 1970, the first and the last of the day called `day`."""

    __slots__ = ("begin", "contact", "day", "domain", "end", "submitter")

    def __init__(self, domain: bytes, submitter: bytes, contact: bytes, day: bytes, begin: int) -> None:
        self.domain, self.submitter, self.contact, self.day = domain, submitter, contact, day
        self.begin, self.end = begin, begin + 86399

    @property
    def identity(self) -> bytes:
        """What this report and no other is called."""
        return b"%b.%b@%b" % (self.day, self.domain, self.submitter)

    @property
    def file(self) -> bytes:
        """The name of the attachment (RFC 8460 5.1)."""
        return b"%b!%b!%d!%d.json.gz" % (self.submitter, self.domain, self.begin, self.end)


def wanted(records: Iterable[bytes]) -> list[bytes]:
    """The URIs that the TXT records of _smtp._tls.DOMAIN name; none where no report is wanted (RFC 8460 3)."""
    found = [match[1] for record in records if (match := _RECORD.fullmatch(record))]
    if len(found) != 1:
        return []
    for field in found[0].split(b";"):
        name, _, value = field.strip(b" \t").partition(b"=")
        if name.rstrip(b" \t") == b"rua":
            return [uri for word in value.split(b",") if (uri := word.strip(b" \t"))][:MOST_WANTING]
    return []


def mailbox(uri: bytes) -> bytes | None:
    """The address of a mailto: URI (RFC 6068), or None where it is another one, or none that mail can go to."""
    scheme, _, rest = uri.partition(b":")
    if scheme.lower() != b"mailto":
        return None
    address = _ESCAPED.sub(lambda match: bytes((int(match[1], 16),)), rest.partition(b"?")[0])
    return address if _MAILBOX.fullmatch(address) and len(address) <= 320 else None


def report(heading: Heading, sessions: Mapping[Session, int]) -> bytes:
    """The report (RFC 8460 4.4) on sessions of one domain: each, and how many there were of it."""
    policies: dict[tuple[bytes, tuple[bytes, ...]], dict[Session, int]] = {}
    for session, count in sessions.items():
        policies.setdefault((session.kind, tuple(session.policy)), {})[session] = count
    value = {
        "organization-name": _text(heading.submitter),
        "date-range": {
            "start-datetime": _text(heading.day) + "T00:00:00Z", "end-datetime": _text(heading.day) + "T23:59:59Z",
        },
        "contact-info": _text(heading.contact),
        "report-id": _text(heading.identity),
        "policies": [_policy(heading.domain, *key, found) for key, found in policies.items()],
    }  # fmt: skip
    return json.dumps(value, indent=1).encode() + b"\n"


def _policy(domain: bytes, kind: bytes, lines: tuple[bytes, ...], sessions: Mapping[Session, int]) -> object:
    policy: dict[str, object] = {"policy-type": _text(kind), "policy-domain": _text(domain)}
    if lines:
        policy["policy-string"] = [_text(line) for line in lines]
    patterns = [_text(line[3:].strip()) for line in lines if line.startswith(b"mx:")]
    if patterns:
        policy["mx-host"] = patterns
    failures = {session: count for session, count in sessions.items() if session.result}
    return {
        "policy": policy,
        "summary": {
            "total-successful-session-count": sum(sessions.values()) - sum(failures.values()),
            "total-failure-session-count": sum(failures.values()),
        },
        "failure-details": [_failure(session, count) for session, count in failures.items()],
    }


def _failure(session: Session, count: int) -> object:
    details = {
        "result-type": session.result, "sending-mta-ip": session.ours, "receiving-mx-hostname": session.exchanger,
        "receiving-ip": session.address,
    }  # fmt: skip
    found: dict[str, object] = {name: _text(value) for name, value in details.items() if value}
    return found | {"failed-session-count": count}


def message(heading: Heading, to: Iterable[bytes], date: bytes, packed: bytes) -> bytes:
    """The mail (RFC 8460 5.3). `packed`: the report, compressed with gzip."""
    import binascii

    boundary = b"=_" + heading.day + b"_tlsrpt"  # no line of what is below begins so
    encoded = binascii.b2a_base64(packed, newline=False)
    lines = [encoded[at : at + _LINE] for at in range(0, len(encoded), _LINE)]
    return b"\n".join([
        b"Date: " + date,
        b"From: " + heading.contact,
        b"To: " + b",\n ".join(to),
        b"Subject: Report Domain: " + heading.domain + b"\n Submitter: " + heading.submitter,
        b" Report-ID: <" + heading.identity + b">",
        b"Message-ID: <" + heading.identity + b">",
        b"TLS-Report-Domain: " + heading.domain,
        b"TLS-Report-Submitter: " + heading.submitter,
        b"TLS-Required: No",  # RFC 8689 5: it may tell of a failure that is in its own way
        b"Auto-Submitted: auto-generated",
        b"MIME-Version: 1.0",
        b'Content-Type: multipart/report; report-type="tlsrpt";\n boundary="' + boundary + b'"',
        b"",
        b"--" + boundary,
        b"Content-Type: text/plain; charset=us-ascii",
        b"",
        b"This is a report on TLS in mail from " + heading.submitter + b" to " + heading.domain,
        b"on " + heading.day + b" (UTC). Its form is that of RFC 8460.",
        b"",
        b"--" + boundary,
        b"Content-Type: application/tlsrpt+gzip",
        b"Content-Transfer-Encoding: base64",
        b'Content-Disposition: attachment;\n filename="' + heading.file + b'"',
        b"",
        *lines,
        b"",
        b"--" + boundary + b"--",
        b"",
    ])  # fmt: skip


def _text(value: bytes) -> str:
    return value.decode("ascii", "backslashreplace")
