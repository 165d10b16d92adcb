"""Workflows for jobflow: what atomate2, or a maker of one's own, does with a structure, as `flow.json` in its folder.

    from jobflow import Flow, run_locally
    run_locally(Flow.from_dict(json.loads(Path("flow.json").read_text())), store=...)

The documents it stores carry the entry's folder in their metadata; `matscreen queue ingest --store` finds them by it.
"""

import importlib
import json
import re
import uuid
from pathlib import Path
from typing import Any

from monty.json import MontyEncoder
from pymatgen.core import Structure

from matscreen.engine.queue.inputs import Writer
from matscreen.models.errors import InputError

DEFAULT_MAKER = "atomate2.vasp.flows.core:DoubleRelaxMaker"
FOLDER = "matscreen_folder"
"""Key in a job's metadata."""

_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


def jobflow(maker: str) -> Writer:
    """What writes `flow.json`: the flow or job that `maker` ("module:Class", made without arguments) makes.

    InputError if the maker, or jobflow itself, cannot be imported.
    """
    module, _, name = maker.partition(":")
    try:
        importlib.import_module("jobflow")
        made = getattr(importlib.import_module(module), name)()
    except ImportError as error:
        missing = error.name or module
        raise InputError(f"--to jobflow with {maker} needs {missing}: pip install 'matscreen[jobflow]'") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{maker!r} is no maker that takes no arguments, such as {DEFAULT_MAKER}: {error}") from None

    def write(structure: Structure, folder: Path) -> None:
        entry = f"{folder.parent.name}/{folder.name}"
        flow: Any = made.make(structure)
        flow.update_metadata({FOLDER: entry})
        (folder / "flow.json").write_text(_settled(json.dumps(flow, cls=MontyEncoder, indent=1), entry))

    return write


def _settled(text: str, entry: str) -> str:
    """The flow with ids that depend on its entry and their order alone: jobflow draws new ones each time."""
    names: dict[str, str] = {}

    def settle(match: re.Match[str]) -> str:
        return names.setdefault(match[0], str(uuid.uuid5(uuid.NAMESPACE_URL, f"matscreen/{entry}/{len(names)}")))

    return _UUID.sub(settle, text)
