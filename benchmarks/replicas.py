"""What replicas cost: one epoch of an experiment with 20 replicas side by side, against one replica.

    python benchmarks/replicas.py [--quick] [--replicas 20] [--rounds 5]

Networks of both sizes are trained in turn, in one process; printed are medians of the time for a presentation and of
their ratio. The goal for the linear task (Lillicrap et al. 2016, Fig. 2) is that 20 cost at most 3 times one.
"""

import argparse
import time

import brian2
import numpy as np
from machine import print_machine

from neurosim_models.lillicrap_2016 import DEEP, LINEAR

GOAL = 3
CASES = (
    ("linear", LINEAR, "node_perturbation"),
    ("linear", LINEAR, "backprop"),
    ("linear", LINEAR, "feedback_alignment"),
    ("deep", DEEP, "feedback_alignment_4_layers"),
)


class Learner:
    """A network that can be trained for an epoch again and again."""

    def __init__(self, experiment, condition, replicas, examples):
        from neurosim.training import Keeper, train

        name = next(iter(experiment.presets))
        settings = {"replicas": str(replicas), "examples": str(examples), "tests": "10"}
        values = experiment.resolve(name, settings)
        values = experiment.choose(values, settings, [condition])[condition]
        brian2.seed(1)
        task = experiment.presets[name].task(values, 1)
        self.presentations = examples // values["lanes"]
        self.circuit = experiment.build(values, task, 1)
        keeper = Keeper()
        self.epochs = train(self.circuit, task, 10**6, 1, keeper=keeper)
        next(self.epochs), next(self.epochs)  # the test before, and a first epoch that compiles

    def seconds(self):
        """Return the time that a presentation took in the next epoch, with its share of the epoch's test."""
        began = time.perf_counter()
        next(self.epochs)
        return (time.perf_counter() - began) / self.presentations


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the examples, to see that the script works")
    parser.add_argument("--replicas", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    brian2.prefs.codegen.target = "numpy"
    brian2.BrianLogger.log_level_error()
    print_machine()
    print(f"\n{'experiment and condition':38}{'1 replica':>14}{chosen.replicas:>6} replicas{'ratio':>8}")
    for name, experiment, condition in CASES:
        examples = (1000 if name == "linear" else 10000) // (10 if chosen.quick else 1)
        one, many = (Learner(experiment, condition, n, examples) for n in (1, chosen.replicas))
        times = np.array([(one.seconds(), many.seconds()) for _ in range(chosen.rounds)])
        middle, ratio = np.median(times, axis=0), np.median(times[:, 1] / times[:, 0])
        goal = f"   goal: at most {GOAL}" if name == "linear" and chosen.replicas == 20 else ""
        print(f"{name + ', ' + condition:38}{1e6 * middle[0]:11.0f} us{1e6 * middle[1]:12.0f} us{ratio:8.2f}{goal}")


if __name__ == "__main__":
    main()
