"""The contrastive update of simulated networks beside the exact gradient: against beta, and against steps.

Networks have learned a little on digits. They are simulated in double precision with the same examples in the lanes and
another beta in every replica, until they are at rest: as long as the eigenvalues at their fixed points ask for.
"""

import numpy as np

from neurosim import data
from neurosim.analysis import angle
from neurosim_models.scellier_2017 import network
from neurosim_models.scellier_2017.network import CENTRED
from neurosim_models.scellier_2017.probe import Probe, learned, shown_to

DEPTHS = {  # hidden layers: sizes, learning rates, epochs
    1: ((32,), (0.1, 0.05), 3),
    2: ((32, 32), (0.4, 0.1, 0.02), 3),
    3: ((32, 32, 32), (0.4, 0.15, 0.05, 0.02), 3),
}
QUICK = {"nudging": CENTRED, "beta": 0.2, "free_steps": 40, "nudged_steps": 8}  # how they have learned
BETAS = np.geomspace(1e-4, 1, 13)
CLEAR = 0.02  # examples in which no unit crosses a border up to this beta
EXAMPLES, BATCH, AMONG = 1400, 6, 60  # that they have learned, in a batch, and among which it is chosen
REST, MOST = 1e-12, 1500  # what is left after the free phase, and its steps at most
LADDER = (5, 10, 20, 30, 45, 60)  # steps
STEP_BETAS = (0.001, 0.01)
NUDGED = 20  # steps of the nudged phase where those of the free phase are few
LEADING = 0.2 * CLEAR  # up to this beta the first term leads, and slopes are fitted
FLOOR = 1e-9  # errors below it are rounding


def study(values, seed):
    """Return errors, angles and slopes of the update: arrays with units by name, see gradient_figures."""
    digits, epsilon = data.load("digits").limit(EXAMPLES), values["epsilon"]
    found = {"betas": BETAS, "depths": list(DEPTHS), "ladder": LADDER, "step betas": STEP_BETAS}
    for depth, (hidden, alpha, epochs) in DEPTHS.items():
        chain = learned(digits, hidden, alpha, epochs, seed, **QUICK)
        first = [Example(chain, digits, k) for k in range(AMONG)]
        found[f"{depth}/share"] = np.mean([each.clear(CLEAR) for each in first])
        clear = choose(first, lambda each: each.clear(CLEAR), BATCH)
        found |= _named(f"{depth}/clear", against_beta(chain, digits, clear, epsilon, single=depth == 1))
        if depth == 2:
            found |= _named(f"{depth}/first", against_beta(chain, digits, first[:BATCH], epsilon))
            found |= _named("steps", against_steps(chain, digits, clear, epsilon))
    return {name: (np.asarray(value), "1") for name, value in found.items()}


def _named(prefix, arrays):
    return {f"{prefix}/{name}": value for name, value in arrays.items()}


def choose(examples, fits, count):
    """Return the first examples that fit; where there are too few, others too."""
    return sorted(examples, key=lambda each: not fits(each))[:count]


class Example:
    """A training example with the fixed point that the network reaches for it."""

    def __init__(self, chain, data, example):
        self.chain, self.example = chain, example
        self.x, self.target = shown_to(data, example)
        self.s = chain.settle(self.x)

    def holds(self, beta):
        """Say whether no unit crosses a border with beta or -beta."""
        return all(self.chain.holds(self.s, self.x, self.target, sign * beta) for sign in (1, -1))

    def clear(self, beta):
        """Say whether no unit crosses a border on the way to +-beta, and there is something to learn."""
        return self.holds(beta) and self.holds(0.5 * beta) and np.linalg.norm(self.gradient()) > 1e-3

    def cost(self):
        """Return |y - d|^2."""
        return self.chain.cost(self.s, self.target)

    def gradient(self):
        """Return dC/dW_1, dC/db_1, ... (synapses,)."""
        return self.chain.gradient(self.s, self.x, self.target)


def steps_to_rest(batch, epsilon, most=MOST):
    """Return how many steps it takes until all have come to rest, or the most that there may be.

    As many again as the slowest mode needs near the state of rest: before, units still cross borders.
    """
    slowest = max(0.5, *(each.chain.rate(each.s, epsilon) for each in batch))
    return int(min(most, 2 * np.ceil(np.log(REST) / np.log(slowest))))


def against_beta(chain, data, batch, epsilon, single=False):
    """Return errors and angles of the update against beta, one-sided and centred; also in single precision."""
    examples = [each.example for each in batch]
    wanted = -np.mean([each.gradient() for each in batch], axis=0)
    terms = np.mean([chain.expansion(each.s, each.x, each.target, 2) for each in batch], axis=0)
    size = np.linalg.norm(wanted)
    found = {"holds": np.logical_and.accumulate([all(each.holds(beta) for each in batch) for beta in BETAS])}
    rest = steps_to_rest(batch, epsilon)
    steps = dict(free_steps=rest, nudged_steps=rest, epsilon=epsilon)
    for words, centred, order in (("one-sided", False, 1), ("centred", True, 2)):
        for precision, cells in (("double", None), *([("single", network.Cells())] if single else [])):
            update = Probe(chain, data, examples, BETAS, centred, cells, **steps).update()
            found[f"{words}/{precision}"] = np.linalg.norm(update - wanted, axis=1) / size
            found[f"{words}/{precision} angle"] = angle(update, wanted)
        found[f"{words}/term"] = np.linalg.norm(terms[order]) / size * BETAS**order
        found[f"{words}/slope"] = slope(BETAS, found[f"{words}/double"], found["holds"])
    return found


def slope(x, error, chosen):
    """Return the slope of log error against log x where x is small and the error no rounding; nan if there is none."""
    chosen = np.asarray(chosen, bool) & (x <= LEADING) & (error > FLOOR)
    return np.polyfit(np.log(x[chosen]), np.log(error[chosen]), 1)[0] if chosen.sum() > 1 else np.nan


def against_steps(chain, data, batch, epsilon):
    """Return how far the update is from the one at rest after few free steps, and after few nudged ones."""
    examples = [each.example for each in batch]
    size = np.linalg.norm(np.mean([each.gradient() for each in batch], axis=0))
    rest = steps_to_rest(batch, epsilon)
    found = {"rate": max(chain.rate(each.s, epsilon) for each in batch)}

    def update(centred, **steps):
        return Probe(chain, data, examples, STEP_BETAS, centred, epsilon=epsilon, **steps).update()

    for words, centred in (("one-sided", False), ("centred", True)):
        for phase, other in (("free_steps", {"nudged_steps": NUDGED}), ("nudged_steps", {"free_steps": rest})):
            whole = update(centred, **{phase: rest}, **other)
            few = [update(centred, **{phase: count}, **other) for count in LADDER]
            found[f"{words}/{phase}"] = np.linalg.norm(np.array(few) - whole, axis=-1) / size
    return found
