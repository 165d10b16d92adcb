"""What speaks for a composition? The weights of `engine.likelihood`, from stable compounds hidden from the reference.

Those are of the part of `oqmd_formation_energy.parquet` that chose the epochs of the default model; `bench.recovery`
tries the weights on the part that chose nothing. Prints them with standard errors, and what each is worth.

    python -m bench.likelihood        some minutes
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from bench.harness import DATA, publish
from bench.recovery import SOURCE, chosen, unknown, unseen, without
from matscreen.engine import PhaseTable
from matscreen.engine.likelihood import WEIGHTS, terms
from matscreen.models import load

MOST = 1000

Choices = list[tuple[np.ndarray, int]]
"""Terms (n, T) of the compositions of a system, and which of them is a compound."""


def loss(weights: np.ndarray, choices: Choices) -> tuple[float, np.ndarray]:
    """Negative log-likelihood of a conditional logit, and its gradient (T,)."""
    total, gradient = 0.0, np.zeros(len(weights))
    for x, taken in choices:
        z = x @ weights
        normal = float(logsumexp(z))
        total += normal - float(z[taken])
        gradient += x.T @ np.exp(z - normal) - x[taken]
    return total, gradient


def information(weights: np.ndarray, choices: Choices) -> np.ndarray:
    """(T, T), the second derivative of `loss`."""
    total = np.zeros((len(weights), len(weights)))
    for x, _ in choices:
        z = x @ weights
        p = np.exp(z - logsumexp(z))
        middle = x - p @ x
        total += (middle * p[:, None]).T @ middle
    return total


def fitted(choices: Choices) -> tuple[np.ndarray, float]:
    """The likeliest weights (T,), and the mean of the log-likelihood, of a compound."""
    found = minimize(loss, np.zeros(choices[0][0].shape[1]), (choices,), jac=True)
    return found.x, -float(found.fun) / len(choices)


def main() -> None:
    if not (DATA / SOURCE).is_file():
        print(f"likelihood: not measured, {DATA / SOURCE} is not there (it says what the model has not seen)")
        return
    model, phases = load(), PhaseTable.load()
    hidden = chosen(phases, unseen("validation"), MOST, 0)
    left = without(phases, {row["formula"] for row in hidden})
    choices = []
    for row in hidden:
        table, at = unknown(row, left, model)
        choices.append((terms(table), at))
    weights, whole = fitted(choices)
    errors = np.sqrt(np.diag(np.linalg.inv(information(weights, choices))))
    losses = {
        name: whole - fitted([(np.delete(x, number, axis=1), at) for x, at in choices])[1]
        for number, name in enumerate(WEIGHTS)
    }
    by_chance = -float(np.mean([np.log(len(x)) for x, _ in choices]))
    publish(
        "likelihood",
        {
            "model": model.name,
            "compounds": len(choices),
            "weights": dict(zip(WEIGHTS, weights.tolist(), strict=True)),
            "standard errors": dict(zip(WEIGHTS, errors.tolist(), strict=True)),
            "log-likelihood of a compound, mean": whole,
            "by chance": by_chance,
            "less without": losses,
        },
    )


if __name__ == "__main__":
    main()
