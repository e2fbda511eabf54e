"""What a sweep costs and gains: the time of two workers against one, and what a task costs beside its simulation.

    python benchmarks/sweeps.py [--quick] [--workers 2] [--rounds 3]

1. Tasks that simulate for seconds, on one worker and on several, in turn: the ratio of the times from the first task
   handed out to the last one done. Goal: 1.7 for two workers on two cores.
2. Tasks that do almost nothing, on one worker, beside the same jobs carried out one after another in this process: the
   difference for each task is what handing out costs. Goal: below 1 s.
3. A whole command: from its start to its end, with what workers need to start.
4. Files of compiled kernels that appear while tasks run, after the warm-up. Goal: none.

Workers have one thread each, and so has this process: set OPENBLAS_NUM_THREADS=1 and NUMBA_NUM_THREADS=1 for it.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from machine import print_machine

GOAL, OVERHEAD = 1.7, 1.0
LONG = """
model = "lillicrap_2016.mnist"
data = "digits"
conditions = ["feedback_alignment"]
seeds = [{seeds}]
[settings]
hidden = 300
lanes = 5
replicas = 5
epochs = {epochs}
[grid]
eta = [0.01, 0.02]
"""
SHORT = """
model = "lillicrap_2016.linear"
conditions = ["feedback_alignment"]
seeds = [{seeds}]
[settings]
inputs = 2
hidden = 2
outputs = 1
examples = 2
tests = 2
replicas = 1
epochs = 1
"""


def written(folder, text, count, **values):
    """Return the sweep of a file with this text, with as many seeds."""
    from neurosim.sweeps import statement as sweep

    path = Path(folder) / "file.toml"
    path.write_text(text.format(seeds=", ".join(str(k + 1) for k in range(count)), **values))
    return sweep.read(path)


class Cluster:
    """Workers that are warm, and the time that they take for the tasks of a sweep."""

    def __init__(self, client, folder):
        self.client, self.folder, self.count = client, Path(folder), 0

    def seconds(self, tasks):
        """Carry tasks out into a new folder; return the time it took."""
        from neurosim.sweeps import cluster

        self.count += 1
        path = self.folder / str(self.count)
        path.mkdir()
        with cluster.Session(path) as session:
            common = {"folder": str(path), "token": session.token, "facts": cluster.facts(), "checkpoint_every": 30}
            orders = {task.key: common | {"name": task.name, "job": task.job.as_json()} for task in tasks}
            began = time.perf_counter()
            results = dict(cluster.hand_out(self.client, orders, print, "here"))
            took = time.perf_counter() - began
        if wrong := {key: each for key, each in results.items() if each["status"] != "finished"}:
            raise SystemExit(f"tasks failed: {wrong}")
        return took


def compiled():
    """Return the files of compiled kernels, ours and numba's."""
    import neurosim.plasticity
    from neurosim.plasticity.compile import cache_folder

    places = [cache_folder(), Path(neurosim.plasticity.__path__[0])]
    return {(path, path.stat().st_mtime_ns) for place in places for path in place.rglob("*.nb[ic]")}


def main():
    """Print the ratios."""
    import os

    from neurosim.sweeps import campaign, cluster

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="short tasks, to see that the script works")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    print_machine()
    tasks, epochs, nothing = (2, 1, 5) if chosen.quick else (4, 30, 20)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("one", "several", "alone"):
            (folder / part).mkdir()
        long = written(folder, LONG, tasks, epochs=epochs).tasks
        short = written(folder, SHORT, nothing)
        with cluster.connected(1) as one, cluster.connected(chosen.workers) as several:
            for client in (one, several):
                cluster.prepare_workers(client, local=True)
            jobs = [{"job": each[0].job.as_json()} for each in (long, short.tasks)]
            cluster.warm(one, jobs)
            before = compiled()
            alone, together = Cluster(one, folder / "one"), Cluster(several, folder / "several")
            together.seconds(long[: 2 * chosen.workers]), alone.seconds(long[:1])  # libraries and data are read
            ratios = []
            for k in range(chosen.rounds):
                times = [alone.seconds(long), together.seconds(long)]
                ratios.append(times[0] / times[1])
                print(f"round {k + 1}   1 worker {times[0]:.1f} s, {chosen.workers} workers {times[1]:.1f} s")
            ratio = statistics.median(ratios)
            print(f"speed     {chosen.workers} workers do {ratio:.2f} times the work of one (goal {GOAL} for 2)")
            alone.seconds(short.tasks[:2])
            handed = alone.seconds(short.tasks) / nothing
            fresh = compiled() - before
        short.tasks[0].job.carry_out(folder / "alone" / "first")
        began = time.perf_counter()
        for task in short.tasks:
            task.job.carry_out(folder / "alone" / task.key)
        by_itself = (time.perf_counter() - began) / nothing
        began = time.perf_counter()
        campaign.carry_out(short, folder / "whole", workers=1, say=lambda _: None)
        whole = time.perf_counter() - began
    extra, rest = handed - by_itself, whole - nothing * by_itself
    print(f"overhead  a task of no work: {handed:.3f} s on a worker, {by_itself:.3f} s by itself")
    print(f"          {extra:+.3f} s for each task (goal below {OVERHEAD:.0f} s)")
    print(f"command   {nothing} tasks of no work: {whole:.1f} s in all, {rest:.1f} s to start and end")
    print(f"kernels   {len(fresh)} compiled by workers after the warm-up (goal 0), load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
