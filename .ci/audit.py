"""What the project stands on: known vulnerabilities of every package of the environment, and their licences.

Fails if a package has a known vulnerability, or if one that matscreen cannot do without has a licence that would bind
its users (GPL and the like; some optional extras have one). Where the package index tells nothing of vulnerabilities,
as mirrors do, it says so.
"""

import importlib.metadata as metadata
import json
import re
import subprocess
import sys
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FREE = ("MIT", "BSD", "Apache", "PSF", "Python Software Foundation", "MPL", "Mozilla", "ISC", "LGPL", "Zlib", "CC0")


def needed(name: str) -> set[str]:
    """What `name` cannot do without, without its extras."""
    found, waiting = set(), [name]
    while waiting:
        for text in metadata.requires(waiting.pop()) or ():
            requirement = Requirement(text)
            other = canonicalize_name(requirement.name)
            if other in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
                continue
            found.add(other)
            waiting.append(other)
    return found


def report(*command: str) -> Any:
    """The JSON that a tool of this environment prints; its messages go where ours go."""
    done = subprocess.run([sys.executable, "-m", *command], stdout=subprocess.PIPE, check=False)
    try:
        return json.loads(done.stdout)
    except ValueError:
        return None


def is_free(licence: str) -> bool:
    """Whether it, or one of those to choose from, binds nobody: one that is GPL is not, whatever else it is too."""
    choices = re.split(r"\bOR\b|\bor\b|;", licence)
    return any(
        any(f in c for f in FREE) and not re.search(r"(?<!L)GPL|Affero|(?<!Lesser )General Public", c) for c in choices
    )


def main() -> None:
    audited = (report("pip_audit", "--format", "json", "--progress-spinner", "off") or {}).get("dependencies", [])
    told = [package for package in audited if "vulns" in package]
    bad = [f"{p['name']} {p['version']}: {v['id']}" for p in told for v in p["vulns"]]
    print(f"vulnerabilities: {len(told)} of {len(audited)} packages audited, {len(bad)} known")
    if not told or len(told) < len(audited):
        print("the package index told nothing of the others: ask one that knows (PIP_INDEX_URL)")
    licences = {
        canonicalize_name(p["Name"]): p["License"] for p in report("piplicenses", "--with-system", "--format", "json")
    }
    core = needed("matscreen")
    for name, licence in sorted(licences.items()):
        print(f"{'needed  ' if name in core else 'optional'}  {name:<28} {' '.join(licence.split())[:90]}")
    for name in sorted(core):
        licence = licences.get(name, "not known")
        if not is_free(licence):
            bad.append(f"{name}, which matscreen needs, has the licence {licence}")
    if bad:
        sys.exit("\n".join(bad))


if __name__ == "__main__":
    main()
