"""The one table of limits: how much a program takes, and what more of it gets. `make man` makes qmail-limits(7) of it.

Tests compare the numbers with the constants that are named, and go beyond each of them with the real program.
"""

from __future__ import annotations

KIB, MIB = 1024, 1024 * 1024


class Limit:
    """`number` of `what` is the most that is taken; `answer`: what more gets. `constant`: where the code says so."""

    __slots__ = ("answer", "constant", "number", "what")

    def __init__(self, constant: str, number: int, what: str, answer: str) -> None:
        self.constant, self.number, self.what, self.answer = constant, number, what, answer


class Program:
    """What one program takes. `memory`: MiB that it needs at the very most; `see`: other programs' limits that hold."""

    __slots__ = ("limits", "memory", "name", "see")

    def __init__(self, name: str, memory: int, limits: list[Limit], see: str = "") -> None:
        self.name, self.memory, self.limits, self.see = name, memory, limits, see


TABLE = [
    Program("qmail-inject", 256, [
        Limit(
            "qmail.formats.header_fields:LARGEST", 16 * MIB, "bytes of a header, and so of a line or a field of it",
            "exit 100, `a header of more than 16777216 bytes`",
        ),
        Limit(
            "qmail.formats.header_tokens:MOST", 500_000, "words in all fields with addresses together",
            "exit 100, `more than 500000 words in fields with addresses`",
        ),
        Limit(
            "qmail.programs.inject.qmail_inject:MOST_LISTS", MIB, "bytes of the file that QMAILMFTFILE names",
            "exit 111, `FILE is larger than 1048576 bytes`",
        ),
    ], see="Comments may be nested as deeply as a header has room for. For addresses and recipients the limits of "
    "qmail-queue hold; it says `envelope address too long for qq`, exit 100."),
    Program("qmail-smtpd", 32, [
        Limit(
            "qmail.protocols.smtplines:LONGEST_LINE", 32 * KIB, "bytes of a command",
            "`500 line too long (#5.5.2)`; the line is passed over",
        ),
        Limit(
            "qmail.protocols.smtppath:LONGEST", 899, "bytes of an address", "`555 syntax error (#5.5.4)`",
        ),
        Limit(
            "qmail.protocols.smtpenvelope:LARGEST_RECIPIENTS", 2 * MIB,
            "bytes of all recipients of a message, each counted with 64 more",
            "`452 too many recipients (#4.5.3)`; those before it are served",
        ),
        Limit(
            "qmail.protocols.smtpchunks:MOST", (1 << 63) - 1, "bytes of a chunk (BDAT)",
            "`501 no such size of a chunk (#5.5.4)`, and the end of the session",
        ),
        Limit(
            "qmail.protocols.smtpmeasure:MOST_HOPS", 99, "Received and Delivered-To fields",
            "`554 too many hops, this message is looping (#5.4.6)`",
        ),
        Limit(
            "qmail.formats.mailparameters:LONGEST_ENVID", 100, "bytes of ENVID",
            "`501 no such value of a parameter (#5.5.4)`",
        ),
        Limit("qmail.formats.mailparameters:LONGEST_ORCPT", 500, "bytes of ORCPT", "the same"),
        Limit(
            "qmail.protocols.smtpxclient:LONGEST", 255, "bytes of a value of XCLIENT",
            "`501 5.5.4 no such attribute, or no such value of it`",
        ),
        Limit(
            "qmail.rules.completing:MOST_HELD", 256 * KIB,
            "bytes of the header of a user who has logged in, until Date, Message-ID and From have come",
            "`552 5.3.4 sorry, that header is longer than what is kept while Date, Message-ID or From is missing`",
        ),
    ], see="The bytes of a message are limited by control/databytes alone, `552`; no more than 64 KiB of one are in "
    "memory. A line of a message, or of its header, may be as long as the message."),
    Program("qmail-queue", 16, [
        Limit("qmail.formats.envelope:LONGEST_ADDRESS", 1002, "bytes of an address", "exit 11"),
        Limit("qmail.formats.envelope:MOST_BYTES", 64 * MIB, "bytes of an envelope", "exit 31"),
        Limit("qmail.formats.envelope:MOST_RECIPIENTS", 1_000_000, "recipients", "exit 31"),
        Limit(
            "qmail.formats.mailparameters:LARGEST", 2 * MIB, "bytes of what the sender asks for besides", "exit 91",
        ),
    ], see="qmail-queued, which judges them, needs 48 MiB at most for one client at a time, and holds at most 80 KiB "
    "of a message and its envelope in memory. How many unfinished messages a user may have is a share of its "
    "descriptors; more is exit 71."),
    Program("qmail-qmtpd", 64, [
        Limit(
            "qmail.protocols.qmtp:LONGEST_ADDRESS", 999, "bytes of an address",
            "the recipient: `Dsorry, I can't handle that recipient (#5.1.3)`; the sender: `Dunacceptable sender "
            "(#5.1.7)`",
        ),
        Limit(
            "qmail.protocols.qmtp:MOST_RECIPIENTS", 100_000, "recipients of a package",
            "exit 111 without an answer, which the client takes for a lost connection",
        ),
        Limit(
            "qmail.protocols.qmtp:LARGEST_RECIPIENTS", 16 * MIB,
            "bytes of all recipients of a package, each counted with 64 more", "the same",
        ),
        Limit("qmail.formats.netstring:LARGEST", 2_000_000_000, "bytes of a netstring", "the same"),
    ], see="The bytes of a message are limited by control/databytes alone, `D`; it is not kept in memory."),
    Program("qmail-qmqpd", 64, [
        Limit(
            "qmail.protocols.qmtp:LONGEST_ADDRESS", 999, "bytes of an address",
            "`Dsorry, I can't accept addresses like that (#5.1.3)`",
        ),
        Limit(
            "qmail.protocols.qmtp:MOST_RECIPIENTS", 100_000, "recipients",
            "exit 111 without an answer, which the client takes for a lost connection",
        ),
        Limit(
            "qmail.protocols.qmtp:LARGEST_RECIPIENTS", 16 * MIB,
            "bytes of all recipients, each counted with 64 more", "the same",
        ),
        Limit("qmail.formats.netstring:LARGEST", 2_000_000_000, "bytes of a netstring", "the same"),
    ]),
    Program("qmail-local", 96, [
        Limit(
            "qmail.stores.userhome:LARGEST", 16 * MIB, "bytes of a .qmail file",
            "exit 111, `Unable to open FILE: larger than 16777216 bytes. (#4.3.0)`",
        ),
        Limit(
            "qmail.stores.userhome:MOST", 100_000, "instructions of a .qmail file",
            "exit 111, `Unable to follow FILE: more than 100000 instructions. (#4.3.0)`",
        ),
    ], see="Comments are no instructions. A message is read in pieces."),
    Program("dot-forward", 128, [
        Limit(
            "qmail.programs.commands.dot_forward:LARGEST", 4 * MIB, "bytes of a .forward file",
            "exit 111, `FILE is larger than 4 MiB`",
        ),
    ]),
    Program("qmail-remote", 24, [
        Limit(
            "qmail.protocols.replyreader:LONGEST", 256 * KIB, "bytes of a server's reply",
            "`Z`, connected, but connection died (#4.4.2)",
        ),
        Limit("qmail.protocols.replyreader:MOST_LINES", 2000, "lines of a reply", "the same"),
        Limit(
            "qmail.protocols.replyreader:KEPT", 5000, "bytes of a reply's text in a report", "the text is cut",
        ),
    ]),
    Program("qmail-stsd", 24, [
        Limit(
            "qmail.formats.mtasts:LARGEST", 64 * KIB, "bytes of a policy",
            "it cannot be fetched; the one in the cache holds, or none",
        ),
        Limit("qmail.formats.mtasts:MOST_PATTERNS", 500, "mx lines of a policy", "it is none; the same"),
        Limit(
            "qmail.stores.policycache:MOST_KEPT", 10_000, "policies in the cache", "the oldest ones go",
        ),
        Limit(
            "qmail.stores.policycache:MOST_BYTES", 64 * MIB, "bytes of them", "the same",
        ),
    ], see="A process that fetches, with the TLS library in it, needs 40 MiB for its minute at most; there are 10."),
    Program("qmail-tlsrptd", 48, [
        Limit(
            "qmail.formats.tlscount:LONGEST", 4 * KIB, "bytes about a session",
            "the last lines of the policy are left out",
        ),
        Limit(
            "qmail.stores.tlscounts:MOST_OF_DOMAIN", 100, "kinds of failures of a domain in a day",
            "they are counted without exchanger and address",
        ),
        Limit(
            "qmail.stores.tlscounts:MOST_LINES", 20_000, "kinds of sessions in a day",
            "they are not counted, and that is said",
        ),
        Limit("qmail.stores.tlscounts:MOST_BYTES", 8 * MIB, "bytes of them", "the same"),
    ]),
    Program("qmail-pop3d", 24, [
        Limit(
            "qmail.protocols.pop3:LONGEST_LINE", 8 * KIB, "bytes of a command", "`-ERR unimplemented`",
        ),
        Limit(
            "qmail.stores.maildir:MOST", 1_000_000, "messages",
            "so many are shown; `+OK there are too many messages to show all of them`",
        ),
    ], see="To the memory come 400 bytes for each message that the Maildir has."),
    Program("qmail-popup", 16, [
        Limit(
            "qmail.protocols.pop3:LONGEST_LINE", 8 * KIB, "bytes of a command", "`-ERR authorization first`",
        ),
    ]),
    Program("qmail-tlsd", 32, [
        Limit(
            "qmail.stores.tlsservice:MOST", 4096, "connections (fewer where it may not have twice as many descriptors)",
            "the others wait until one ends, and `too many connections` is logged",
        ),
        Limit(
            "qmail.host.tlsrelay:HELD", 64 * KIB, "bytes that wait for one side of a connection",
            "the other side is not read from",
        ),
        Limit(
            "qmail.stores.certificates:MOST", 1000, "certificates",
            "exit 111, `more than 1000 certificates in DIRECTORY`; at a change, the old ones stay",
        ),
    ], see="To the memory come 50 KiB for each connection, and 300 KiB where nobody reads what is said on it."),
    Program("qmail-authd", 48, [
        Limit(
            "qmail.programs.receive.qmail_authd:MOST_CLIENTS", 1000, "logins at a time",
            "`454`, temporarily",
        ),
        Limit(
            "qmail.programs.receive.qmail_authd:MOST_WAITING", 20,
            "logins from one address that wait since others have failed", "`454`, temporarily",
        ),
        Limit(
            "qmail.protocols.login:LONGEST", 9472, "bytes of a packet at qp/login", "the login ends",
        ),
        Limit(
            "qmail.stores.passwords:LARGEST", 64 * MIB, "bytes of users/passwords",
            "`454` for everybody, `alert: FILE is larger than 64 MiB` in the log",
        ),
    ], see="To the memory comes what users/passwords has, three times."),
    Program("qmail-checkpwd", 32, [
        Limit("qmail.programs.receive.qmail_checkpwd:MOST_RUNNING", 20, "checkers at a time", "the others wait"),
        Limit(
            "qmail.programs.receive.qmail_checkpwd:MOST_WAITING", 200, "logins that wait for one", "`454`, temporarily",
        ),
        Limit(
            "qmail.programs.receive.qmail_checkpwd:LONGEST", 512,
            "bytes of name, password and time stamp, each with a NUL", "`535`: no checker could be told",
        ),
    ], see="A checker that runs for 60 seconds is killed with its process group."),
    Program("qmail-checkd", 32, [
        Limit("qmail.programs.deliver.qmail_checkd:MOST_RUNNING", 20, "programs at a time", "the others wait"),
        Limit("qmail.programs.deliver.qmail_checkd:MOST_WAITING", 1000, "recipients that wait", "451"),
    ], see="A program that does not end is killed with its process group."),
    Program("qmail-verifyd", 48, [
        Limit(
            "qmail.programs.deliver.qmail_verifyd:MOST_RUNNING", 20, "questions to other hosts at a time",
            "the others wait",
        ),
        Limit(
            "qmail.programs.deliver.qmail_verifyd:MOST_AT_HOP", 2, "of them with the same servers", "the others wait",
        ),
        Limit(
            "qmail.programs.deliver.qmail_verifyd:MOST_WAITING", 1000, "recipients that wait",
            "they are taken, as where nobody can say",
        ),
    ], see="What is known of 20,000 recipients is remembered; the oldest are forgotten first."),
    Program("control files", 32, [
        Limit(
            "qmail.stores.control:LIMIT", 64 * MIB, "bytes of a control file",
            "the program cannot work: `421 unable to read controls (#4.3.0)` of qmail-smtpd, exit 111 of others",
        ),
        Limit(
            "qmail.stores.reception:LARGEST_MORE", 256 * MIB, "bytes of morercpthosts.cdb",
            "`421 unable to read controls (#4.3.0)` at the first recipient that is looked for there",
        ),
        Limit(
            "qmail.stores.relayrecipients:LARGEST_MORE", 256 * MIB, "bytes of morerelayrecipients.cdb",
            "451 for recipients at other hosts",
        ),
    ]),
]  # fmt: skip

MEMORY = {program.name: program.memory for program in TABLE}
QUEUED = 48  # MiB of qmail-queued

INTRODUCTION = """\
# qmail-limits(7): how much the programs take, and what they answer to more

Every program limits itself what others may make it read: nothing rests on softlimit(1). Below each program are its
limits, the answer to what is beyond them, and the most memory it was ever seen to need, whatever was put into it.
This page is made from the table in setup/limits.py by `make man`; tests compare each number with the program's own,
go beyond each limit, and measure the memory. Limits of time are in the manuals of the programs."""


def page() -> str:
    """The page, in Markdown."""
    parts = [INTRODUCTION]
    for program in TABLE:
        lines = [f"- {_number(limit)} {limit.what.removeprefix('bytes ')}: {limit.answer}." for limit in program.limits]
        memory = f"At most {program.memory} MiB of memory. {program.see}".strip()
        parts.append("\n\n".join([f"## {program.name}", "\n".join(lines), memory]))
    return "\n\n".join(parts) + "\n"


def _number(limit: Limit) -> str:
    if not limit.what.startswith("bytes "):
        return f"{limit.number:,}"
    if limit.number % MIB == 0:
        return f"{limit.number // MIB} MiB"
    return f"{limit.number // KIB} KiB" if limit.number < MIB and limit.number % KIB == 0 else f"{limit.number:,} bytes"
