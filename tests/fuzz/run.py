"""Coverage-guided fuzzing, by atheris: `make fuzz`, FUZZ_SECONDS for each target, or `make fuzz TARGET=dot-qmail`.

What is found is kept in corpus/TARGET/, where `make test` fails on it until it is mended. Inputs that only lead
further are kept in build/fuzz/TARGET/, from where the next run goes on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
CORPUS = TOP / "tests/fuzz/corpus"
LONGEST = 2048  # bytes of an input
PATIENCE = 20  # seconds for one
MEMORY = 1024  # MiB
EACH = "60"  # seconds for a target

sys.path[:0] = [str(TOP / "src"), str(TOP / "tests")]


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one target in this process, which does not come back."""
    import atheris

    with atheris.instrument_imports(include=["qmail"]):
        from fuzz.targets import TABLE
    work, kept = TOP / "build/fuzz" / name, CORPUS / name
    for directory in (work, kept):
        directory.mkdir(parents=True, exist_ok=True)
    words = work.with_suffix(".words")
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in TABLE[name].words if word))
    limits = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-timeout={PATIENCE}", f"-rss_limit_mb={MEMORY}"]
    options = [*limits, f"-artifact_prefix={kept}/", f"-dict={words}", "-print_final_stats=1", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, str(work), str(kept)], TABLE[name].check)
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def attempt(name: str, seconds: str) -> bool:
    """Fuzz one target in a process of its own. True where nothing was found."""
    done = subprocess.run([sys.executable, __file__, name, seconds], stderr=subprocess.PIPE, check=False)
    said = done.stderr.decode(errors="replace")
    inputs = said.partition("number_of_executed_units:")[2].split()[:1]
    print(f"{name}: {inputs[0] if inputs else 'no'} inputs", flush=True)
    if done.returncode:
        print("\n".join(line for line in said.split("\n") if not line.startswith(("INFO", "WARNING"))), flush=True)
    if not any((CORPUS / name).iterdir()):
        (CORPUS / name).rmdir()
    return done.returncode == 0


def main(words: list[str]) -> int:
    """Fuzz one target here where two words say which and how long, else those that are named, or all."""
    if len(words) == 2 and words[1].isdigit():
        fuzz(words[0], int(words[1]))
    from fuzz.targets import TABLE

    seconds = os.environ.get("FUZZ_SECONDS") or EACH
    broken = [name for name in words or TABLE if not attempt(name, seconds)]
    print("the law does not hold: " + " ".join(broken) if broken else "the law holds")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
