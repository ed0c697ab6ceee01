"""What is recorded of acceptance: `accept_driver.py WORKLOAD`, with QMAIL_HOME and the programs' directory in BIN.

`accept_driver.py prepare HOME` makes the home.

It starts qmail-queued, hands messages over, and where a workload says so has qmail-clean remove them
as qmail-send would. Message number k says `message-k` in its text and in its sender.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent.parent / "src")]

from conftest import start_queued  # noqa: E402
from submitting import Talk, frame, message  # noqa: E402

HOME = Path(os.environ.get("QMAIL_HOME", "/nonexistent"))


def prepare(home: Path) -> None:
    """An empty home."""
    from qmail.stores.installation import create

    create(os.fsencode(home))


def frames(number: int, size: int = 100) -> bytes:
    """The frames of message `number`."""
    text = b"Subject: message-%d\n\n" % number + b"message-%d\n" % number * (size // 10)
    return message(text, b"Fmessage-%d@a.example\0Tc@d.example\0\0" % number)


def one_by_one(queued: subprocess.Popen[bytes]) -> None:
    """Two messages, one after the other."""
    talk = Talk(HOME)
    for number in range(2):
        talk.say(frames(number))
        assert talk.answer()[0] == b"0"


def batch(queued: subprocess.Popen[bytes], count: int = 4) -> None:
    """Messages that become complete at the same moment, after one that came before."""
    talks = [Talk(HOME) for _ in range(count)]
    talks[0].say(frames(0))
    assert talks[0].answer()[0] == b"0"
    # Everything arrives while it cannot look.
    pid = int((HOME / "qq/lock").read_text().split()[0])
    os.kill(pid, signal.SIGSTOP)
    for number, talk in enumerate(talks, 1):
        talk.say(frames(number))
    os.kill(pid, signal.SIGCONT)
    for talk in talks:
        assert talk.answer()[0] == b"0"


def pair(queued: subprocess.Popen[bytes]) -> None:
    """Two messages of one batch, too few to sync everything for."""
    batch(queued, 2)


def large(queued: subprocess.Popen[bytes]) -> None:
    """A message that is streamed, and small ones in the middle of it."""
    slow, quick = Talk(HOME), Talk(HOME)
    text = frames(0, 150_000)
    slow.say(text[:100_000])
    quick.say(frames(1))
    assert quick.answer()[0] == b"0"
    slow.say(text[100_000:])
    assert slow.answer()[0] == b"0"


def refused(queued: subprocess.Popen[bytes]) -> None:
    """Messages that come to nothing beside one that is accepted."""
    talk = Talk(HOME)
    talk.say(frames(0, 100_000)[: -len(frame(b"."))] + frame(b"A"))
    assert talk.answer()[0] == b"54"
    talk.say(message(b"message-1\n" * 10_000, b"X"))
    assert talk.answer()[0] == b"91"
    gone = Talk(HOME)
    gone.say(frames(2, 100_000)[:90_000])
    talk.say(frames(3))
    assert talk.answer()[0] == b"0"
    gone.close()
    talk.say(frames(4))
    assert talk.answer()[0] == b"0"


def reuse(queued: subprocess.Popen[bytes]) -> None:
    """A message is delivered and removed, and the next one gets its number."""
    clean = subprocess.Popen(
        [os.path.join(os.environ["BIN"], "qmail-clean")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert clean.stdin
    assert clean.stdout
    talk = Talk(HOME)
    numbers = []
    for number in range(3):
        talk.say(frames(number))
        assert talk.answer()[0] == b"0"
        (name,) = os.listdir(HOME / "queue/todo")
        numbers.append(name)
        clean.stdin.write(b"todo/%b\0" % name.encode())
        assert clean.stdout.read(1) == b"+"
        todo = os.open(HOME / "queue/todo", os.O_RDONLY)
        os.fsync(todo)
        os.close(todo)
        clean.stdin.write(b"foop/%b\0" % name.encode())
        assert clean.stdout.read(1) == b"+"
    talk.say(frames(3))
    assert talk.answer()[0] == b"0"
    clean.stdin.close()
    assert clean.wait(20) == 0
    print(len(set(numbers)), "numbers for", len(numbers), "messages")


WORKLOADS = {work.__name__: work for work in (one_by_one, pair, batch, large, refused, reuse)}


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(Path(sys.argv[2]))
        sys.exit()
    with start_queued(HOME) as process:
        try:
            WORKLOADS[sys.argv[1]](process)
        finally:
            process.terminate()
            assert process.wait(20) == 0
