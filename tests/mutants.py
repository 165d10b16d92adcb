"""Do the tests notice? Small errors are put into the hull and the run directory, one at a time; tests should fail.

Cosmic Ray knows the errors: another operator, number, comparison or branch. A seeded sample of the places where one
could be, one error each, in a copy of the project; not in annotations and decorators, where most change nothing. The
hull's kernels run as Python then, the code that is compiled otherwise.

    python tests/mutants.py [COUNT] [SEED] [--only TARGET]      writes bench/results/mutants.json
"""

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmic_ray import mutating, plugins
from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.harness import RESULTS, publish  # noqa: E402


@dataclass(frozen=True)
class Target:
    """Files of one promise, and what tests it."""

    files: tuple[str, ...]
    tests: str
    interpreted: bool


TARGETS = {
    "run directory": Target(
        ("engine/rundir.py", "engine/lock.py", "engine/digested.py", "engine/merge.py", "models/files.py"),
        "tests/engine/rundir",
        interpreted=False,
    ),
    "hull": Target(
        ("kernels/hull/cpu.py", "kernels/hull/index.py", "kernels/hull/simplex.py", "kernels/hull/__init__.py"),
        # The others repeat these on thousands of systems.
        "tests/kernels/test_hull.py -k 'not two_thousand and not published'",
        interpreted=True,
    ),
}


def left_out(file: Path) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where annotations and decorators begin and end."""
    spans = []
    for node in ast.walk(ast.parse(file.read_text())):
        parts: list[Any] = [*getattr(node, "decorator_list", []), getattr(node, "annotation", None)]
        parts.append(getattr(node, "returns", None))
        spans += [((p.lineno, p.col_offset), (p.end_lineno, p.end_col_offset)) for p in parts if p is not None]
    return spans


def mutations(files: list[Path]) -> dict[tuple[str, tuple[int, int]], list[MutationSpec]]:
    """Every error that can be made, by the place of the code that it changes."""
    places = defaultdict(list)
    for file in files:
        skipped, tree = left_out(file), get_ast_from_path(file)
        for name in plugins.operator_names():
            kind = plugins.get_operator(name)
            if kind.arguments() or name.endswith("RemoveDecorator"):  # the first need to be told what to do
                continue
            spots = (spot for node in ast_nodes(tree) for spot in kind().mutation_positions(node))
            for occurrence, (start, end) in enumerate(spots):
                if not any(first <= start and end <= last for first, last in skipped):
                    spec = MutationSpec(file, name, occurrence, start, end)
                    places[str(file), start].append(spec)
    return places


def copy(folder: Path) -> None:
    """The project as git knows it, with the three folders as one package."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, tracked.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / ".house" / "matscreen").mkdir(parents=True)
    for part in ("engine", "kernels", "models"):
        (folder / ".house" / "matscreen" / part).symlink_to(folder / part)


def judge(target: Target, count: int, chance: random.Random) -> dict[str, Any]:
    """How many of `count` errors the tests notice, and those that they do not."""
    os.environ["NUMBA_DISABLE_JIT"] = str(int(target.interpreted))
    command = f"{sys.executable} -m pytest -x -q -p no:cacheprovider -W ignore {target.tests}"
    started = time.monotonic()
    without = subprocess.run(command, shell=True, check=False, capture_output=True, text=True)  # noqa: S602 (ours)
    if without.returncode:
        raise SystemExit(f"the tests fail without any error: {command}\n{without.stdout[-3000:]}")
    patience = 3 * (time.monotonic() - started)  # then they are taken to hang, which somebody would notice
    places = mutations([Path(name) for name in target.files])
    chosen = chance.sample(sorted(places), min(count, len(places)))
    tried, killed, hung, alive = 0, 0, 0, []
    for number, place in enumerate(chosen, 1):
        spec = chance.choice(places[place])
        started = time.monotonic()
        result = mutating.mutate_and_test([spec], command, patience)
        if result.worker_outcome != WorkerOutcome.NORMAL or result.test_outcome == TestOutcome.INCOMPETENT:
            continue  # it could not make this error
        tried += 1
        dead = result.test_outcome != TestOutcome.SURVIVED
        killed += dead
        hung += result.output == "timeout"
        if not dead:
            changed = [line for line in str(result.diff).splitlines() if line.startswith(("-", "+"))]
            alive.append({"file": str(spec.module_path), "line": spec.start_pos[0], "change": changed[-2:]})
        told = f"{number} of {len(chosen)} · {spec.module_path}:{spec.start_pos[0]} {spec.operator_name}"
        print(f"{told} · {'noticed' if dead else 'SURVIVED'} · {time.monotonic() - started:.0f} s", flush=True)
    return {"places": len(places), "tried": tried, "noticed": killed, "of these, hung": hung, "survived": alive}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", nargs="?", type=int, default=60)
    parser.add_argument("seed", nargs="?", type=int, default=2026)
    parser.add_argument("--only", choices=TARGETS)
    given = parser.parse_args()
    written = RESULTS / "mutants.json"
    before = json.loads(written.read_text())["figures"] if given.only and written.is_file() else {}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True)
    with tempfile.TemporaryDirectory() as temporary:
        copy(Path(temporary))
        os.chdir(temporary)
        os.environ |= {"PYTHONPATH": f"{temporary}/.house:{temporary}", "PYTHONDONTWRITEBYTECODE": "1"}
        figures = {
            name: {
                "commit": commit.stdout.strip(),
                "seed": given.seed,
                **judge(target, given.count, random.Random(given.seed)),
            }
            for name, target in TARGETS.items()
            if given.only in (None, name)
        }
        os.chdir(ROOT)
    publish("mutants", before | figures)


if __name__ == "__main__":
    main()
