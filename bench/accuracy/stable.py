"""Is a compound on the hull of the Materials Project? A classifier (Korolev et al.), by what it is told of compounds.

XGBoost with the published settings; ROC curves and confusion matrices on a tenth held out, from codes of the latent
space, raw fractions and the 145 attributes.

    python -m bench.accuracy.stable [--quick]
"""

from typing import Any

import matplotlib
import numpy as np
import torch
from sklearn.metrics import confusion_matrix, roc_curve

from bench.accuracy.common import Job, job, show
from bench.accuracy.trees import chances, scores
from matscreen.kernels.features import ward_features
from matscreen.models.dataset import load_clean
from matscreen.models.latent.training import load
from matscreen.models.split import Split, parts

FILE, COLUMN = "mp_formation_energy.parquet", "decomposition_energy_ev_atom"
PUBLISHED = {"auc": 0.98}


def drawn(task: Job, curves: dict[str, tuple[np.ndarray, np.ndarray, float]]) -> None:
    """ROC curves."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(4.6, 4.4), layout="constrained")
    for kind, (wrong, right, area) in curves.items():
        axis.plot(wrong, right, label=f"{kind}, area {area:.3f}")
    axis.plot([0, 1], [0, 1], color="0.7", lw=1)
    axis.set(xlabel="unstable compounds called stable", ylabel="stable compounds called so")
    axis.legend(loc="lower right")
    figure.savefig(task.results / "stable.png", dpi=110)


def main() -> None:
    task, _ = job("stable")
    torch.set_num_threads(2)
    data, _ = load_clean(task.data(FILE), (COLUMN,))
    stable = (data.energies <= 0).astype(int)
    own = parts(data, Split())
    true = stable[own["test"]]
    figures: dict[str, Any] = {
        "published (composition and structure)": PUBLISHED,
        "compounds": len(data),
        "share on the hull": float(stable.mean()),
    }
    curves = {}
    for kind, inputs in (
        ("codes", load("composition").codes(data.fractions)),
        ("fractions", data.fractions),
        ("attributes", ward_features(data.fractions)),
    ):
        chance = chances(inputs, stable, own)
        told = scores(true, chance)
        figures[kind] = told | {
            "confusion matrix (rows: unstable, stable; columns: called so)": confusion_matrix(
                true, chance > 0.5
            ).tolist(),
        }
        curves[kind] = (*roc_curve(true, chance)[:2], told["auc"])
        show("on the hull?", [{"from": kind, **told}])
    drawn(task, curves)
    task.publish(figures)


if __name__ == "__main__":
    main()
