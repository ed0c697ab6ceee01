"""What a mailing list answers where its owner has not written other words into DIR/text (ezmlm(5)).

ezmlm-make puts these files into a new list, to be changed there; a list without one of them says this.
"""

from __future__ import annotations

TEXTS: dict[str, str] = {
    "top": """\
This is the program that looks after the mailing list <#l#>@<#h#>.
The people who look after it are at <#l#>-owner@<#h#>.

""",
    "bottom": """\

--- What the list understands

A message to one of these addresses is enough; nobody reads what is in it.

    <#l#>-subscribe@<#h#>      to get the list's mail
    <#l#>-unsubscribe@<#h#>    to get it no longer
    <#l#>-help@<#h#>           for these lines
    <#l#>-info@<#h#>           for what the list is about
    <#l#>-faq@<#h#>            for what is often asked
    <#L#>-get.12_45@<#h#>      for messages 12 to 45
    <#L#>-index.123@<#h#>      for the subjects of the hundred messages around number 123
    <#L#>-thread.123@<#h#>     for all messages with the subject of number 123
    <#L#>-digest-subscribe@<#h#>   for a collection now and then, where the list has one

To use another address than the one you write from, say joe@example.org, put it
into the command with `=` for the `@`:

    <#l#>-subscribe-joe=example.org@<#h#>

What goes wrong is read by people at <#l#>-owner@<#h#>.

""",
    "sub-confirm": """\
Somebody, it may have been you, asks that

    <#A#>

gets the mail of <#l#>@<#h#>.

To agree, answer this message; your mail program should send the answer to

    <#R#>

If it was not you, do nothing, and nothing will happen. That is why we ask.

""",
    "sub-ok": """\
<#A#> now gets the mail of <#l#>@<#h#>. Welcome!

Please keep this message: it says which address is subscribed, and how to leave.
To leave, write to

    <#l#>-unsubscribe-<#t#>@<#h#>

""",
    "sub-nop": """\
<#A#> is a subscriber of <#l#>@<#h#>.

""",
    "sub-bad": """\
The number in your confirmation is wrong, or it has come too late, so that we
could not subscribe

    <#A#>

to <#l#>@<#h#>. Here is a new one. To agree, answer this message; the answer
should go to

    <#R#>

""",
    "unsub-confirm": """\
Somebody, it may have been you, asks that

    <#A#>

gets the mail of <#l#>@<#h#> no longer.

To agree, answer this message; your mail program should send the answer to

    <#R#>

If this is not the address at which you get the list, look at the Return-Path
line on top of any message from it: your address stands there, with `=` for the
`@`. For joe@example.org write to <#l#>-unsubscribe-joe=example.org@<#h#>.

""",
    "unsub-ok": """\
<#A#> gets the mail of <#l#>@<#h#> no longer. Messages that are already on
their way may still arrive.

""",
    "unsub-nop": """\
<#A#> is not a subscriber of <#l#>@<#h#>.

If you get its mail all the same, it comes to another address. Look at the
Return-Path line on top of any message from the list: your address stands there,
with `=` for the `@`.

""",
    "unsub-bad": """\
The number in your confirmation is wrong, or it has come too late, so that

    <#A#>

still gets the mail of <#l#>@<#h#>. Here is a new one. To agree, answer this
message; the answer should go to

    <#R#>

""",
    "get-bad": """\
There is no such message in the archive of <#L#>@<#h#>.

""",
    "digest": """\
To get this digest, write to <#L#>-digest-subscribe@<#h#>;
to get it no longer, to <#L#>-digest-unsubscribe@<#h#>;
to say something to all, to <#L#>@<#h#>.

""",
    "trailer": """\
---------------------------------------------------------------------
To leave: <#l#>-unsubscribe@<#h#>    Help: <#l#>-help@<#h#>
""",
    "faq": """\
Nobody has written down yet what is often asked on <#l#>@<#h#>.

""",
    "info": """\
Nobody has written down yet what <#l#>@<#h#> is about.

""",
    "help": """\
What you have sent is either a call for help, or nothing that the list
understands. What it understands is said below.

""",
    "bounce-warn": """\
Messages from <#l#>@<#h#> could not be delivered to you, and came back to
us. The first of the notices that we got is at the end of this message.

If this message comes back as well, we send one more, and if that comes back too,
your address is taken off the list.

""",
    "bounce-num": """\
These are the numbers of messages that came back. To get number 123 from the
archive, write to <#l#>-get.123@<#h#>.

""",
    "dig-bounce-num": """\
These are the numbers of digests that came back; each is the number of the first
message in it. To get 123 and what follows, write to <#L#>-get.123_200@<#h#>.

""",
    "bounce-probe": """\
Messages from <#l#>@<#h#> could not be delivered to you, and our warning came
back too. The notice about it is at the end of this message.

This is the last message: if it comes back, your address is taken off the list.
You can always subscribe again, at <#l#>-subscribe@<#h#>.

""",
    "bounce-bottom": """\
--- Below this line is the notice that we got.

""",
    "mod-help": """\
You are a moderator of <#l#>@<#h#>. That is what you may do, where the
list allows it:

    <#l#>-subscribe-joe=example.org@<#h#>    subscribe joe@example.org
    <#l#>-unsubscribe-joe=example.org@<#h#>  unsubscribe joe@example.org
    <#l#>-query-joe=example.org@<#h#>        is joe@example.org a subscriber?
    <#l#>-list@<#h#>     all subscribers; -listn only says how many
    <#l#>-log@<#h#>      who came and went

A number is sent to you each time, and you confirm by answering.

""",
    "mod-sub": """\
--- A moderator has agreed to this.

""",
    "mod-sub-confirm": """\
Please decide whether

    <#A#>

is to get the mail of <#l#>@<#h#>. To agree, answer this message; the answer
should go to

    <#R#>

If you do not agree, do nothing.

""",
    "mod-unsub-confirm": """\
Please decide whether

    <#A#>

is to get the mail of <#l#>@<#h#> no longer. To agree, answer this message;
the answer should go to

    <#R#>

If you do not agree, do nothing.

""",
}
