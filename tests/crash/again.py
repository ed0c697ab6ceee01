"""One state of a proof once more: `again.py FILE`, as a failure names it; or `again.py WORKLOAD MODEL WORDS`.

The second records the workload anew, and looks at every state whose description has these words in it, such as
`after step 12` or `only 3`. What is in the state is shown, what is wrong with it, and what the real system makes of it.
"""

from __future__ import annotations

import pickle
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent.parent / "src")]

from crash.healing import heal  # noqa: E402
from crash.judge import Mail, problems  # noqa: E402
from crash.recorded import Moment, Record  # noqa: E402


def states(words: list[str], place: Path) -> tuple[list[Moment], Mail]:
    """Those that are meant."""
    if len(words) == 1:
        moments, mail = pickle.loads(Path(words[0]).read_bytes())
        return moments, mail
    workload, model, *rest = words
    (place / "record").mkdir()
    record = Record(workload, place / "record")
    return [moment for moment in record.moments(model) if " ".join(rest) in moment.how], record.mail


def main(words: list[str]) -> int:
    """Show and heal. Returns how many states are wrong."""
    with tempfile.TemporaryDirectory(prefix="pyqmail-again-") as name:
        place = Path(name)
        place.chmod(0o755)
        moments, mail = states(words, place)
        (place / "heal").mkdir()
        wrongs = heal(moments, mail, place / "heal") if moments else []
    for moment, wrong in zip(moments, wrongs, strict=True):
        print(f"{moment.how}\n    promised: {moment.promised}")
        for path, text in sorted(moment.tree.items()):
            if path.startswith(b"home/queue/") or b"Mail" in path:
                print(f"    {path.decode()}: {text[:200]!r}")
        now = list(problems(moment.state(mail), moment.promised.acknowledged))
        print(f"    as it is: {now or 'nothing wrong'}\n    healed: {wrong or 'nothing wrong'}")
    print(f"{len(moments)} states")
    return sum(map(bool, wrongs))


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
