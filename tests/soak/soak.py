"""A loaded system that has a hard time, and must keep every promise: `soak.py [--seconds N] [--seed N]`, as root.

Twenty clients, of whose talks three in ten are bad; processes of every kind that are killed; disks that are full now
and then; another host that refuses, stalls, and hangs up after the dot. At the end every accepted message is accounted
for, memory has not grown, and no file is left that belongs to no message. It stops by itself, and whatever ends it,
nothing is left behind: see `room`.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent.parent / "src")]

from figures import record  # noqa: E402
from soak import cast, room  # noqa: E402
from soak.clients import Client  # noqa: E402
from soak.letters import LEFT, Book, Texts, Verdict, judge  # noqa: E402
from soak.mailboxes import Mailboxes  # noqa: E402
from soak.remains import age, orphans, waiting  # noqa: E402
from soak.sink import Sink  # noqa: E402
from soak.system import Process, System, send  # noqa: E402

SECONDS = 600
CLIENTS = 20
WARM, STORM = 0.1, 0.6  # parts of the time: nothing is killed in the first, and after both of them
KILL_EVERY = 1.0  # seconds, on average
FULL_EVERY, FULL_FOR = 15.0, 2.5  # seconds
CROWD = 2000  # messages in the queue, with which clients wait until there are fewer
CALM = 120.0  # seconds for what is left after the last client
GROWN = 1024  # KiB that a process may have more at the end than when it was warm


def main() -> int:
    """Returns 0 where every promise was kept, 1 where not, 100 for usage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of load (default 600)")
    parser.add_argument("--seed", type=int, default=None, help="of all random choices (default: another one each time)")
    parser.add_argument("--logs", metavar="DIRECTORY", help="where the logs are kept if there are problems")
    parser.add_argument("--inside", metavar="DIRECTORY", help=argparse.SUPPRESS)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    if options.inside is not None:
        return Soak(Path(options.inside), options.seconds, seed).run(options.logs)
    if os.geteuid():
        print("soak: needs root, to install a system with its users", file=sys.stderr)
        return 100
    print(f"soak: {options.seconds} seconds, seed {seed}", flush=True)
    words = [sys.executable, __file__, "--seconds", str(options.seconds), "--seed", str(seed)]
    words += ["--logs", options.logs, "--inside"] if options.logs else ["--inside"]
    try:
        return room.live_in_one(words)
    except KeyboardInterrupt:
        print("\nsoak: interrupted, and nothing is left of it", file=sys.stderr)
        return 130


class Memory:
    """What a process has, in KiB: its share of what several have, and everything."""

    def __init__(self, process: Process) -> None:
        self.name, (self.share, self.resident) = process.name, process.memory()


class Soak:
    """One run, inside its room."""

    def __init__(self, place: Path, seconds: int, seed: int) -> None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        self.seconds, self.seed = seconds, seed
        self.chance = random.Random(seed)
        self.book, self.texts = Book(), Texts(seed)
        room.furnish(place)
        self.disks = {"queue": room.Disk(place / "qmail", 160, 24000), "homes": room.Disk(place / "homes", 64, 8000)}
        self.sink = Sink(self.book, self.texts, seed)
        self.system = System(place / "qmail", place / "homes")
        self.warm: dict[int, Memory] = {}
        self.lived: list[tuple[Memory, Memory]] = []
        self.shown, self.queued = 0.0, 0
        self.senders: set[int] = set()  # those that were there a while ago

    def run(self, logs: str | None) -> int:
        """Returns the exit code."""
        begin = time.monotonic()
        cast.prepare(self.system, self.sink)
        self._start()
        mailboxes = Mailboxes(self.system, self.book, self.texts)
        self._load()
        grown = list(self._grown())
        self._settle()
        stopped = self.system.stop()
        age(self.system)
        self._start()
        self._until(lambda: not orphans(self.system), 60, "going through the queue")
        stopped += self.system.stop()
        mailboxes.stop()
        verdict = judge(self.book, waiting(self.system), cast.FATES)
        verdict.problems += [f"{path} belongs to no message" for path in orphans(self.system)]
        verdict.problems += [f"{process.name} did not end by itself" for process in stopped]
        verdict.problems += grown + self._checked()
        self._say(verdict, time.monotonic() - begin)
        if logs:
            Path(logs).mkdir(exist_ok=True)
            for name in ("log", "queue"):
                subprocess.run(["cp", "-a", self.system.home / name, logs], check=True)
            (Path(logs) / "kills").write_text("".join(f"{k.when:.3f} {k.name} {k.number}\n" for k in self.book.kills))
        return 1 if verdict.problems else 0

    def _start(self) -> None:
        self.system.start()
        self._until(self.system.greets, 30, "starting")

    def _until(self, true: object, seconds: float, what: str) -> bool:
        assert callable(true)
        end = time.monotonic() + seconds
        while not true():
            self.system.keep()
            self._show(what)
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        return True

    # ---- the hard time

    def _load(self) -> None:
        stop, crowded = threading.Event(), threading.Event()
        clients = [Client(number, self.system, self.book, self.texts, stop, crowded) for number in range(CLIENTS)]
        begin = now = time.monotonic()
        self.shown = 0.0
        kill, full, free, hurry = begin + self.seconds * WARM, begin + FULL_EVERY / 2, 0.0, begin + 2
        quiet, warm = begin + self.seconds * (WARM + STORM), begin + self.seconds * (WARM + STORM + 0.1)
        while now < begin + self.seconds:
            self.system.keep()
            if kill <= now < quiet:
                self._kill()
                kill = now + self.chance.expovariate(1 / KILL_EVERY)
            if not free and now >= full and now < begin + self.seconds * 0.9:
                self._fill()
                free = now + FULL_FOR
            elif free and now >= free:
                self._free()
                full, free = now + self.chance.expovariate(1 / FULL_EVERY), 0.0
            if now >= hurry:
                self._hurry()
                hurry = now + 2
                self.queued = self.system.crowd()
                (crowded.set if self.queued > CROWD else crowded.clear)()
            if now >= warm and not self.warm:
                self.warm = self._memory()
            self._show(f"{now - begin:.0f}/{self.seconds} s")
            time.sleep(0.05)
            now = time.monotonic()
        self._free()
        stop.set()
        for client in clients:
            client.thread.join(30)

    def _kill(self) -> None:
        killed = self.system.kill_one(self.chance)
        if killed is not None:
            self.book.killed(*killed)
            self.book.count("kills")

    def _fill(self) -> None:
        name = self.chance.choice(sorted(self.disks))
        self.book.count(f"full disks of {name}")
        if self.chance.random() < 0.3:
            self.disks[name].use_up_files()
        else:
            self.disks[name].fill()

    def _free(self) -> None:
        for disk in self.disks.values():
            disk.free()

    def _hurry(self) -> None:
        """What svc -a does: what was put off is tried again. One that has just begun does not know the signal yet."""
        senders = {process.pid: process for process in self.system.by_name().get("qmail-send", [])}
        for pid in senders.keys() & self.senders:
            send(senders[pid], signal.SIGALRM)
        self.senders = set(senders)

    def _memory(self) -> dict[int, Memory]:
        return {process.pid: Memory(process) for process in self.system.processes()}

    def _grown(self) -> Iterator[str]:
        """Of those that lived from when they were warm until the end."""
        after = self._memory()
        self.lived = [(before, after[pid]) for pid, before in self.warm.items() if pid in after]
        for before, now in self.lived:
            # What others share no more is counted anew, but is not new.
            if min(now.share - before.share, now.resident - before.resident) > GROWN:
                yield f"{now.name} has grown from {before.share} KiB to {now.share} KiB"

    # ---- and afterwards

    def _settle(self) -> None:
        cast.calm(self.system, self.sink)
        closed = {recipient for recipient, fates in cast.FATES.items() if not fates}
        hurried = 0.0

        def moving() -> list[tuple[str, str]]:
            # Failures are told when the last recipient is done.
            letters = self.book.letters
            return [key for key in waiting(self.system) if closed.isdisjoint(letters[key[0]].recipients)]

        def settled() -> bool:
            nonlocal hurried
            if time.monotonic() > hurried + 1:
                self._hurry()
                hurried = time.monotonic()
            return not moving()

        if not self._until(settled, CALM, "settling"):
            self.book.problem(f"after {CALM:.0f} s there is still mail on its way: {moving()[:5]}")

    def _checked(self) -> list[str]:
        words = [self.system.home / "bin/qmail", "queue", "check"]
        done = subprocess.run(words, env=self.system.environment, capture_output=True, text=True, check=False)
        return [] if done.returncode == 0 else [f"qmail queue check: {done.stdout}{done.stderr}"]

    # ---- what people see

    def _show(self, when: str) -> None:
        terminal = sys.stdout.isatty()
        now = time.monotonic()
        if now < self.shown + (0.5 if terminal else 15):
            return
        self.shown = now
        counts = self.book.counts
        words = [f"{counts[what]} {what}" for what in ("accepted", "delivered", "handed over", "bounced", "kills")]
        words.append(f"{self.queued} queued")
        words.append(f"{sum(count for what, count in counts.items() if what.startswith('full'))} full disks")
        words.append(f"{len(self.book.problems)} problems")
        line = f"soak: {when}: " + ", ".join(words)
        print(f"\r\033[K{line}" if terminal else line, end="" if terminal else "\n", flush=True)

    def _say(self, verdict: Verdict, seconds: float) -> None:
        accepted = self.book.counts["accepted"]
        if sys.stdout.isatty():
            print("\r\033[K", end="")
        killed = Counter(kill.name for kill in self.book.kills)
        for title, counts in (
            ("recipients of accepted messages", verdict.counts), ("there twice", verdict.twice), ("killed", killed),
            ("seen", self.book.counts),
        ):  # fmt: skip
            print(f"{title}: " + (", ".join(f"{what} {count}" for what, count in sorted(counts.items())) or "none"))
        before, after = (sum(each[i].share for each in self.lived) for i in (0, 1))
        print(f"memory of {len(self.lived)} processes when they were warm: {before} KiB, at the end: {after} KiB")
        for problem in verdict.problems[:40]:
            print(f"PROBLEM: {problem}")
        print(
            f"soak: {accepted} messages accepted, {len(self.book.kills)} processes killed, {len(verdict.problems)} "
            f"problems, seed {self.seed}, {seconds:.0f} s"
        )
        if verdict.problems:
            print(f"again with: make soak SOAK_SECONDS={self.seconds} SOAK_SEED={self.seed}")
            return
        record(
            "soak", seconds=round(seconds), seed=self.seed, accepted=accepted, kills=len(self.book.kills),
            lost=0, damaged=0, orphans=0, wrong=0, duplicates=dict(verdict.twice), left=verdict.counts[LEFT],
            full=sum(count for what, count in self.book.counts.items() if what.startswith("full")),
            bad=sum(count for what, count in self.book.counts.items() if what.startswith("bad")),
            warm=before, end=after,
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
