"""The one table of all control files (qmail-control(5)): names, readers, defaults, and what they mean.

qmail-showctl and the manual are made from it.
"""

from __future__ import annotations

from qmail.formats.controlkinds import ME, Compiled, Line, Lines, Whole

_SEND, _SMTPD, _QMTPD = b"qmail-send", b"qmail-smtpd", b"qmail-qmtpd"
_INJECT, _REMOTE, _RCPTD, _VERIFYD = b"qmail-inject", b"qmail-remote", b"qmail-rcptd", b"qmail-verifyd"
_SERVERS = (_SMTPD, _QMTPD)
_COMPLETING = (_INJECT, _SMTPD, b"dot-forward", b"newaliases", b"newinclude")
_BOUNCING = (_SEND, b"maildirserial")

TABLE: tuple[Line | Lines | Compiled | Whole, ...] = (
    Lines(
        b"badmailfrom", [_SMTPD], b"%b not accepted in MAIL FROM.", b"Any MAIL FROM is allowed.",
        "Envelope senders that are refused: `user@host`, or `@host` for everybody there.",
    ),
    Lines(
        b"bounceformat", [_SEND], b"Bounces are written as %b.", b"Bounces are written as qmail has always done it.",
        "With the line `report` every bounce is a report (RFC 3464): qmail's words, the same for programs, the mail. "
        "Without it, only senders who gave DSN parameters (RFC 3461) get one.", new=True,
    ),
    Line(
        b"bouncefrom", _BOUNCING, b"MAILER-DAEMON", b"Bounce user name is %b.",
        "The user that bounces come from, in their From field.",
    ),
    Line(b"bouncehost", _BOUNCING, ME, b"Bounce host name is %b.", "The host that bounces come from."),
    Lines(
        b"callforward", [_RCPTD], b"Recipients are asked for at the hosts of: %b", b"No other host is asked.",
        "Domains of other hosts, `.suffix` for all below, whose recipients qmail-verifyd asks those hosts for before "
        "mail for them is taken. Who is unknown there is refused; where that is in doubt he is taken.",
        new=True,
    ),
    Line(
        b"concurrencylocal", [_SEND], b"10", b"Local concurrency is %b.",
        "How many local deliveries run at once; 0 holds local mail.", number=True,
    ),
    Line(
        b"concurrencyremote", [_SEND], b"20", b"Remote concurrency is %b.",
        "How many remote deliveries run at once; 0 holds remote mail.", number=True,
    ),
    Line(
        b"databytes", _SERVERS, b"0", b"SMTP DATA limit is %b bytes.",
        "The most bytes of a message from the network; 0 is no limit. DATABYTES overrides it.", number=True,
    ),
    Line(
        b"defaultdomain", _COMPLETING, ME, b"Default domain name is %b.",
        "What is appended to host names without a dot. QMAILDEFAULTDOMAIN overrides it.",
    ),
    Line(
        b"defaulthost", _COMPLETING, ME, b"Default host name is %b.",
        "The host of addresses without one. QMAILDEFAULTHOST overrides it.",
    ),
    Lines(
        b"destinations", [_SEND], b"Remote destination: %b", b"Remote destinations have equal shares.",
        "`host:connections:messages`: how many deliveries to a host run at once, and how many begin in a minute. "
        "`.suffix` is for all hosts below it, an empty name (or `*`) for the rest; the longest that fits counts, and "
        "of a host with a route in smtproutes the relay's. Without a number of connections there are at most half of "
        "concurrencyremote, or three quarters while nothing waits for elsewhere; 0 holds the mail. "
        "qmail-send reads it again on HUP.",
        new=True,
    ),
    Line(
        b"doublebouncehost", _BOUNCING, ME, b"2B recipient host: %b.",
        "The host of the one who gets bounces that bounce.",
    ),
    Line(
        b"doublebounceto", _BOUNCING, b"postmaster", b"2B recipient user: %b.",
        "The user who gets bounces that bounce.",
    ),
    Line(
        b"envnoathost", [_SEND, _RCPTD], ME, b"Presumed domain name is %b.",
        "The host of envelope recipients without an @.",
    ),
    Line(
        b"helohost", [_REMOTE, _VERIFYD], ME, b"SMTP client HELO host name is %b.",
        "What this host calls itself to other servers.",
    ),
    Line(
        b"idhost", [_INJECT, _SMTPD], ME, b"Message-ID host name is %b.",
        "The host in new Message-IDs. QMAILIDHOST overrides it.",
    ),
    Line(
        b"localiphost", [_SMTPD], ME, b"Local IP address becomes %b.",
        "What takes the place of one of this host's addresses in brackets, in envelope recipients.",
    ),
    Lines(
        b"locals", [_SEND, _RCPTD],
        b"Messages for %b are delivered locally.", b"Messages for me are delivered locally.",
        "Hosts whose mail is delivered here, each in full, in UTF-8 or as `xn--...`; without the file, me. "
        "qmail-send reads it again on HUP.",
    ),
    Line(
        b"me", [b"all programs"], None, b"My name is %b.",
        "The name of this host, and the default of most files here. Nothing works without it.",
        unset=b"My name is undefined! Uh-oh.",
    ),
    Lines(
        b"outgoingip", [_REMOTE, _VERIFYD], b"Mail goes out from: %b", b"Mail goes out from whatever address fits.",
        "Addresses of this host, IPv4 or IPv6, one a line, that connections to other hosts come from. Where only one "
        "kind is there, hosts are reached by that kind alone; 0.0.0.0 and :: are any of their kind. Where an address "
        "cannot be had, mail waits.",
        new=True,
    ),
    Lines(
        b"percenthack", [_SEND, _RCPTD], b"The percent hack is allowed for user%%host@%b.",
        b"The percent hack is not allowed.",
        "Hosts at which `user%host@here` means `user@host`.",
    ),
    Line(
        b"plusdomain", _COMPLETING, ME, b"Plus domain name is %b.",
        "What takes the place of a plus sign at the end of a host name. QMAILPLUSDOMAIN overrides it.",
    ),
    Lines(
        b"qmqpservers", [b"qmail-qmqpc"], b"QMQP server: %b.", b"No QMQP servers.",
        "Addresses of hosts to hand messages over to, tried in order.",
    ),
    Lines(
        b"qmtproutes", [_REMOTE, _VERIFYD], b"QMTP route: %b", b"No mail goes by QMTP.",
        "`domain:relay` or `domain:relay:port`: mail for a domain goes by QMTP there, port 209 without one; by QMTPS "
        "at port 6209, or with ` tls` behind another one. Names fit as in smtproutes, which these lines come before; "
        "an empty relay means SMTP.",
        new=True,
    ),
    Line(
        b"queuelifetime", [_SEND], b"604800", b"Message lifetime in the queue is %b seconds.",
        "Seconds after which a message that could not be delivered gets its last attempt.", number=True,
    ),
    Lines(
        b"rcpthosts", _SERVERS, b"SMTP clients may send messages to recipients at %b.",
        b"SMTP clients may send messages to any recipient.",
        "Hosts that mail from the network is taken for; `.suffix` for all hosts below. RELAYCLIENT overrides it. "
        "Without the file nothing with a host is taken: a lost file makes no open relay.",
        told=b"SMTP clients may send messages only to recipients without a host.",
    ),
    Lines(
        b"morercpthosts", [b"qmail-newmrh"], b"SMTP clients may send messages to recipients at %b.",
        b"No effect.",
        "More lines of rcpthosts, for those who have many. Run qmail-newmrh after each change.",
    ),
    Compiled(
        b"morercpthosts.cdb", _SERVERS, b"morercpthosts",
        "What qmail-newmrh makes of morercpthosts.",
    ),
    Lines(
        b"rcptcheck", [b"qmail-checkd", _RCPTD], b"Recipients are checked by: %b", b"No program checks recipients.",
        "A program and its arguments, the first line alone, that qmail-checkd runs for each recipient.",
        new=True,
    ),
    Lines(
        b"relayrecipients", [_RCPTD], b"Recipient of another host: %b", b"No recipients of other hosts are known.",
        "Recipients that other hosts have whose mail is taken here (rcpthosts), for qmail-rcptd: `user@domain`, "
        "`user-default@domain` for all that begin with `user-`, `@domain` for all. Of a domain that has a line, here "
        "or in morerelayrecipients, everybody else is refused. Case does not count.",
        new=True,
    ),
    Lines(
        b"morerelayrecipients", [b"qmail-newmrr"], b"Recipient of another host: %b", b"No effect.",
        "More lines of relayrecipients, for those who have many. Run qmail-newmrr after each change.",
        new=True,
    ),
    Compiled(
        b"morerelayrecipients.cdb", [_RCPTD], b"morerelayrecipients",
        "What qmail-newmrr makes of morerelayrecipients.", new=True,
    ),
    Line(
        b"smtpgreeting", [_SMTPD], ME, b"SMTP greeting: 220 %b.",
        "The greeting of the SMTP server; its first word should be the host's name.",
    ),
    Lines(
        b"senders", [_SMTPD], b"Who may send as whom: %b", b"Everybody sends as himself.",
        "`user:address`, `user:@domain` or `user:*`: what clients that have logged in as `user` may send as. A user "
        "without a line sends as itself: as the address that it logs in as, or, logging in as a name alone, as "
        "that name at our own domains, with an extension or without.",
        new=True,
    ),
    Lines(
        b"smtpextensions", [_SMTPD], b"SMTP extension: %b", b"No SMTP extensions but those that C qmail has.",
        "ESMTP keywords that are announced, one a line: CHUNKING, ENHANCEDSTATUSCODES, SMTPUTF8, DSN, REQUIRETLS, "
        "LIMITS. What C qmail announces, SIZE, STARTTLS and AUTH do not depend on it. `qmail setup` has all.", new=True,
    ),
    Lines(
        b"smtproutes", [_REMOTE, _SEND, _VERIFYD], b"SMTP route: %b", b"No artificial SMTP routes.",
        "`domain:relay` or `domain:relay:port`: where mail for a domain goes instead of its mail exchangers. "
        "`.suffix` is for all hosts below it, an empty domain for the rest; the longest that fits counts, and "
        "an empty relay means the mail exchangers.",
    ),
    Lines(
        b"sourceaddresses", [_REMOTE, _VERIFYD], b"Source address: %b", b"All mail goes out from the same addresses.",
        "`domain:address`, or more than one with blanks between them: what outgoingip is for all, for mail to a "
        "domain. Names fit as in smtproutes; without an address the choice is the system's.",
        new=True,
    ),
    Line(
        b"timeoutconnect", [_REMOTE, _VERIFYD], b"60", b"SMTP client connection timeout is %b seconds.",
        "Seconds that a connection to another host may take to come about.", number=True,
    ),
    Line(
        b"timeoutremote", [_REMOTE, _VERIFYD], b"1200", b"SMTP client data timeout is %b seconds.",
        "Seconds to wait for each answer of another host.", number=True,
    ),
    Line(
        b"timeoutsmtpd", [_SMTPD], b"1200", b"SMTP server data timeout is %b seconds.",
        "Seconds to wait for each new piece of data from a client.", number=True,
    ),
    Lines(
        b"tlspolicy", [_REMOTE, _VERIFYD, b"qmail-tlspolicy"], b"TLS policy: %b", b"TLS is used where it is offered.",
        "`domain:policy`: TLS of mail to a domain. `encrypt`: by TLS or not at all; `verify`: with a certificate for "
        "the exchanger's name, by a signer whom this system or tlstrust.pem trusts; `dane`: with one that its TLSA "
        "records tell; `none`: without TLS; `may`: if it is offered, whatever TLSA records and policies say. Else, and "
        "beyond `encrypt` and `verify`, TLSA records and policies (MTA-STS) count. Names fit as in smtproutes.",
        new=True,
    ),
    Whole(
        b"logins", [b"qmail-authd", _SMTPD], b"This says who checks passwords of those who send.",
        "One line; without it `passwords`: those who log in to send have passwords in users/passwords. `checker`: "
        "qmail-checkpwd is asked, and there is no SCRAM-SHA-256. qmail-authd reads it at its start.",
    ),
    Whole(
        b"smtpcredentials", [_REMOTE, _VERIFYD], b"Users and passwords for relays are here.",
        "`relay:user:password`: as whom to log in at a relay that smtproutes names, under TLS, with a certificate "
        "for its name unless tlspolicy says `encrypt` of that name. Mode 600, of qmailr; else nothing goes to relays.",
    ),
    Whole(
        b"servercert.pem", [b"qmail-tlsd"], b"This certificate and its key are for TLS.",
        "PEM: a certificate, those that signed it, and the key: shown to clients that speak TLS. Mode 600, of root: "
        "qmail-tlsd reads it, within 2 seconds of a change, or on HUP, again. A certificate or public key that comes "
        "next may stand in servercert.pem.next, for `qmail dns`.",
    ),
    Whole(
        b"tls", [b"qmail-tlsd"], b"These certificates and keys are for other names.",
        "A directory of files NAME.pem, each like servercert.pem: for clients that ask for the server NAME (SNI).",
    ),
    Whole(
        b"tlstickets", [b"qmail-tlsd"], b"0 here means: no TLS session tickets.",
        "One line; without it 1. 0: clients cannot resume a TLS session with less work.",
    ),
    Whole(
        b"tlstrust.pem", [_REMOTE, _VERIFYD, b"qmail-stsd"], b"These certificates are trusted, too.",
        "Certificates (PEM) that may have signed those of servers, beside the ones that the system trusts: of "
        "exchangers, and of web servers with policies (MTA-STS).",
    ),
    Lines(
        b"userlimits", [b"qmail-authd", _SMTPD], b"What users may send in an hour: %b", b"Users may send at will.",
        "`user:messages:recipients`: what a client that has logged in as `user` may send in an hour, an empty number "
        "for no limit; without a user for all who have no line. More is `450 4.7.1`, with the minutes until it may "
        "be sent; a message with more recipients than that is `550 5.7.1`.",
        new=True,
    ),
    Lines(
        b"virtualdomains", [_SEND, _RCPTD], b"Virtual domain: %b", b"No virtual domains.",
        "`domain:prefix`, `.suffix:prefix`, `user@domain:prefix`, or `:prefix` for the rest: such mail is local, "
        "and goes to `prefix-box`. An empty prefix makes an exception. qmail-send reads it again on HUP.",
    ),
)  # fmt: skip
