"""A SLURM array script over a queue: a task is one entry, and one that is done is not done again."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from matscreen.models.errors import InputError
from matscreen.models.files import write_atomically

COMMANDS = {"vasp": "srun vasp_std > vasp.out", "qe": "srun pw.x -in pw.in > pw.out"}

_SCRIPT = """#!/bin/bash
#SBATCH --job-name=matscreen
#SBATCH --array=0-{last}%{at_once}
#SBATCH --nodes=1
#SBATCH --ntasks-per-node={tasks}
#SBATCH --time={hours}:00:00
#SBATCH --output=slurm-%A_%a.out

# Run from the queue's folder: sbatch submit.sh
set -euo pipefail
folders=(
{folders}
)
cd "${{folders[$SLURM_ARRAY_TASK_ID]}}"
if [ -e finished ]; then exit 0; fi
{command}
touch finished
"""


def write_script(
    out: Path, folders: Sequence[str], code: str, command: str = "", hours: int = 24, tasks: int = 16, at_once: int = 50
) -> None:
    """Write `submit.sh`; InputError if there is nothing to submit, or no command for the code."""
    command = command or COMMANDS.get(code, "")
    if not command:
        raise InputError(f"a SLURM script over {code} needs --command, which runs in each folder")
    if not folders:
        raise InputError("no structure was found for any candidate: there is nothing to submit")
    listed = "\n".join(f"  {shlex.quote(folder)}" for folder in folders)
    text = _SCRIPT.format(
        last=len(folders) - 1, at_once=at_once, tasks=tasks, hours=hours, folders=listed, command=command
    )

    def write(temporary: Path) -> None:
        temporary.write_text(text)
        temporary.chmod(0o755)

    write_atomically(out / "submit.sh", write)
