"""Figure of a run of ``digits``: what learning while states settle does."""

from neurosim.analysis import mean_interval
from neurosim.plots import NothingToDrawError, last_tested, new_figure

KINDS = {"always": ("learns all the time", "C3", "o"), "late": ("learns in the last 5 ms", "C0", "s")}


def lag(run):
    """Test error against the time for which patterns are shown, learning on all the time or only late in a pattern."""
    metrics = run.metrics()
    groups = {kind: [] for kind in KINDS}
    shallow = None
    for name in dict.fromkeys(metrics["condition"]):
        kind = "late" if name == "microcircuit" else name.partition("_")[0]
        time = run.record["conditions"][name].get("pattern", run.record["parameters"]["pattern"]["value"])
        error = mean_interval(100 * last_tested(run, metrics, name), within=(0, 100))
        if kind in KINDS:
            groups[kind].append((1e3 * time, error))
        elif name == "shallow":
            shallow = error.mean
    if not any(len(group) > 1 for group in groups.values()):
        raise NothingToDrawError("conditions that differ in the time of a pattern are needed")
    figure = new_figure(run, 5.6, 3.8, "While states settle the wrong thing is learned (rate × time: all the same)")
    ax = figure.subplots()
    for kind, (label, color, marker) in KINDS.items():
        points = sorted(groups[kind], key=lambda point: point[0])
        times, errors = [time for time, _ in points], [error for _, error in points]
        middle = [each.mean for each in errors]
        bars = [[each.mean - each.low for each in errors], [each.high - each.mean for each in errors]]
        ax.plot(times, middle, color=color, marker=marker, label=label)
        ax.errorbar(times, middle, bars, color=color, capsize=2, fmt="none")
    if shallow is not None:
        ax.axhline(shallow, color="0.5", linewidth=1, label="shallow, late in 40 ms")
    ticks = sorted({time for group in groups.values() for time, _ in group})
    ax.set(xscale="log", xlabel="time for which a pattern is shown (ms)", ylabel="test error (%)", yscale="log")
    ax.set_xticks(ticks, [f"{time:g}" for time in ticks])
    ax.set_yticks([5, 10, 20, 50, 100], ["5", "10", "20", "50", "100"])
    ax.set_ylim(5, 105)
    ax.minorticks_off()
    ax.legend(frameon=False, fontsize=8)
    return figure
