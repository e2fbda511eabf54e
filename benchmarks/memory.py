"""Memory of a projection that learns: bytes a synapse, and what a step allocates.

    python benchmarks/memory.py [--quick] [--size 4000x4000] [--lanes 1,100]

For a three-factor rule with bounds, which takes a pass over all weights, each number of lanes in a process of its own:

built       growth of the resident memory from before the projection to after it, a synapse
peak        the most that was resident while it was built, a synapse: weights are drawn in double precision
steps       growth of the largest resident memory while steps are taken, and the most that NumPy held beside what was
            there before a step (tracemalloc), in bytes a synapse; a temporary of the weights' size would be 4 or more
"""

import argparse
import gc
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

STATUS, REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
STEPS = 10


def resident(what="VmRSS"):
    """Return the resident memory now (VmRSS), or the most since the last reset (VmHWM), in bytes."""
    (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith(what)]
    return 1024 * int(line.split()[1])


def reset_peak():
    """Let the largest resident memory start again from what is resident now."""
    REFS.write_text("5")


def measure(n_pre, n_post, lanes):
    """Return bytes a synapse: (built, peak while building, peak of the steps, most that NumPy held in a step)."""
    from brian2 import Network
    from rule_cases import CASES, DT, Values
    from rule_contestants import Neurons

    from neurosim import Projection, Uniform

    case, synapses = CASES["three-factor"], n_pre * n_post
    small = Projection(
        *(lambda neurons: (neurons.source, neurons.target))(Neurons(Values(case, 300, 400, lanes))),
        "drive_post = w * r_pre", rule=case.text, weights=Uniform(0.5), seed=1, namespace=case.constants,
        bounds=(-1, 1),
    )  # fmt: skip
    Network(small, small.source, small.target).run(2 * DT, namespace={})  # imports, compiled kernels
    neurons = Neurons(Values(case, n_pre, n_post, lanes))
    gc.collect()
    reset_peak()
    before = resident()
    projection = Projection(
        neurons.source, neurons.target, "drive_post = w * r_pre", rule=case.text, weights=Uniform(0.5), seed=1,
        namespace=case.constants, bounds=(-1, 1),
    )  # fmt: skip
    built, peak = resident() - before, resident("VmHWM") - before
    network = Network(*neurons.all, projection)
    network.run(2 * DT, namespace={})  # what is made once
    gc.collect()
    reset_peak()
    start = resident()
    network.run(STEPS * DT, namespace={})
    stepped = resident("VmHWM") - start
    tracemalloc.start()
    network.run(DT, namespace={})
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    network.run(STEPS * DT, namespace={})
    numpy_held = tracemalloc.get_traced_memory()[1] - held
    return [value / synapses for value in (built, peak, stepped, numpy_held)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smaller size, for trying the script")
    parser.add_argument("--size", default="4000x4000", help="n_pre x n_post")
    parser.add_argument("--lanes", default="1,100", help="by commas")
    parser.add_argument("--one", action="store_true", help="measure in this process (used by the script itself)")
    arguments = parser.parse_args()
    size = "3000x3000" if arguments.quick else arguments.size
    n_pre, n_post = map(int, size.split("x"))
    if not (STATUS.exists() and os.access(REFS, os.W_OK)):
        raise SystemExit("memory.py reads /proc/self/status, which this system does not have")
    if arguments.one:
        print(*measure(n_pre, n_post, int(arguments.lanes)))
        return
    print(f"{size}, three-factor rule with bounds, bytes a synapse\n")
    print("| lanes | built | peak while building | growth in steps | NumPy in a step |\n|---|---|---|---|---|")
    for lanes in arguments.lanes.split(","):
        result = subprocess.run(
            [sys.executable, __file__, "--one", "--size", size, "--lanes", lanes],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        print(f"| {lanes} | " + " | ".join(f"{float(v):.2f}" for v in result.stdout.split()[-4:]) + " |", flush=True)


if __name__ == "__main__":
    main()
