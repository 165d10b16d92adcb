"""Space groups and crystal systems from powder patterns (Korolev et al. 2020): of crystals generated from prototypes.

Judged on crystals of prototypes that were learnt from, on those of prototypes that were not, on perovskites of DFT and
on a measured pattern; beside it the most alike of what was learnt.
"""

from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from bench.accuracy.common import DATA, Job, job, progress, show
from matscreen.engine.xrd.background import without_envelope
from matscreen.engine.xrd.crystals import PowderSet, held_out_prototypes, powder_set
from matscreen.engine.xrd.powder import powder_vector, resampled
from matscreen.models.xrd.powder import SYSTEMS, PowderModel, PowderRecipe, fit, load, system_of, system_probabilities

COUNT, EPOCHS, PLAN = 60, 30, "powder-small"
PUBLISHED = {"space group": 0.54, "crystal system": 0.72}
PEROVSKITE = 221


def generated(run: Job, count: int) -> PowderSet:
    """Made once."""
    kept = run.work / f"patterns-{count}.npz"
    if not kept.is_file():
        found = powder_set(count, 0, lambda done, whole: print(f"{done} of {whole} prototypes", flush=True))
        np.savez(kept, patterns=found.patterns, groups=found.groups, prototypes=found.prototypes)
    with np.load(kept, allow_pickle=False) as file:
        return PowderSet(file["patterns"], file["groups"], file["prototypes"])


def figures(probabilities: np.ndarray, known: np.ndarray, groups: np.ndarray) -> dict[str, float]:
    """Shares that are right."""
    order = np.argsort(-probabilities, axis=1)
    ranked = known[order[:, :5]]
    systems = system_probabilities(probabilities, known).argmax(axis=1)
    return {
        "space group": float((ranked[:, 0] == groups).mean()),
        "among the first five": float((ranked == groups[:, None]).any(axis=1).mean()),
        "crystal system": float((systems == system_of(groups)).mean()),
    }


def most_alike(learnt: np.ndarray, groups: np.ndarray, asked: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(N, G): 1 for the space group of the pattern whose root is most alike, less for those of less alike ones."""
    unit = [np.sqrt(a.astype(np.float32)) for a in (learnt, asked)]
    unit = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in unit]
    found = np.zeros((len(asked), len(known)), np.float32)
    places = np.searchsorted(known, groups)
    for start in range(0, len(asked), 256):
        alike = unit[1][start : start + 256] @ unit[0].T
        for place in range(len(known)):
            found[start : start + 256, place] = alike[:, places == place].max(axis=1)
    first = found.argmax(axis=1)
    found[np.arange(len(found)), first] += 1000  # the system of the most alike, not of many a little alike
    return found


def perovskites() -> tuple[np.ndarray, np.ndarray] | None:
    """Patterns and space groups of crystals of DFT (Castelli et al. 2012), if they are at hand: the cubic ones.

    Of the others, whose anions are of several elements, the cells are as cubic, and no powder pattern tells much more.
    """
    path = DATA / "structures" / "perov_5_test.parquet"
    if not path.is_file():
        return None
    from pymatgen.core import Structure
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    structures = [Structure.from_str(text, "cif") for text in pq.read_table(path)["cif"].to_pylist()]
    few = [one for one in structures if len(one.composition) == 3]  # which saves telling the symmetry of the others
    groups = np.array([SpacegroupAnalyzer(one, 0.01).get_space_group_number() for one in few])
    cubic = [one for one, group in zip(few, groups, strict=True) if group == PEROVSKITE]
    return np.array([powder_vector(one) for one in cubic]), np.full(len(cubic), PEROVSKITE)


def measured(model: PowderModel) -> dict[str, Any] | None:
    """What it says of the measured pattern of CeO₂, which is 225, if that is at hand."""
    path, geometry = (DATA / "xrd2d" / f"CeO2_Pilatus1M.{suffix}" for suffix in ("xy", "poni"))
    if not path.is_file() or not geometry.is_file():
        return None
    told = geometry.read_text().split("Wavelength:")[1].split()[0]
    angles, intensities = np.loadtxt(path, comments="#").T[:2]
    less = np.maximum(without_envelope(intensities[None])[0], 0)
    pattern = resampled(angles, less, float(told) * 1e10)
    chances = model.probabilities(pattern[None])[0]
    order = np.argsort(-chances)[:5]
    names = list(SYSTEMS)
    system = system_probabilities(chances[None], model.groups)[0]
    return {
        "space groups": {int(model.groups[n]): round(float(chances[n]), 3) for n in order},
        "crystal system": names[int(system.argmax())],
    }


def main() -> None:
    run, given = job("powder", "count", "epochs", "plan")
    count = int(given.count or (4 if run.quick else COUNT))
    found = generated(run, count)
    hidden = np.isin(found.prototypes, held_out_prototypes(found, 0))
    other = np.random.default_rng(1).random(len(found.groups))
    validation, test = (other < 0.1) & ~hidden, (other >= 0.1) & (other < 0.2) & ~hidden
    learnt = ~hidden & ~test
    recipe = PowderRecipe(epochs=int(given.epochs or run.epochs(EPOCHS)))
    plan = given.plan or PLAN
    out = run.work / f"{plan}-{count}-{recipe.epochs}.safetensors"
    learning = {"prototypes": "AFLOW's, one in four of each space group held out", "crystals_a_prototype": count}
    given_to = found.patterns[learnt], found.groups[learnt], validation[learnt]
    model = load(out) if out.is_file() else fit(plan, *given_to, out, recipe, progress(plan), learning)
    known = model.groups
    rows = []

    def judged(name: str, patterns: np.ndarray, groups: np.ndarray) -> None:
        peers = most_alike(found.patterns[learnt & ~validation], found.groups[learnt & ~validation], patterns, known)
        for how, chances in ((plan, model.probabilities(patterns)), ("the most alike pattern", peers)):
            rows.append({"crystals": name, "by": how, "patterns": len(groups), **figures(chances, known, groups)})

    judged("of prototypes learnt from", found.patterns[test], found.groups[test])
    seen = hidden & np.isin(found.groups, known)
    judged("of prototypes held out", found.patterns[seen], found.groups[seen])
    if crystals := perovskites():
        judged("perovskites of DFT", *crystals)
    show("right", rows)
    told = {
        "plan": plan,
        "space groups": len(known),
        "patterns learnt": int((learnt & ~validation).sum()),
        "seconds": model.card["training"]["seconds"],
        "threads": torch.get_num_threads(),
        "most common space group of those held out": float(np.bincount(found.groups[seen]).max() / seen.sum()),
        "CeO2, measured": measured(model),
    }
    print(told)
    run.publish({**told, "rows": rows, "published": PUBLISHED})


if __name__ == "__main__":
    main()
