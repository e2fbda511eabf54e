"""One step with learning of the spiking network of Lillicrap et al. 2016, timed side by side with its peers.

    python benchmarks/spiking_network.py [--quick] [--lanes 1,10,100,500] [--rounds 5] [--no-start]

What is timed, in one process, in turns over several rounds; the table gives medians and quartiles:

ours        the model of ``models/lillicrap_2016.py`` at several lanes, learning and recording as in training, without
            the angles (which training takes 20 times an epoch)
(a)         the same network in plain brian2 Synapses on the Cython target, one lane: ``plain_synapses.py``
(b)         the bare matrix products of the same shapes with NumPy: forward, feedback, weight change
(c)         a copy of the bytes that the touched weights make, for one lane

Times of (a) and ours lie between the ends of two steps inside one run: a run's start and the first steps are left out.
Images are MNIST's where NEUROSIM_DATA names a folder with it, else random ones with its share of pixels that are not
zero (19 %) and its mean (0.13). Goals are printed beside what is measured and decide nothing; the one thing that ends
the script is a plain network that does not learn what ours learns.
"""

import argparse
import gc
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import brian2
import numba
import numpy as np
import scipy
from contestants import Copy, Ours, Plain, Products, build, read_images
from plain_synapses import differences
from threadpoolctl import threadpool_info, threadpool_limits

ONE_THREAD_BELOW = 20_000_000  # multiplications in the largest product from which BLAS threads pay

FULL = {"inputs": 784, "hidden": (1500, 1500, 1500), "output": 1000}
QUICK = {"inputs": 196, "hidden": (300, 300, 300), "output": 200}
TINY = {"inputs": 40, "hidden": (30, 25, 20), "output": 20}  # for the check: sizes that differ show a transposed index
PAUSE = 0.3  # seconds between two measurements: a BLAS pool's threads spin on for a while
EPOCH = 60_000


def check():
    """Raise SystemExit unless plain Synapses learn what ours learn from the same weights, image and spikes."""
    brian2.seed(1)
    images, labels, _ = read_images(TINY["inputs"])
    circuit, values = build(TINY, 1, images, eta=1.0, gamma=0.0)
    circuit.feed(images, labels)
    apart = differences(circuit, values, images, labels)
    if not apart[0] < 1e-5:
        raise SystemExit(f"plain Synapses learn something else in one step: apart by {apart[0]:.2g} of the change")
    print(
        "checked   from the same weights and spikes plain Synapses learn what ours do: apart by at most\n"
        f"          {apart[0]:.1e} of the largest change after 1 step, {apart[-1]:.1e} after {len(apart)}"
    )


def first_step(sizes, lanes, cache):
    """Return (seconds from a process's start to the end of its first step, its peak memory in MiB)."""
    arguments = [str(lanes), str(sizes["inputs"]), ",".join(map(str, sizes["hidden"])), str(sizes["output"])]
    started = time.time()
    result = subprocess.run(
        [sys.executable, Path(__file__).with_name("first_step.py"), *arguments],
        env={**os.environ, "NUMBA_CACHE_DIR": cache}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    ended, peak = map(float, result.stdout.split()[-2:])
    return ended - started, peak


def print_facts(sizes, source, images):
    shown = "-".join(map(str, [sizes["inputs"], *sizes["hidden"], sizes["output"]]))
    print(f"network   {shown}, {source} images: {(images > 0).mean():.0%} of pixels not zero, mean {images.mean():.2f}")
    print(f"machine   {platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the start")
    versions = {"brian2": brian2, "numpy": np, "scipy": scipy, "numba": numba}
    print(
        f"versions  Python {platform.python_version()}, "
        + ", ".join(f"{k} {m.__version__}" for k, m in versions.items())
    )
    pools = [
        f"{p['internal_api']} {p['version']} {p.get('architecture', '')} {p['num_threads']}" for p in threadpool_info()
    ]
    print(f"threads   numba {numba.get_num_threads()}, Cython 1; pools: {', '.join(pools)}")


def print_row(label, lanes, times):
    low, middle, high = np.percentile(times, [25, 50, 75])
    print(f"{label:<44}{lanes:>6}{middle:>12.2f}{middle / lanes:>14.3f}    {low:.2f} .. {high:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smaller network, for trying the script")
    parser.add_argument("--lanes", default="1,10,100,500", help="lanes of ours and of the products")
    parser.add_argument("--rounds", type=int, default=5, help="how often all are measured in turn")
    parser.add_argument("--no-start", action="store_true", help="leave out the time from a process's start")
    arguments = parser.parse_args()
    sizes = QUICK if arguments.quick else FULL
    lanes = sorted({1, 100, *map(int, arguments.lanes.split(","))})
    images, labels, source = read_images(sizes["inputs"])

    print_facts(sizes, source, images)
    check()

    ours = {n: Ours(sizes, n, images, labels) for n in lanes}
    peer = Plain(ours[1].circuit, ours[1].values, images, labels)
    print(f"plain Synapses: {peer.build_time:.1f} s to build (with the Cython cache as it was found)")
    products = {n: Products(ours[n].circuit, n) for n in lanes}
    ours[1].measure()
    copies = {often: Copy(ours[1].circuit, ours[1].spikes, often) for often in (2, 1)}
    spikes = {name: statistics.fmean(counts) for name, counts in ours[1].spikes.items()}
    print("spikes a step, one lane: " + ", ".join(f"{name} {count:.0f}" for name, count in spikes.items()))
    gc.collect()
    gc.freeze()  # as training does: brian2 collects at the start of every run

    contestants = {("ours", n): each for n, each in ours.items()} | {("plain", 1): peer}
    contestants |= {("products", n): each for n, each in products.items()}
    contestants |= {("copy", often): each for often, each in copies.items()}
    times = {key: [] for key in contestants}
    largest = max(p.source.n * p.target.n for p in ours[1].circuit.projections.values())
    for _ in range(arguments.rounds):
        for key, each in contestants.items():
            # two BLAS threads would wait for each other
            small = key[0] == "products" and largest * key[1] < ONE_THREAD_BELOW
            with threadpool_limits(1 if small else None, user_api="blas"):
                times[key] += each.measure()
            time.sleep(PAUSE)

    print(f"\n{'one step with learning':<44}{'lanes':>6}{'ms a step':>12}{'ms / lane':>14}    quartiles of a step")
    for n in lanes:
        print_row("ours", n, times["ours", n])
    print_row("(a) plain Synapses, Cython", 1, times["plain", 1])
    for n in lanes:
        print_row("(b) NumPy's products", n, times["products", n])
    for kind in products[100].split:
        print_row(f"    of these {kind}", 100, products[100].split[kind])
    for often, word in ((2, "twice"), (1, "once")):
        label = f"(c) copy of {copies[often].bytes / 1e6:.1f} MB, W counted {word}"
        print_row(label, 1, times["copy", often])

    middle = {key: statistics.median(values) for key, values in times.items()}
    print("\nratios of medians")
    for label, above, below, goal in (
        ("(a) / ours a sample-step,   1 lane", middle["plain", 1], middle["ours", 1], "goal: at least 15"),
        ("(a) / ours a sample-step, 100 lanes", 100 * middle["plain", 1], middle["ours", 100], "goal: at least 70"),
        ("ours / (b),               100 lanes", middle["ours", 100], middle["products", 100], "goal: at most 1.3"),
        ("ours / (c), W twice,        1 lane", middle["ours", 1], middle["copy", 2], "goal: at most 2"),
        ("ours / (c), W once,         1 lane", middle["ours", 1], middle["copy", 1], ""),
    ):
        print(f"  {label:<40}{above / below:8.2f}   {goal}".rstrip())
    steps = EPOCH // 100 * ours[100].circuit.presentation.steps
    print(
        f"\nan epoch of {EPOCH} images at 100 lanes, without test and angles: {steps * middle['ours', 100] / 1e3:.0f} s"
    )
    print(f"  extrapolated: {steps} steps of the median above")

    if not arguments.no_start:
        print("\nfrom a process's start to the end of its first step, and peak memory after ten more")
        for n in (1, 100):
            with tempfile.TemporaryDirectory() as cache:
                for word in ("cold", "warm"):
                    seconds, peak = first_step(sizes, n, cache)
                    print(f"  {n:>4} lanes, numba's cache {word}: {seconds:6.2f} s, {peak:6.0f} MiB")


if __name__ == "__main__":
    main()
