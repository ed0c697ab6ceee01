"""The real system, started again on many states at once: each with messages, numbers and an mbox of its own.

A state's files are put beside those of the others: its numbers become numbers that nobody else has (in the same
split directories), and TAG in its texts and addresses becomes its number among them. Everything is forty hours
old. Then the programs run until the queue is empty, and what has become of each state is read back.

This happens in memory, in a process and a mount namespace of its own: `heal` starts it, on a file of states.
"""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent.parent / "src")]

from crash import system_driver  # noqa: E402
from crash.disk import Tree, snapshot  # noqa: E402
from crash.judge import NEW, UNANSWERED, Mail, Name, State, problems  # noqa: E402
from crash.recorded import Moment  # noqa: E402
from crash.system_driver import TAG  # noqa: E402

AGE = 40 * 3600
TOGETHER = 500  # states on one host
APART = 23 * 10**9  # between the numbers of two states
TAGS = re.compile(rb"s(\d{6})")
NUMBER = re.compile(rb"home/queue/(?:mess|intd|todo|info|local|remote|bounce)/(?:\d+/)?(\d+)")
COPY = b"--- Below this line is "
Wrong = tuple[str, str]  # kind, what


class Ward:
    """A host below `top`, which is made, to heal states of one recording on, again and again."""

    def __init__(self, top: Path) -> None:
        top.mkdir()
        self.top = top
        self.host = system_driver.prepare(top)
        self.sink = system_driver.connect(self.host)
        for name in ("ready", "ever"):
            self.host.users[1].file(name, "")
        self._places = system_driver.places(top)
        self._empty = snapshot(top, *self._places)[0].keys()
        self._boxes = {TAG}

    def heal(self, moments: Sequence[Moment], mail: Mail) -> list[list[Wrong]]:
        """What is wrong with each state in the end. Raises AssertionError where that cannot be said of one of them."""
        self._clear()
        for number, moment in enumerate(moments):
            self._put(number, moment.tree)
        system_driver.start(self.host)
        try:
            system_driver.try_again(self.host, self._is_over, lambda: f"{self._left()[:20]}\n{self._log()}")
            assert self.host.services["send"].poll() is None, self._log()
        finally:
            self.host.stop()
        lines = (self.host.home / "send.log").read_text("latin-1").count("\n")
        assert lines < 100 * len(moments) + 300, f"the log is flooded:\n{self._log()}"
        return [list(_wrongs(*each, mail)) for each in zip(moments, self._outcomes(len(moments)), strict=True)]

    def _clear(self) -> None:
        for path in snapshot(self.top, *self._places)[0].keys() - self._empty:
            (self.top / os.fsdecode(path)).unlink()
        self.sink.taken.clear()
        (self.host.home / "send.log").unlink(missing_ok=True)

    def _put(self, number: int, tree: Tree) -> None:
        tag = b"s%06d" % number
        when = time.time() - AGE
        for path, text in tree.items():
            if path.startswith(b"home/queue/") or b"Mail" in path:
                target = os.path.join(bytes(self.top), _moved(path, number).replace(TAG, tag))
                with open(target, "wb") as file:
                    file.write(text.replace(TAG, tag))
                os.utime(target, (when, when))
                if os.geteuid() == 0:
                    owner = os.stat(os.path.dirname(target))
                    os.chown(target, owner.st_uid, owner.st_gid)
        if tag not in self._boxes:
            system_driver.add_box(self.host, tag.decode())
            self._boxes.add(tag)
            self._empty |= {os.fsencode(self.host.users[0].home.name) + b"/.qmail-box-" + tag}

    def _left(self) -> list[Path]:
        places = self._places[: len(system_driver.KINDS)]
        return [path for place in places if place.name != "spare" for path in _files(place)]

    def _is_over(self) -> bool:
        return self.host.services["send"].poll() is not None or not self._left()

    def _log(self) -> str:
        return (self.host.home / "send.log").read_text("latin-1")[-5000:]

    def _outcomes(self, count: int) -> Iterator[tuple[Tree, Counter[tuple[bytes, bytes]]]]:
        """For each state: what is in its mailboxes, and the texts that went to another host, with the recipient."""
        trees: defaultdict[int, Tree] = defaultdict(dict)
        for path, text in snapshot(self.top, *self._places[len(system_driver.KINDS) :])[0].items():
            tag = TAGS.search(path) or TAGS.search(text)
            assert tag or not NEW.fullmatch(path), f"whose is this? {path!r}: {text!r}"
            if tag and b"/." not in path:
                trees[int(tag[1])][path.replace(tag[0], TAG)] = text.replace(tag[0], TAG)
        taken: defaultdict[int, Counter[tuple[bytes, bytes]]] = defaultdict(Counter)
        for text, recipients in self.sink.taken:
            tag = TAGS.search(text)
            assert tag
            taken[int(tag[1])].update((text.replace(tag[0], TAG), recipient) for recipient in recipients)
        for number in range(count):
            yield trees[number], taken[number]


def _moved(path: bytes, number: int) -> bytes:
    """The path of a state's file among those of others."""
    if found := NUMBER.fullmatch(path):
        return path[: found.start(1)] + b"%d" % ((number + 1) * APART + int(found[1]))
    return path if TAG in path else path + b".%d" % number


def _files(place: Path) -> Iterator[Path]:
    for directory, _, names in os.walk(place):
        for name in names:
            yield Path(directory, name)


def _wrongs(moment: Moment, outcome: tuple[Tree, Counter[tuple[bytes, bytes]]], mail: Mail) -> Iterator[Wrong]:
    """What is wrong with a state, after all."""
    tree, taken = outcome
    at_others = Counter(dict(moment.promised.taken))
    for (text, recipient), times in taken.items():
        name = mail.name(text[text.index(b"Received: (qmail ") :])
        if name is None:
            yield "damaged", f"another host has got {text!r}"
        else:
            at_others[name, recipient] += times
    after = State(tree, mail, at_others)
    yield from problems(after, moment.promised.acknowledged)
    before = moment.state(mail)
    windows = {name for window, name in before.windows(moment.promised.acknowledged) if window != UNANSWERED}
    for (text_or_name, to), times in after.copies.items():
        of = text_or_name if isinstance(text_or_name, tuple) else mail.name(text_or_name)
        assert of
        # One more than there were: where none was, and in the windows.
        earlier = before.copies[text_or_name, to]
        if times > earlier + (not earlier or of in windows):
            yield "twice", f"{of} came {times} times to {to!r}, {earlier} of them before"
    # A notice that is made once more after the cut is a text of its own, and tells of the same message.
    told, told_before = _told(after, mail), _told(before, mail)
    for (of, copy), times in told.items():
        earlier = told_before[of, copy]
        # What tells of a bounce may come twice where the bounce itself may be tried twice.
        causes = {("message", of[1]), of, *([("bounce", of[1])] if of[0] == "double" else [])}
        if times > max(earlier, 1) + bool(causes & windows):
            yield "twice", f"{of} was told {times} times, {earlier} of them before"


def _told(state: State, mail: Mail) -> Counter[tuple[Name, bytes]]:
    """How many notices there are of each message: (which kind of notice, the copy of the message in it)."""
    texts = {text for text, _ in state.copies if isinstance(text, bytes)}
    named = [(name, text) for text in texts if (name := mail.name(text)) and name[0] != "message"]
    return Counter((name, text.partition(COPY)[2]) for name, text in named)


def each(ward: Ward, moments: Sequence[Moment], mail: Mail) -> list[list[Wrong]]:
    """What is wrong with each of many; where something is wrong with all of them, one that causes it is looked for."""
    try:
        return ward.heal(moments, mail)
    except AssertionError as error:
        if len(moments) == 1:
            return [[("stuck", str(error))]]
        half = len(moments) // 2
        first = each(ward, moments[:half], mail)
        # One is enough: every try has to be patient.
        return first + ([[]] * (len(moments) - half) if any(first) else each(ward, moments[half:], mail))


def heal(moments: Sequence[Moment], mail: Mail, place: Path) -> list[list[Wrong]]:
    """What is wrong with each state after the real system was started on it; `place` is an empty directory."""
    file = place / "states"
    file.write_bytes(pickle.dumps((list(moments), mail)))
    script = f'mount -t tmpfs -o mode=755 none {place} && exec "$@"'
    words = ["unshare", "-m", "sh", "-c", script, "sh", sys.executable, __file__, str(place)]
    with file.open("rb") as states:
        done = subprocess.run(words, stdin=states, stdout=subprocess.PIPE, timeout=1200, check=True)
    result: list[list[Wrong]] = pickle.loads(done.stdout)
    return result


if __name__ == "__main__":
    chosen, known = pickle.load(sys.stdin.buffer)
    os.umask(0o022)
    ward = Ward(Path(sys.argv[1]) / "ward")
    wrongs = [one for at in range(0, len(chosen), TOGETHER) for one in each(ward, chosen[at : at + TOGETHER], known)]
    sys.stdout.buffer.write(pickle.dumps(wrongs))
