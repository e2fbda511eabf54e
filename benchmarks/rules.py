"""Plasticity rules timed side by side: ours, plain Synapses, kernels written by hand, PyTorch, and the machine's bound.

    python benchmarks/rules.py [--quick] [--rules Oja,BCM] [--sizes 500x500,784x1500] [--lanes 1,100] [--rounds 5]

What is timed is one step of learning alone, inside a run of a network whose neurons hold still:

ours        a Projection with the rule's text
Synapses    the same text in plain brian2 Synapses on the Cython target, one lane; against many lanes its time a lane
by hand     the best of the candidates in ``by_hand.py``: numba, or products by BLAS in place
PyTorch     the best of ``rules_torch.py``; left out where torch is not installed
bound       one lane: the weights touched, read and written at the rate of a copy of that size; many lanes: the products
            at the rate of a large square product, or the copy where that is longer

All contestants of a rule and a size are measured in turn, in one process, over several rounds; what is printed are
medians and ratios of medians. Before that, each takes a few steps from the same weights, and the script ends if one
has learned something else. Goals are printed beside what is measured and decide nothing.
"""

import argparse
import gc
import importlib.util
import os
import statistics
import time

import by_hand
import numpy as np
from machine import print_machine
from numba import njit, prange
from rule_cases import CASES, Values
from rule_contestants import PAUSE, Called, Ours, Synaptic, best
from scipy.linalg.blas import sgemm

SIZES, QUICK = "500x500,2000x2000,784x1500", "120x150"
DENSITIES = (0.1, 0.01, 0.001)
CHECKED = 5  # steps after which all must have learned the same
APART = 1e-3  # by at most this share of the largest change of a weight
HAND_GOAL, ONE_LANE_GOAL, LANES_GOAL = 1.15, 15, 70
TORCH = importlib.util.find_spec("torch") is not None


@njit(parallel=True, cache=True)
def copy_half(x):
    """Copy the first half of an array to the second: as many bytes pass as in half a step that changes all in place."""
    half = x.size // 2
    for k in prange(half):
        x[half + k] = x[k]


def copy_rate(nbytes):
    """Return bytes read and written a millisecond by the quickest copy within an array of that size."""
    x = np.zeros(max(nbytes // 4, 1024), np.float32)
    half, middle = x.size // 2, []
    for copy in (lambda: np.copyto(x[half : 2 * half], x[:half]), lambda: copy_half(x)):
        times = []
        for _ in range(40):
            started = time.perf_counter()
            copy()
            times.append(time.perf_counter() - started)
        middle.append(statistics.median(times))
    return 8 * half / (1e3 * min(middle))


def product_rate(size=2000):
    """Return floating-point operations a millisecond of a large square product, the machine's best."""
    a, b, c = (np.ones((size, size), np.float32, order="F") for _ in range(3))
    times = []
    for _ in range(8):
        started = time.perf_counter()
        sgemm(1.0, a, b, beta=0.0, c=c, overwrite_c=1)
        times.append(time.perf_counter() - started)
    return 2 * size**3 / (1e3 * min(times))


def bound(values, flops):
    """Return the milliseconds that a step must take on this machine, or nan where there is no simple bound."""
    case, count = values.case, values.n_pre * values.n_post
    if case.name == "eligibility":
        count *= (1 + values.lanes) / 2  # weights and one trace a lane
    elif case.spikes and values.lanes > 1:
        return float("nan")
    elif case.spikes:
        rows = values.pre["s"].sum() * values.n_post
        columns = values.post["s"].sum() * values.n_pre if "post" in case.spikes else 0
        return 8 * float(rows + columns) / copy_rate(4 * count)
    copied = case.touched * 4 * count / copy_rate(min(int(case.touched // 2 * 4 * count), 2**29))
    return max(copied, 2 * values.lanes * case.products * count / flops if values.lanes > 1 else 0)


def check(contestants, values):
    """Raise SystemExit unless all learn what ours learn in a few steps from the same weights."""
    ours = contestants["ours"]
    largest = float(np.abs(ours.w - values.weights).max())
    for name, each in contestants.items():
        apart = float(np.abs(each.w - ours.w).max()) / largest
        if not apart < APART:
            raise SystemExit(f"{values.case.label}, {values.lanes} lanes: {name} learns something else: {apart:.2g}")


def enter(values, notes, compiled):
    """Return the contestants of one case, by name, checked; the best of the candidates of each."""
    found = {"ours": [Ours(values)]}
    if values.lanes == 1:
        found["Synapses"] = [Synaptic(values)]
    found["by hand"] = [
        Called(values, c.step, c.w, c.numba_threads, c.blas_threads) for c in by_hand.candidates(values)
    ]
    if TORCH:
        import rules_torch

        found["PyTorch"] = [Called(values, *each) for each in rules_torch.candidates(values)]
        if compiled and values.lanes == 1 and not values.case.spikes:
            try:
                found["PyTorch"].append(Called(values, *rules_torch.compiled(values)))
            except Exception as error:  # whatever torch.compile lacks on this machine
                notes.append(f"{values.case.label}: torch.compile left out: {str(error).splitlines()[0]}")
    checked = {}
    for name, each in found.items():
        for k, candidate in enumerate(each, start=1):
            candidate.step_for(CHECKED)
            candidate.timed.take()
            checked[name if k == 1 else f"{name} ({k})"] = candidate
    check(checked, values)
    return {name: best(each) for name, each in found.items()}


def time_case(values, rounds, notes, compiled):
    """Return the median milliseconds of a step by contestant."""
    contestants = enter(values, notes, compiled)
    gc.collect()
    gc.freeze()  # as training does: brian2 collects at the start of every run
    steps = {}
    for name, each in contestants.items():
        middle = statistics.median(each.measure(5))
        steps[name] = int(np.clip(60 / middle, 4, 60))
        time.sleep(PAUSE)
    times = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, each in contestants.items():
            times[name] += each.measure(steps[name])
            time.sleep(PAUSE)
    gc.unfreeze()
    return {name: statistics.median(kept) for name, kept in times.items()}


def met(value, goal, at_least):
    """Return a ratio with whether it meets its goal."""
    word = "met" if (value >= goal if at_least else value <= goal) else "not met"
    return f"{value:.2f} {word}" if value < 10 else f"{value:.0f} {word}"


HEAD = (
    "| rule | size | lanes | ours, ms | Synapses / ours | ours / by hand | PyTorch / ours | ours / bound |\n"
    "|---|---|---|---|---|---|---|---|"
)


def row(values, times, one_lane, least):
    """Return a line of the table."""
    ours, lanes, case = times["ours"], values.lanes, values.case
    against = f"{one_lane * lanes / ours:.1f}"
    if not case.spikes:
        against = met(one_lane * lanes / ours, ONE_LANE_GOAL if lanes == 1 else LANES_GOAL, True)
    torch = met(times["PyTorch"] / ours, 1.0, True) if "PyTorch" in times else "–"
    bounded = "–" if np.isnan(least) else f"{ours / least:.2f}"
    return (
        f"| {case.label} | {values.n_pre}x{values.n_post} | {lanes} | {ours:.3f} | {against} "
        f"| {met(ours / times['by hand'], HAND_GOAL, False)} | {torch} | {bounded} |"
    )


def fits(case, n_pre, n_post, lanes):
    """Say whether the traces of a lane each, of all contestants, fit into the memory that is free."""
    traces = 4 * 4 * lanes * n_pre * n_post if case.name == "eligibility" else 0
    return traces < os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def chosen_cases(text):
    """Return the cases that are asked for, rules on spikes at several densities."""
    names = [n.strip() for n in text.split(",")] if text else list(CASES)
    for name in names:
        if name not in CASES:
            raise SystemExit(f"--rules: no rule {name!r}; there are {', '.join(CASES)}")
    return [c.at(d) for name in names for c in [CASES[name]] for d in (DENSITIES if c.spikes else (0.0,))]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small size, for trying the script")
    parser.add_argument("--rules", help="names of rules, by commas; all if left out")
    parser.add_argument("--sizes", help=f"sizes n_pre x n_post, by commas; {SIZES} if left out")
    parser.add_argument("--lanes", default="1,100", help="lanes, by commas")
    parser.add_argument("--rounds", type=int, default=5, help="how often all are measured in turn")
    parser.add_argument("--compile", action="store_true", help="try torch.compile as well, which takes minutes")
    arguments = parser.parse_args()
    sizes = arguments.sizes or (QUICK if arguments.quick else SIZES)
    sizes = [tuple(map(int, size.split("x"))) for size in sizes.split(",")]
    lanes = sorted({1, *map(int, arguments.lanes.split(","))})

    print_machine()
    if TORCH:
        import torch

        print(f"torch     {torch.__version__}, {torch.get_num_threads()} threads")
    else:
        print("torch     not installed: that column is left out")
    flops = product_rate()
    print(f"bound     products {flops / 1e6:.0f} GFLOP/s", end="")
    print(";".join(f" copy {n}x{m} {copy_rate(4 * n * m) / 1e6:.0f} GB/s" for n, m in sizes), "\n")
    time.sleep(PAUSE)
    notes, milliseconds = [], []
    print(HEAD, flush=True)
    for case in chosen_cases(arguments.rules):
        for n_pre, n_post in sizes:
            for count in lanes:
                if not fits(case, n_pre, n_post, count):
                    notes.append(f"{case.label} {n_pre}x{n_post}, {count} lanes: the traces do not fit, left out")
                    continue
                values = Values(case, n_pre, n_post, count)
                times = time_case(values, arguments.rounds, notes, arguments.compile)
                if count == 1:
                    one_lane = times["Synapses"]
                print(row(values, times, one_lane, bound(values, flops)), flush=True)
                milliseconds.append((values, times))
    print("\nGoals: Synapses / ours at least 15 at one lane and 70 at many where every synapse is touched;")
    print("ours / by hand at most 1.15; PyTorch / ours at least 1. They decide nothing.")
    print(
        "\nMilliseconds\n\n| rule | size | lanes | ours | Synapses | by hand | PyTorch |\n|---|---|---|---|---|---|---|"
    )
    for values, times in milliseconds:
        cells = " | ".join(f"{times[n]:.3f}" if n in times else "–" for n in ("ours", "Synapses", "by hand", "PyTorch"))
        print(f"| {values.case.label} | {values.n_pre}x{values.n_post} | {values.lanes} | {cells} |")
    for note in notes:
        print(f"note: {note}")


if __name__ == "__main__":
    main()
