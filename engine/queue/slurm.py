"""A SLURM array script over a queue: a task is one entry, and one that is done is not done again."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from matscreen.models.errors import InputError
from matscreen.models.files import write_atomically

MOST_TASKS = 1000
"""Of an array, as SLURM allows by default; with more entries a task does several, one after the other."""

COMMANDS = {"vasp": "srun vasp_std > vasp.out", "qe": "srun pw.x -in pw.in > pw.out"}

_SCRIPT = """#!/bin/bash
#SBATCH --job-name=matscreen
#SBATCH --array=0-{last}%50
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=16
#SBATCH --time=24:00:00
#SBATCH --output=slurm-%A_%a.out

# Run from the queue's folder: sbatch submit.sh
set -euo pipefail
folders=(
{folders}
)
for ((i = SLURM_ARRAY_TASK_ID; i < ${{#folders[@]}}; i += {tasks_in_all})); do
  (
    cd "${{folders[$i]}}"
    if [ -e finished ]; then exit 0; fi
    {command}
    touch finished # `matscreen queue ingest` takes it away again from what did not converge
  ) & wait $! || failed=1 # so that `set -e` holds within, and the next entry has its turn
done
exit "${{failed:-0}}"
"""


def write_script(out: Path, folders: Sequence[str], code: str, command: str = "") -> None:
    """Write `submit.sh`; InputError without a command for the code."""
    command = command_of(code, command)
    number = min(len(folders), MOST_TASKS)
    listed = "\n".join(f"  {shlex.quote(folder)}" for folder in folders)
    text = _SCRIPT.format(
        last=number - 1,
        tasks_in_all=number,
        folders=listed,
        command=command,
    )
    write_atomically(out / "submit.sh", lambda temporary: temporary.write_text(text))


def command_of(code: str, command: str) -> str:
    """What runs in each folder: `command`, or the code's own. InputError where neither is there."""
    if not (command or code in COMMANDS):
        raise InputError(f"a SLURM script over {code} needs --command, which runs in each folder")
    return command or COMMANDS[code]
