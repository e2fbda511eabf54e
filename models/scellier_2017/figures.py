"""Figures of networks that settle: how long it takes, and how often it is not enough."""

import textwrap

import numpy as np

from neurosim.plots import NothingToDrawError, condition_color, in_words, new_figure, over_epochs, plot_band


def saved(run):
    """Return a line for each condition: steps saved by ending the free phase early, and how often it did not settle."""
    metrics, lines = run.metrics(), []
    for condition in dict.fromkeys(metrics["condition"]):
        if "free_steps" not in metrics:
            continue
        steps, unsettled = (
            over_epochs(run, metrics, condition, "train", column=column)[1] for column in ("free_steps", "unsettled")
        )
        if np.isfinite(steps).any():
            share, most = saved_of(run, condition, steps)
            lines.append(
                f"{condition}: {np.nanmean(steps):.1f} of {most} free steps, {share:.0f} % saved; "
                f"{100 * np.nanmean(unsettled):.0f} % of the batches did not settle in time"
            )
    return lines


def saved_of(run, condition, steps):
    """Return (percentage saved, time steps that the free phase of a condition has) where it took ``steps``."""
    most = run.record["conditions"][condition].get("free_steps", run.record["parameters"]["free_steps"]["value"])
    return 100 * (1 - np.nanmean(steps) / most), most


def settling(run):
    """Time steps that the free phase takes, and how often it ends unsettled, over epochs."""
    metrics = run.metrics()
    conditions = list(dict.fromkeys(metrics["condition"]))
    shown = [c for c in conditions if np.isfinite(over_epochs(run, metrics, c, "train", column="free_steps")[1]).any()]
    if not shown:
        raise NothingToDrawError(f"{run.folder}: no epoch of this run is whole")
    title = "How long the free phase lasts, and how often it ends before the state is at rest"
    figure = new_figure(run, 7.6, 3.6, title)
    left, right = figure.subplots(1, 2)
    told = []
    for condition in shown:
        color = condition_color(condition, conditions.index(condition))
        for ax, column, factor in ((left, "free_steps", 1), (right, "unsettled", 100)):
            epochs, values = over_epochs(run, metrics, condition, "train", column=column)
            plot_band(ax, epochs, factor * values, in_words(condition), color, within=(0, np.inf))
            if column == "free_steps":
                share, most = saved_of(run, condition, values)
                told.append(f"{in_words(condition)} {share:.0f} % of {most} steps")
    left.set_ylabel("mean length of the free phase (time steps)")
    right.set_ylabel("batches that did not settle in time (%)")
    right.set_ylim(-3, 103)
    for ax in (left, right):
        ax.set_xlabel("epoch")
    left.set_ylim(bottom=0)
    figure.supxlabel("Saved by ending early: " + textwrap.fill("; ".join(told), 110), fontsize=8)
    right.legend(frameon=False, fontsize=7)
    return figure
