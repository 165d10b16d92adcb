"""What was tried and what was survived, as a page for people."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

HEAD = """# Reliability

A scan must end with the same candidates, byte for byte, whatever happens on the way. `make faults` tries these faults,
drawn by seed {seed}, and writes this page; `make test` tries a few of each. Survived: the command ended as it should
(killed, refused or failed with one line that says why), and after `matscreen resume` the candidates were those of a run
that nothing had happened to. A reader survives bytes by taking them, or refusing them with an error for people.

| fault | tried | survived |
|---|---:|---:|
"""


ROW = re.compile(r"^\| (.+) \| ([0-9,]+) \| ([0-9,]+) \|$", re.MULTILINE)


class Record:
    """Counts by fault, in the order in which they came."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.tried: Counter[str] = Counter()
        self.survived: Counter[str] = Counter()

    def trials(self, fault: str, count: int, cases: int = 1) -> Iterator[int]:
        """Numbers of so many trials; one is survived when the next is asked for. `cases` are thrown in each."""
        for number in range(count):
            self.tried[fault] += cases
            yield number
            self.survived[fault] += cases

    def write(self, path: Path) -> None:
        """The page. What it told of faults that were not tried this time stays."""
        told = ROW.findall(path.read_text()) if path.is_file() else []
        rows = {fault: (tried, survived) for fault, tried, survived in told}
        rows |= {fault: (f"{count:,}", f"{self.survived[fault]:,}") for fault, count in self.tried.items()}
        path.parent.mkdir(exist_ok=True)
        lines = [f"| {fault} | {tried} | {survived} |\n" for fault, (tried, survived) in rows.items()]
        path.write_text(HEAD.format(seed=self.seed) + "".join(lines))
