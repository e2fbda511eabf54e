"""Arrays to the Axes that are given; and the figures of a run. Never simulates, never shows a window."""

import io
import textwrap
from types import MappingProxyType

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from neurosim.analysis import mean_interval
from neurosim.errors import ParameterError, unknown
from neurosim.runs import writing

STYLE = MappingProxyType({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "savefig.dpi": 200})
BORDER = dict(color="0.8", linewidth=0.7, zorder=0)
RASTER_PRESENTATIONS = 6


def draw(run, figures, skip=True):
    """Draw figures of a run into its folder; return their paths.

    Parameters
    ----------
    run : Run
        Finished or running.
    figures : iterable of str or callable (Run) -> Figure
        Which figures: names, see :data:`FIGURES`, or functions. The first line of a function's docstring says what it
        shows; the PNG has it as its title.
    skip : bool
        Leave out figures of what this run does not have; otherwise they raise a ParameterError.
    """
    import matplotlib

    paths = []
    for each in figures:
        if not callable(each) and each not in FIGURES:
            raise unknown("figure", each, FIGURES)
        function = each if callable(each) else FIGURES[each]
        name = function.__name__
        with matplotlib.rc_context(dict(STYLE)):
            image = io.BytesIO()
            try:
                figure = function(run)
            except NothingToDrawError:
                if skip:
                    continue
                raise
            except KeyError as error:
                if skip and run.record["status"] != "finished":  # what it measures after whole epochs is not there yet
                    continue
                raise ParameterError(f"{run.folder}: the run's files lack {error}, which {name} needs") from None
            for ax in figure.axes:
                if ax.get_xlabel().startswith("epoch") and ax.get_xscale() == "linear":
                    ax.xaxis.set_major_locator(MaxNLocator(integer=True))  # there is no epoch 1.5
            with writing(run.folder / "figures" / f"{name}.png") as path:
                path.parent.mkdir(exist_ok=True)
                figure.savefig(image, format="png", metadata={"Title": function.__doc__.splitlines()[0]})
        run.write(f"figures/{name}.png", image.getvalue())
        paths.append(path)
    return paths


class NothingToDrawError(ParameterError):
    """A run has nothing of what a figure shows."""


def mark_presentations(ax, time, steps):
    """Draw the borders between presentations: ``time`` (ms) has ``steps`` values a presentation."""
    for start in time[::steps]:
        ax.axvline(start, **BORDER)


def plot_potential(ax, time, potential, spikes):
    """Draw a neuron's potential against time (ms), with a tick at the top of the Axes for every spike."""
    ax.step(time, potential, where="post", color="C0", linewidth=1.2)
    ax.margins(y=0.2)  # the potential ends below the ticks
    at = time[np.asarray(spikes, bool)]
    ax.vlines(at, 0.9, 0.98, color="k", linewidth=0.8, transform=ax.get_xaxis_transform())


def plot_band(ax, x, values, label, color, scale=1.0, within=(-np.inf, np.inf), linestyle="-", band=True):
    """Draw the mean over replicas of ``values`` (points, replicas), and its 95 % interval cut at ``within``."""
    intervals = [mean_interval(scale * row, within=within) for row in values]
    marker = "o" if len(x) <= 30 else None
    ax.plot(x, [i.mean for i in intervals], linestyle, label=label, color=color, marker=marker, markersize=3)
    if values.shape[1] > 1 and band:
        low, high = [i.low for i in intervals], [i.high for i in intervals]
        ax.fill_between(x, low, high, color=color, alpha=0.25, linewidth=0)


def plot_raster(ax, time, spikes, color="k"):
    """Draw the spikes of some neurons, ``spikes`` (time, neurons) being 0 or 1, against time (ms)."""
    step, neuron = np.nonzero(spikes)
    ax.scatter(time[step], neuron, s=4, marker="|", color=color, linewidths=0.9)
    ax.set_ylim(-1, spikes.shape[1])


def _step(time):
    return time[1] - time[0] if len(time) > 1 else 1.0


def plot_signals(ax, time, signals, limit):
    """Draw graded signals (time, neurons) as colours from -limit (blue) to limit (red); return the image."""
    width = _step(time)
    extent = (time[0] - width / 2, time[-1] + width / 2, -0.5, signals.shape[1] - 0.5)
    return ax.imshow(
        signals.T, aspect="auto", origin="lower", extent=extent, cmap="RdBu_r", vmin=-limit, vmax=limit,
        interpolation="nearest",
    )  # fmt: skip


VERDICTS = MappingProxyType({True: "#c3e6bb", False: "#ee917c", None: "0.92"})  # holds, fails, open


def plot_verdicts(ax, audits):
    """Draw the verdicts of audits (rows) on criteria (columns): green holds, red fails, grey is open.

    Each cell has the short words of its finding, ``audits`` are as of :func:`neurosim.audit.report.audit`.
    """
    names = list(audits[0].findings)
    for row, each in enumerate(audits):
        for column, name in enumerate(names):
            finding = each.findings[name]
            place = (column - 0.5, row - 0.5)
            ax.add_patch(Rectangle(place, 1, 1, facecolor=VERDICTS[finding.holds], edgecolor="white", linewidth=1.5))
            words = "" if finding.short == "yes" else textwrap.fill(finding.short, 10, break_on_hyphens=False)
            ax.text(column, row, words, ha="center", va="center", fontsize=6)
    ax.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(audits) - 0.5, -0.5))
    ax.set_xticks(range(len(names)), names, rotation=35, rotation_mode="anchor", ha="left", fontsize=8)
    labels = [f"{each.model}\n{textwrap.fill(', '.join(map(in_words, each.conditions)), 32)}" for each in audits]
    ax.set_yticks(range(len(audits)), labels, fontsize=7)
    ax.tick_params(length=0, top=False, bottom=False, labeltop=True, labelbottom=False)
    ax.spines[:].set_visible(False)


def new_figure(run, width, height, title):
    """Return a Figure, inches wide and high, with a title above the run's model and data."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(f"{title}\n{run.record['model']}, {run.record['data']['name']}", fontsize=9)
    return figure


def study_of(run):
    """Return the arrays of a run's study by name, without their units; a NothingToDrawError where it has none."""
    try:
        return {name: array for name, (array, _) in run.arrays("study.npz").items()}
    except ParameterError as error:
        raise NothingToDrawError(str(error)) from None


def window(traces, keep):
    """Return the arrays of one window, with time in ms from its start."""
    prefix = f"{keep}/"
    arrays = {name.removeprefix(prefix): value for name, (value, _) in traces.items() if name.startswith(prefix)}
    if not len(arrays["time"]):
        raise ParameterError("traces.npz: no trace yet: the run ended before its first time step was over")
    arrays["start"] = arrays["time"][0]
    dt = np.diff(arrays["time"]).min(initial=np.inf)  # a test between two epochs is no part of the trace
    arrays["time"] = 1e3 * (dt if np.isfinite(dt) else 0) * np.arange(len(arrays["time"]))
    return arrays


def _hidden(arrays):
    """Return the hidden layers whose potentials were kept, from the input up."""
    return sorted(name.removesuffix(".v") for name in arrays if name.endswith(".v") and f"{name[:-2]}.m" in arrays)


def psp_and_modulator(run):
    """A hidden neuron's potential and spikes above its modulatory signal, early and late in learning."""
    traces = run.of_condition("traces.npz")
    steps = int(traces["steps"][0])
    windows = {"early in learning": window(traces, "first"), "late in learning": window(traces, "last")}
    layer = _hidden(windows["early in learning"])[0]
    # the neuron whose potential moves most early and late, so that both columns have something to see
    unit = np.argmax(np.prod([np.ptp(w[f"{layer}.v"], axis=0) for w in windows.values()], axis=0))
    figure = new_figure(run, 7.2, 4.2, f"A neuron of the hidden layer {layer}: potential, spikes and modulatory signal")
    axes = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(3, 2))
    for (title, arrays), (above, below) in zip(windows.items(), axes.T, strict=True):
        plot_potential(above, arrays["time"], arrays[f"{layer}.v"][:, unit], arrays[f"{layer}.s"][:, unit])
        below.step(arrays["time"], arrays[f"{layer}.m"][:, unit], where="post", color="C3", linewidth=1.2)
        below.axhline(0, color="0.5", linewidth=0.6)
        for ax in (above, below):
            mark_presentations(ax, arrays["time"], steps)
        above.set_title(f"{title} (time 0 is {arrays['start']:.3g} s)", fontsize=9)
        below.set_xlabel("time (ms); grey lines: a new image")
    axes[0, 0].set_ylabel("potential V (1)\nticks: spikes")
    axes[1, 0].set_ylabel("modulatory signal\nφ(D) (1)")
    return figure


FLOOR = 1e-5  # of an error: what lies below is as good as none
METRICS = MappingProxyType(  # label, scale, range
    {"error": ("error (%)", 100, (0, 100)), "nse": ("normalised squared error (1)", 1, (0, np.inf))}
)


COLORS = MappingProxyType(  # of conditions, the same in all figures
    {
        "backprop": "C0", "feedback_alignment": "C3", "sparse_feedback_alignment": "C1", "node_perturbation": "C2",
        "shallow": "0.5", "backprop_3_layers": "C9", "backprop_4_layers": "C0", "feedback_alignment_3_layers": "C1",
        "feedback_alignment_4_layers": "C3", "frozen_first_layer": "0.5", "in_phases": "C4", "together": "C3",
        "backprop_softmax": "0.3", "updated_feedback": "C2", "fixed_feedback": "C3",
        "microcircuit": "C2", "lagging": "C1", "first_frozen": "C4", "all_plastic": "C9",
        "bp": "C0", "fa": "C3", "dfa": "C1", "tp": "0.5", "dtp": "C2", "sdtp": "C4", "ao_sdtp": "C9",
    }
)  # fmt: skip
STYLES = MappingProxyType(  # of variants of a condition, by their last word
    {"half": "--", "deep": "-.", "untied": ":", "parallel": "-", "alternating": "--", "augmented": ":"}
)
MANY = 6  # conditions from which bands would hide one another


def condition_color(condition, k=0):
    """Return the color of a condition: its own in all figures, that of the condition it varies, or the k-th."""
    name, _, variant = condition.rpartition("_")
    return COLORS.get(name if variant in STYLES else condition, COLORS.get(condition, f"C{k}"))


def condition_style(condition):
    """Return the line style of a condition."""
    return STYLES.get(condition.rpartition("_")[2], "-")


def learning(run):
    """Error over epochs, mean and 95 % interval over replicas: of every condition, or of training and test."""
    metrics = run.metrics()
    label, scale, within = METRICS[run.record["metric"]]
    conditions = list(dict.fromkeys(metrics["condition"]))
    title = textwrap.fill(run.record.get("title", "learning curve"), 80)
    figure = new_figure(run, 7.2 if len(conditions) > 1 else 5.0, 3.6, title[:1].upper() + title[1:])
    ax = figure.subplots()
    several = len(conditions) > 1
    if several:
        shown = [(name, "test", in_words(name), condition_color(name, k)) for k, name in enumerate(conditions)]
    else:
        shown = [
            (conditions[0], *rest)
            for rest in (("train", "training, while learning", "C1"), ("test", "test, weights frozen", "C0"))
        ]
    by_examples = run.record["metric"] == "nse"
    many = len(conditions) > MANY
    for condition, split, words, color in shown:
        x, values = over_epochs(run, metrics, condition, split, "examples" if by_examples else "epoch")
        style = condition_style(condition)
        plot_band(ax, x, values, words, color, scale=scale, within=within, linestyle=style, band=not many)
    with_paper = False
    for published in run.record["published"]:
        own = published["data"].lower() == run.record["data"]["name"].lower()
        if own and published["condition"] in (None, *conditions) and (published["split"] == "test" or not several):
            color = condition_color(published["condition"]) if several else "k"
            words = None if several else f"paper: {published['text']}"
            ax.axhline(scale * published["value"], color=color, linestyle="--", linewidth=0.8, label=words)
            with_paper = True
    values = metrics[run.record["metric"]]
    if np.nanmax(values, initial=0) > 0:
        ax.set_yscale("log", nonpositive="clip")
        lowest = np.nanmin(np.where(values > 0, values, np.nan))
        if lowest < FLOOR:
            ax.set_ylim(bottom=FLOOR * scale)
    if not np.isfinite(values).any():
        ax.text(0.5, 0.5, "no result yet: no presentation was over", transform=ax.transAxes, ha="center")
    if run.record["metric"] == "error":
        _plain_numbers(ax)
    if by_examples:
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    else:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("training examples shown" if by_examples else "epoch")
    ax.set_ylabel(f"test {label}" if several else label)
    replicas = len(set(metrics["replica"]))
    line = "\n" if several else " "
    band = f"mean, band:{line}95 % interval of {replicas} replicas" if replicas > 1 else "one replica"
    band = f"means of {replicas} replicas" if many and replicas > 1 else band
    dashed = f";{line}dashed: paper" if several and with_paper else ""
    outside = dict(loc="upper left", bbox_to_anchor=(1, 1)) if several else {}
    ax.legend(frameon=False, fontsize=8, title=f"{band}{dashed}", title_fontsize=7, **outside)
    return figure


def _plain_numbers(ax):
    """Write the numbers of an axis of percentages as they are spoken; a short range is drawn without a logarithm."""
    low, high = ax.get_ylim()
    if high < 4 * low:
        ax.set_yscale("linear")
    else:
        ax.yaxis.set_minor_formatter(FuncFormatter(lambda v, _: f"{v:g}" if f"{v:e}"[0] in "235" else ""))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def in_words(name):
    """Return the name of a condition as it is shown."""
    return name.replace("_", " ")


def over_epochs(run, metrics, condition, split, x="epoch", column=None):
    """Return (x, values (epochs, replicas)) of a condition and split."""
    chosen = (metrics["condition"] == condition) & (metrics["split"] == split)
    replicas = len(set(metrics["replica"][chosen]))
    epochs = np.unique(metrics["epoch"][chosen])
    if chosen.sum() != len(epochs) * replicas:
        raise ParameterError(f"{run.folder / 'metrics.csv'}: not one row for every epoch, replica and split")
    values = metrics[column or run.record["metric"]][chosen].reshape(len(epochs), replicas)
    return metrics[x][chosen].reshape(len(epochs), replicas)[:, 0], values


def last_tested(run, metrics, condition):
    """Return the test errors of a condition's last epoch that has any, (replicas,); nan where none has."""
    values = over_epochs(run, metrics, condition, "test")[1]
    whole = values[np.isfinite(values).all(axis=1)]
    return whole[-1] if len(whole) else np.full(values.shape[1], np.nan)


def raster(run):
    """Spikes of all forward populations and signals of all feedback populations, late in learning."""
    traces = run.of_condition("traces.npz")
    steps = int(traces["steps"][0])
    arrays = window(traces, "last")
    kept = slice(-RASTER_PRESENTATIONS * steps, None)
    time = arrays["time"][kept] - arrays["time"][kept][0]
    forward = [name.removesuffix(".s") for name in arrays if name.endswith(".s")]
    senders = [name.removesuffix(".m") for name in arrays if name.endswith(".m")]
    feedback = [name for name in senders if name not in forward]
    rows = [*reversed(forward), *feedback]
    figure = new_figure(run, 7.2, 0.95 * len(rows) + 1.0, "All populations over a few presentations, late in learning")
    axes = figure.subplots(len(rows), 1, sharex=True)
    most = max(arrays[f"{name}.s"].shape[1] for name in forward)
    signals = [arrays[f"{name}.m"][kept] for name in feedback]
    limit = max([np.abs(s).max() for s in signals] + [1e-6])
    for name, ax in zip(rows, axes, strict=True):
        if name in forward:
            plot_raster(ax, time, arrays[f"{name}.s"][kept])
        else:
            image = plot_signals(ax, time, arrays[f"{name}.m"][kept], limit)
        mark_presentations(ax, time - 0.5 * _step(time), steps)
        ax.set_ylabel(name.replace("_", "\n"), rotation=0, ha="right", va="center")
        ax.set_yticks([])
    axes[-1].set_xlabel("time (ms); grey lines: a new image")
    axes[0].set_title(f"spikes of forward neurons, output y on top, input x below (up to {most} of each)", fontsize=8)
    if feedback:
        axes[len(forward)].set_title("signals of feedback neurons, from the error neurons down", fontsize=8)
        figure.colorbar(image, ax=list(axes[len(forward) :]), label="signal φ(D) (1)", aspect=30, pad=0.01)
    return figure


def alignment(run):
    """Angle between the signal sent by B and the one that transposed forward weights would send, per layer."""
    traces = run.of_condition("traces.npz")
    examples, angles = traces["angles/examples"][0], traces["angles/angle"][0]
    if not len(traces["angles/layers"][0]):
        raise NothingToDrawError(f"{run.folder}: this run has no random feedback, whose angle could be drawn")
    figure = new_figure(run, 5.0, 3.6, "Forward weights align with random feedback")
    ax = figure.subplots()
    for k, layer in enumerate(traces["angles/layers"][0]):
        plot_band(ax, examples, angles[:, k], f"into {layer}", f"C{k}", within=(0, 180))
    ax.axhline(90, color="k", linestyle="--", linewidth=0.8)
    last = examples[-1] if len(examples) else 0
    above = dict(xytext=(0, 3), textcoords="offset points", ha="right", fontsize=7)
    ax.annotate("orthogonal: what chance gives", (last, 90), **above)
    highest = 180 if np.nanmax(angles, initial=0) > 100 else 105
    ax.set_ylim(0, highest)
    ax.set_yticks(range(0, highest + 1, 15))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.set_xlabel("training images shown")
    ax.set_ylabel("angle between B m and Wᵀ m (degrees)")
    ax.legend(frameon=False, fontsize=8)
    return figure


def angles(run):
    """Angle between the modulatory signals and backprop's while examples are shown, of every condition that has one."""
    figure = new_figure(run, 5.4, 3.6, "Modulatory signals turn towards backprop's")
    ax = figure.subplots()
    names = [name for name in run.record["conditions"] if _has_angles(run, name)]
    if not names:
        raise NothingToDrawError(
            f"{run.folder}: no condition of this run has random feedback, whose angle could be drawn"
        )
    for k, name in enumerate(names):
        traces = run.of_condition("traces.npz", name)
        examples, measured = traces["angles/examples"][0], traces["angles/angle"][0]
        layers = traces["angles/layers"][0]
        points = _thinned(len(examples))
        for layer, values, style in zip(
            layers, measured.transpose(1, 0, 2), ("-", "--", ":") * len(layers), strict=False
        ):
            into = f", into {layer}" if len(layers) > 1 else ""
            label, color = f"{in_words(name)}{into}", condition_color(name, k)
            plot_band(ax, examples[points], values[points], label, color, within=(0, 180), linestyle=style)
    ax.axhline(90, color="k", linestyle="--", linewidth=0.8)
    above = dict(xytext=(0, 3), textcoords="offset points", ha="right", fontsize=7)
    ax.annotate("orthogonal: what chance gives", (ax.get_xlim()[1], 90), **above)
    ax.set_ylim(0, 105)
    ax.set_yticks(range(0, 106, 15))
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.set_xlabel("training examples shown")
    ax.set_ylabel("angle between δ and backprop's δ (degrees)")
    ax.legend(frameon=False, fontsize=8, loc="lower left")
    return figure


def _has_angles(run, condition):
    try:
        return len(run.of_condition("traces.npz", condition)["angles/layers"][0]) > 0
    except ParameterError:
        return False  # not simulated yet


def _thinned(count, most=400):
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int)) if count else np.zeros(0, int)


def features(run, count=10):
    """Weights into some hidden neurons as images, one row a condition: red positive, blue negative."""
    names = list(run.record["conditions"])
    weights = {}
    for name in names:
        try:
            found = run.of_condition("weights.npz", name)["W_h1"][0][0]
        except ParameterError:
            continue
        side = int(np.sqrt(len(found)))
        if side * side == len(found):
            weights[name] = (found, side)
    if not weights:
        raise NothingToDrawError(f"{run.folder}: no weights of square images to draw")
    figure = new_figure(
        run,
        7.2,
        0.72 * len(weights) + 0.6,
        "Incoming weights of hidden neurons: red positive, blue negative, each image scaled to its largest",
    )
    rows = figure.subplots(len(weights), count, squeeze=False)
    for axes, (name, (found, side)) in zip(rows, weights.items(), strict=True):
        units = np.linspace(0, found.shape[1] - 1, count).astype(int)
        for ax, unit in zip(axes, units, strict=True):
            image = found[:, unit].reshape(side, side)
            limit = np.abs(image).max() or 1
            ax.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
            ax.set_xticks([])
            ax.set_yticks([])
            ax.spines[:].set_visible(False)
        axes[0].set_ylabel(in_words(name).replace(" ", "\n"), rotation=0, ha="right", va="center", fontsize=7)
    return figure


def final(run):
    """Final test error of every condition: each replica a dot, mean and 95 % interval beside them."""
    metrics = run.metrics()
    label, scale, within = METRICS[run.record["metric"]]
    conditions = list(dict.fromkeys(metrics["condition"]))
    lasts = [scale * np.maximum(last_tested(run, metrics, name), FLOOR) for name in conditions]
    if not any(np.isfinite(values).any() for values in lasts):
        raise NothingToDrawError(f"{run.folder}: no test after learning is over yet")
    figure = new_figure(run, max(6.4, 0.85 * len(conditions)), 3.6, "After learning")
    ax = figure.subplots()
    for values in zip(*lasts, strict=True):
        ax.plot(range(len(conditions)), values, color="0.8", linewidth=0.5, zorder=0)
    for k, values in enumerate(lasts):
        interval = mean_interval(values, within=within)
        color = condition_color(conditions[k], k)
        ax.plot(np.full(len(values), k), values, "o", color=color, markersize=3, alpha=0.5)
        bars = [[interval.mean - interval.low], [interval.high - interval.mean]]
        ax.errorbar([k + 0.2], [interval.mean], bars, fmt="o", color=color, capsize=3)
    ax.set_xticks(
        range(len(conditions)),
        [textwrap.fill(in_words(name), 12) for name in conditions],
        fontsize=8,
    )
    ax.set_yscale("log", nonpositive="clip")
    ax.set_ylabel(f"test {label}")
    by_error = run.record["metric"] == "error"
    if by_error:
        _plain_numbers(ax)
    least = "" if by_error else f"; less than {FLOOR * scale:g} is drawn there"
    ax.set_title(f"grey lines join replicas; bars: mean and 95 % interval{least}", fontsize=7)
    return figure


def phases(run):
    """Error and angles over the artificial phases in which W0, W and W0 learn alone."""
    condition = "in_phases"
    if condition not in run.record["conditions"]:
        raise NothingToDrawError(f"{run.folder}: the run has no condition {condition}")
    metrics = run.metrics()
    traces = run.of_condition("traces.npz", condition)
    epochs, units = traces["measures/epochs"][0], traces["measures/angle_units"][0]
    pseudo = traces["measures/angle_pinv"][0]
    length = run.record["parameters"]["phases"]["value"]
    borders = np.concatenate([[0], np.cumsum(length)])
    figure = new_figure(run, 6.4, 5.2, "Learning in three artificial phases")
    above, below = figure.subplots(2, 1, sharex=True)
    shown, values = over_epochs(run, metrics, condition, "test")
    plot_band(
        above,
        shown,
        values,
        f"test error, mean and 95 % interval of {values.shape[1]} replicas",
        "C0",
        within=(0, np.inf),
    )
    above.legend(frameon=False, fontsize=8, loc="lower left")
    above.set_ylabel("normalised squared error (1)")
    above.set_ylim(bottom=0)
    quartiles = np.percentile(units.reshape(len(units), -1), [10, 50, 90], axis=1)
    below.plot(epochs, quartiles[1], color="C3", label="W and Bᵀ, hidden unit by hidden unit: median")
    below.fill_between(
        epochs, quartiles[0], quartiles[2], color="C3", alpha=0.25, linewidth=0, label="10th to 90th percentile"
    )
    plot_band(below, epochs, pseudo, "B and the pseudoinverse of W", "C2", within=(0, 180))
    below.axhline(90, color="k", linestyle="--", linewidth=0.8)
    below.set_ylim(0, 120)
    below.set_yticks(range(0, 121, 30))
    below.set_ylabel("angle (degrees)")
    below.set_xlabel("epoch")
    below.legend(frameon=False, fontsize=8, loc="lower left")
    for ax in (above, below):
        for border in borders[1:-1]:
            ax.axvline(border, **BORDER)
    for start, end, word in zip(borders[:-1], borders[1:], ("W0", "W", "W0"), strict=False):
        above.text(
            (start + end) / 2,
            1.02,
            f"only {word} learns",
            ha="center",
            fontsize=8,
            transform=above.get_xaxis_transform(),
        )
    return figure


FIGURES = MappingProxyType(
    {each.__name__: each for each in (psp_and_modulator, learning, raster, alignment, angles, features, final, phases)}
)
