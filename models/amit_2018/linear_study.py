"""The theorems of section 3.2 and what happens outside of their conditions: one direction of T at a time.

Numbers     From zero forward weights (lambda_T = 1) the error falls faster, at every time, for larger epsilon: as the
            theorems say, and in every case tried beyond them, with lambda_R,2 far below lambda_R,3, with lambda_R not
            small or negative, and with four layers. What fails outside of Theorem 2's condition is its way: lambda_2
            no longer rises with epsilon.
            From other starts a larger epsilon can slow learning down, and stop it: see theory on the saddle and on what
            goes round. Of 200 random starts with k = 3 (normal, standard deviation 0.3) one in eight learns later with
            epsilon = 1 than with 0, most of these never: 600 others all learn with 0, given time, and 13 % never do
            with 1. With steps instead of a flow, a larger epsilon bears shorter steps only, near
            2 / r, as its flow is faster in the end by the same factor: with the best step of each, epsilon = 0 needs
            the fewest.
"""

import numpy as np

from neurosim import plots
from neurosim_models.amit_2018 import theory

EPSILONS = (0.0, 0.25, 0.5, 1.0)
COLORS = ("0.55", "C0", "C4", "C3")  # of these
LEVEL = 0.01  # of the error, where it counts as learned
THEOREM = {2: ((0.1,), 40.0), 3: ((0.1, 0.05), 160.0)}  # k: lambda_R,2 ... and the time shown
FROM_ZERO = (  # words, depth, lambda_R,2 ..., time in which every epsilon learns
    ("k = 2: Theorem 1", (0.1,), 100.0),
    ("k = 3: Theorem 2", (0.1, 0.05), 200.0),
    ("k = 3, R₂ < 0: the same", (-0.1, 0.05), 200.0),
    ("k = 3, R₂ = R₃ / 30", (0.01, 0.3), 200.0),
    ("k = 3, R₂ = 2, R₃ = 1: not small", (2.0, 1.0), 20.0),
    ("k = 4, R = 0.2", (0.2, 0.2, 0.2), 400.0),
)
LADDER = np.linspace(0, 1, 21)  # of epsilon
AGAINST = -0.1  # R_2(0) of two layers whose lambda_1 starts at
STARTS = (0.11, 0.14, 0.2)
FINE = np.linspace(0, 1, 161)
ROUND = ((0.1, 0.5, 0.0), (-0.5, 0.1), 100.0)  # k = 3: lambda_1(0) ..., R_2(0), R_3(0), time
RANDOM, SPREAD, LONG = 200, 0.3, 200.0  # how many random starts, their standard deviation, time
SIZES = 40  # Euler steps of so many sizes, from the smallest to the largest with which the error falls in the end
SMALLEST = 0.05
STEPS, POINTS = 2000, 1000


def study(values, seed):
    """Integrate the scalar equations inside and outside of the theorems' conditions.

    Returns
    -------
    dict of str to (array, unit)
        What :func:`theorems` and :func:`outside` draw.
    """
    found = {}
    for depth, (feedback, time) in THEOREM.items():
        flow = theory.integrate(depth, EPSILONS, feedback, time=time, steps=STEPS, points=POINTS)
        found |= {f"k{depth} {name}": array for name, array in flow.items()}
    found |= _steps(flow)
    low = theory.integrate(3, EPSILONS, FROM_ZERO[3][1], time=60.0, steps=STEPS, points=POINTS)
    found |= {f"low {name}": low[name] for name in ("time", "strength")}
    start, feedback, time = ROUND
    turning = theory.integrate(3, EPSILONS, feedback, start=start, time=time, steps=2 * STEPS, points=POINTS)
    found |= {f"round {name}": turning[name] for name in ("time", "error", "strength", "feedback")}
    found |= _from_zero()
    found |= _against() | _random(seed)
    return {name: (array, "1") for name, array in found.items()}


def _from_zero():
    """The time to a small error for a ladder of epsilons, cases of one depth side by side."""
    found = {}
    for depth in (2, 3, 4):
        cases = [(k, *case[1:]) for k, case in enumerate(FROM_ZERO) if len(case[1]) == depth - 1]
        feedback = np.repeat([each for _, each, _ in cases], len(LADDER), axis=0).T
        time = np.repeat([each for *_, each in cases], len(LADDER))
        flow = theory.integrate(
            depth, np.tile(LADDER, len(cases)), feedback, time=time, steps=STEPS, points=POINTS
        )  # fmt: skip
        times = theory.time_to(flow["time"], flow["error"], LEVEL).reshape(len(cases), -1)
        found |= {f"zero {k}": row for (k, *_), row in zip(cases, times, strict=True)}
    return found


def _against():
    """Two layers, the first of which starts on the wrong side of its feedback: R_2(0) < 0 < lambda_1(0)."""
    start = np.stack([np.repeat(STARTS, len(FINE)), np.zeros(len(STARTS) * len(FINE))])
    flow = theory.integrate(
        2, np.tile(FINE, len(STARTS)), [AGAINST], start=start, time=LONG, steps=STEPS, points=POINTS
    )  # fmt: skip
    return {"against": theory.time_to(flow["time"], flow["error"], LEVEL).reshape(len(STARTS), -1)}


def _random(seed):
    """All strengths of forward and feedback weights drawn from one normal distribution: with epsilon 0 and 1."""
    found = {}
    for depth in (2, 3):
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(depth,)))
        start, feedback = (generator.normal(0, SPREAD, (n, RANDOM)) for n in (depth, depth - 1))
        flow = theory.integrate(
            depth, np.repeat((0.0, 1.0), RANDOM), np.tile(feedback, 2), start=np.tile(start, 2), time=LONG, steps=STEPS,
            points=POINTS,
        )  # fmt: skip
        found[f"random {depth}"] = theory.time_to(flow["time"], flow["error"], LEVEL).reshape(2, -1)
    return found


def _steps(flow):
    """Euler steps along the flow of Theorem 2, as large as its end allows, 2 / r: how many until the error is small."""
    largest = 2 / theory.rate(flow["strength"][:, -1], flow["feedback"][:, -1])
    sizes = np.geomspace(SMALLEST, 0.98 * largest, SIZES, axis=1)
    flow = theory.integrate(
        3, np.repeat(EPSILONS, SIZES), THEOREM[3][0], time=STEPS * sizes.ravel(), steps=STEPS, points=POINTS,
        method="euler",
    )  # fmt: skip
    needed = theory.time_to(flow["time"], flow["error"], LEVEL).reshape(sizes.shape) / sizes
    return {"sizes": sizes, "steps": needed, "largest step": largest}


def theorems(run):
    """The scalar flow under the conditions of Theorems 1 and 2: error and strengths of the weights for each epsilon."""
    found = _of(run)
    figure = plots.new_figure(
        run, 8.4, 4.6, "One direction of T from zero weights: the larger ε, the sooner the error falls"
    )
    axes = figure.subplots(2, 4, sharex="row")
    for row, (depth, (feedback, _)) in zip(axes, THEOREM.items(), strict=True):
        time = found[f"k{depth} time"]
        drawn = [("error e (1)", found[f"k{depth} error"]), *(
            (f"λ{'₁₂₃'[i]} (1)", found[f"k{depth} strength"][i]) for i in range(depth)
        )]  # fmt: skip
        for ax, (words, values) in zip(row, drawn, strict=False):
            for k, color in enumerate(COLORS):
                ax.plot(time[:, k], values[:, k], color=color, label=f"{EPSILONS[k]:g}")
            ax.set_title(words, fontsize=9)
        row[0].set_yscale("log")
        row[0].set_ylim(1e-6, 2)
        constants = ", ".join(f"λR,{i} = {value:g}" for i, value in enumerate(feedback, start=2))
        row[0].set_ylabel(f"k = {depth}\n{constants}")
    for ax in (*axes[1], *axes[0, :3]):
        ax.set_xlabel("time of the flow (1)")
    axes[0, 3].axis("off")
    axes[0, 3].legend(
        *axes[0, 0].get_legend_handles_labels(), title="ε: share of the forward change\nthat the feedback learns",
        loc="center", frameon=False, fontsize=8, title_fontsize=8,
    )  # fmt: skip
    axes[0, 3].text(
        0.5, 0.1, "In the end the product of the strengths is λT = 1:\nnot all of them can end higher.", ha="center",
        va="top", fontsize=7, color="0.3", transform=axes[0, 3].transAxes,
    )  # fmt: skip
    return figure


def outside(run):
    """When a larger epsilon helps beyond the theorems' conditions, and when it does not."""
    found = _of(run)
    figure = plots.new_figure(run, 11, 5.6, "Outside of the theorems' conditions: does a larger ε still help?")
    (first, second, sixth, third), (fourth, fifth, seventh, eighth) = figure.subplots(2, 4)
    for k, (words, *_) in enumerate(FROM_ZERO):
        style = dict(linestyle=":", linewidth=3) if "same" in words else {}
        times = found[f"zero {k}"]
        first.plot(np.linspace(0, 1, len(times)), times, label=words, color=f"C{k}", **style)
    first.set_yscale("log")
    first.set_ylim(1, 2e4)
    first.set_xlabel("ε")
    first.set_ylabel("time to 1 % error (1)")
    first.legend(frameon=False, fontsize=6, loc="upper center", ncols=1)
    first.set_title("from zero: yes, in every case tried", fontsize=8)

    for k, color in enumerate(COLORS):
        second.plot(found["low time"][:, k], found["low strength"][1][:, k], color=color, label=f"ε = {EPSILONS[k]:g}")
    second.set_xlabel("time of the flow (1)")
    second.set_ylabel("λ₂ (1)")
    second.legend(frameon=False, fontsize=7)
    second.set_title("R₂ = R₃ / 30: error falls sooner,\nbut λ₂ no longer rises with ε", fontsize=8)

    for k, (start, times) in enumerate(zip(STARTS, found["against"], strict=True)):
        third.plot(FINE, np.where(np.isnan(times), LONG, times), color=f"C{k}", label=f"λ₁(0) = {start:g}")
        third.axvline(theory.epsilon_of_saddle(start, AGAINST), color=f"C{k}", linestyle="--", linewidth=0.8)
    third.set_yscale("log")
    third.set_ylim(4, 400)
    third.set_xlabel("ε;  dashed: (R₂(0) / λ₁(0))²")
    third.set_ylabel("time to 1 % error (1)")
    third.legend(frameon=False, fontsize=7, loc="upper right")
    third.set_title(f"k = 2 from R₂(0) = {AGAINST:g} against λ₁(0):\nlearning stops at a saddle", fontsize=8)

    for ax, depth in ((fourth, 2), (fifth, 3)):
        never, later = np.where(np.isnan(found[f"random {depth}"]), 1.3 * LONG, found[f"random {depth}"])
        slower = later > never
        for chosen, color, words in ((~slower, "0.6", "sooner with 1, or neither"), (slower, "C3", "later with 1")):
            ax.plot(never[chosen], later[chosen], ".", color=color, markersize=4,
                    label=f"{words}: {100 * chosen.mean():.3g} %")  # fmt: skip
        ends = np.array([1, 1.3 * LONG])
        ax.plot(ends, ends, color="k", linewidth=0.7)
        ax.set(xscale="log", yscale="log", xlabel="time to 1 % error, ε = 0 (1)", ylabel="the same, ε = 1 (1)")
        ax.legend(frameon=False, fontsize=7, loc="upper left", handletextpad=0.1)
        ax.set_ylim(1, 2e3)
        ax.set_title(
            f"k = {depth}, {len(never)} random starts\n(normal, sd {SPREAD:g}; {1.3 * LONG:g}: not by {LONG:g})",
            fontsize=8,
        )

    for k, color in enumerate(COLORS):
        sixth.plot(found["sizes"][k], found["steps"][k], color=color, label=f"ε = {EPSILONS[k]:g}")
        sixth.axvline(found["largest step"][k], color=color, linestyle="--", linewidth=0.8)
    sixth.set(xscale="log", yscale="log", xlabel="step η;  dashed: 2 / r at the end", ylabel="steps to 1 % error")
    sixth.legend(frameon=False, fontsize=7)
    sixth.set_title("k = 3: at one η, yes; but a smaller ε\nbears longer steps", fontsize=8)
    for k, color in enumerate(COLORS):
        seventh.plot(found["round time"][:, k], found["round error"][:, k], color=color, label=f"ε = {EPSILONS[k]:g}")
        eighth.plot(found["round strength"][0][:, k], found["round feedback"][1][:, k], color=color)
    (one, two, _), (r2, r3), _ = ROUND
    seventh.set(xlabel="time of the flow (1)", ylabel="error e (1)")
    seventh.legend(frameon=False, fontsize=7)
    seventh.set_title(f"k = 3 from λ₂ = {two:g} against R₂ = {r2:g}:\nwhat learns goes round for ever", fontsize=8)
    eighth.plot([one], [r3], "ko", markersize=4)
    eighth.set(xlabel="λ₁ (1)", ylabel="R₃ (1)")
    eighth.set_title("the same: λ₁ and R₃ turn about 0\n(dot: start)", fontsize=8)
    return figure


def _of(run):
    """Return the arrays of a run's study."""
    if not (run.folder / "study.npz").is_file():
        raise plots.NothingToDrawError(f"{run.folder}: the run has no study.npz")
    return {name: array for name, (array, _) in run.arrays("study.npz").items()}
