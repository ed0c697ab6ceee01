"""What the driver of an SMTP session (smtpserver) is to do next.

Whoever drives a session writes `greeting`, then calls `turn` again and again and does what it says:

    WAIT      write `replies()`, then `receive` what the client sends (b"" at its end)
    TURN      a command was answered, or a block of a message read; there may be more
    ASK       is `envelope.asked` a recipient that there is? Ask `envelope.question`, and say `answered`. What the
              client sent meanwhile waits.
    BEGIN     a message comes: answer with `begin`, or with `refuse`
    CONTENT   `content` holds a piece of the message
    COMMIT    `content` holds the last piece; queue it with the `envelope`, then say `accepted` or `refuse`. What
              the client sent after the message is not looked at before that.
    ABANDON   the message under way is not to be queued; the session goes on
    TLS       find somebody to speak TLS, and say `securing`, write `replies()`, and when the handshake is over say
              `secured`; or say `insecure`
    LOGIN     send `login.packet` to qmail-authd, and say `told`; where it is empty, hang up there
    OVER      write `replies()`, give up any message under way, end with exit code `code`
"""

from __future__ import annotations

WAIT, TURN, ASK, BEGIN, CONTENT, COMMIT, ABANDON, TLS, LOGIN, OVER = range(10)
