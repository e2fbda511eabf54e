"""Figures of a sweep: what a metric was over the settings. Rows of the sweep's table to the Axes that are given."""

import io
import itertools
from dataclasses import dataclass

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from neurosim.analysis import mean_interval
from neurosim.plots import STYLE
from neurosim.sweeps.sampling import heading

MAPS = {"lowest": "viridis", "highest": "viridis_r"}  # the best is dark
GONE = dict(color="0.65", linestyle=(0, (4, 3)), linewidth=0.8, zorder=1)  # a task that diverged
FEW = 9  # values that each get a tick, and a row of a heat map; more are put into bins
PAIRS = 4  # parameters of which a heat map shows every two
ROOM = 24  # letters of a tick's label


@dataclass(frozen=True)
class Dimension:
    """One axis: a column of the table, with the values that occur in it, in its own scale.

    Attributes
    ----------
    column : str
        Of the table.
    label : str
        Name and unit.
    values : tuple
        What occurs: numbers in order, or words in the order of the table.
    logarithmic : bool
    """

    column: str
    label: str
    values: tuple
    logarithmic: bool = False

    @property
    def numeric(self):
        """Whether its values are numbers."""
        return not isinstance(self.values[0], str)

    def place(self, value):
        """Return where a value is: 0 at one end, 1 at the other."""
        if not self.numeric:
            return self.values.index(value) / max(1, len(self.values) - 1)
        low, high, value = self._scaled([self.values[0], self.values[-1], value])
        return 0.5 if high == low else float((value - low) / (high - low))

    def ticks(self):
        """Return (place, label) of what is written beside the axis."""
        if not self.numeric or len(self.values) <= FEW:
            shown = self.values
        else:
            low, high = self._scaled([self.values[0], self.values[-1]])
            shown = np.linspace(low, high, 5)
            shown = np.exp(shown) if self.logarithmic else shown
            shown = np.clip(shown, self.values[0], self.values[-1])
        return [(self.place(value), _short(value)) for value in shown]

    def bins(self):
        """Return the labels of a heat map's rows, and a function from a value to its row."""
        if not self.numeric or len(self.values) <= FEW:
            return [_short(value) for value in self.values], self.values.index
        edges = np.linspace(*self._scaled([self.values[0], self.values[-1]]), 7)
        centres = (edges[:-1] + edges[1:]) / 2
        labels = [_short(np.exp(each) if self.logarithmic else each) for each in centres]
        return labels, lambda value: int(np.clip(np.searchsorted(edges, self._scaled([value])[0], "right") - 1, 0, 5))

    def _scaled(self, values):
        return np.log(values) if self.logarithmic else np.asarray(values, float)


def _short(value):
    text = value if isinstance(value, str) else f"{value:.3g}"
    return text if len(text) <= ROOM else text[: ROOM - 1] + "\N{HORIZONTAL ELLIPSIS}"


def dimensions(sweep, rows):
    """Return the Dimensions in which the tasks differ: the conditions, and the parameters in the file's order."""
    found = []
    conditions = tuple(dict.fromkeys(row["condition"] for row in rows))
    if len(conditions) > 1:
        found.append(Dimension("condition", "condition", conditions))
    for parameter in sweep.parameters.values():
        column = heading(parameter)
        values = list(dict.fromkeys(row[column] for row in rows))
        if len(values) > 1:
            unit = "" if parameter.unit == "1" or column != parameter.name else f" ({parameter.unit})"
            numeric = not any(isinstance(value, str) for value in values)
            values = tuple(sorted(values)) if numeric else tuple(map(str, values))
            logarithmic = numeric and parameter.name in sweep.logarithmic and values[0] > 0
            found.append(Dimension(column, column + unit, values, logarithmic))
    return found


def images(sweep, rows):
    """Yield (name, PNG) of the figures that there is something to show in.

    Parameters
    ----------
    sweep : neurosim.sweeps.statement.Sweep
    rows : list of dict
        Of its table.
    """
    import matplotlib

    rows = [row for row in rows if row["status"] in ("finished", "diverged")]
    swept = dimensions(sweep, rows) if any(row["mean"] is not None for row in rows) else []
    for name, draw, least, most in (
        ("curve", curve, 1, 1),
        ("parallel_coordinates", parallel_coordinates, 2, np.inf),
        ("heat_map", heat_map, 2, np.inf),
    ):
        curves = [each for each in swept if each.column != "condition"]
        if least <= len(curves if name == "curve" else swept) <= most:
            with matplotlib.rc_context(dict(STYLE)):
                stream = io.BytesIO()
                figure = draw(sweep, rows, swept)
                title = f"{draw.__doc__.splitlines()[0]}"
                figure.savefig(stream, format="png", metadata={"Title": title}, bbox_inches="tight")
            yield name, stream.getvalue()


def _title(sweep, rows):
    """Return the metric in words, and of how many tasks it was."""
    gone = len({row["task"] for row in rows if row["status"] == "diverged"})
    tasks = len({row["task"] for row in rows})
    when = (
        "" if sweep.when == "last" else f" ({sweep.when})" if isinstance(sweep.when, str) else f", epoch {sweep.when}"
    )
    return f"{sweep.metric}{when}", f"{tasks} tasks" + (f", {gone} diverged (grey, dashed)" if gone else "")


def _colors(rows):
    means = [row["mean"] for row in rows if row["mean"] is not None]
    return Normalize(min(means), max(means))


def parallel_coordinates(sweep, rows, swept):
    """Every task as a line through its settings, in the colour of its metric."""
    figure = Figure(figsize=(max(5.0, 1.6 * len(swept) + 2.6), 4.2), layout="constrained")
    ax = figure.subplots()
    metric, tasks = _title(sweep, rows)
    norm = _colors(rows)
    thin = np.clip(30 / len(rows), 0.35, 1)
    best_last = sorted((row for row in rows if row["mean"] is not None), key=lambda row: row["mean"])
    if sweep.best == "lowest":
        best_last.reverse()
    colors = ScalarMappable(norm, MAPS[sweep.best])
    for row in [row for row in rows if row["mean"] is None]:
        ax.plot(range(len(swept)), [each.place(row[each.column]) for each in swept], **GONE)
    for row in best_last:
        places = [each.place(row[each.column]) for each in swept]
        style = dict(color=colors.to_rgba(row["mean"]), linewidth=0.8 + thin, alpha=0.4 + 0.6 * thin, zorder=2)
        if row["status"] == "diverged":
            style |= GONE
        ax.plot(range(len(swept) + 1), [*places, float(norm(row["mean"])) if norm.vmax > norm.vmin else 0.5], **style)
    halo = dict(boxstyle="round,pad=0.1", facecolor="white", edgecolor="none", alpha=0.75)
    for k, each in enumerate(swept):
        ax.axvline(k, color="k", linewidth=0.8, zorder=3)
        for place, label in each.ticks():
            ax.plot([k - 0.02, k], [place, place], color="k", linewidth=0.8, zorder=3)
            ax.text(k - 0.04, place, label, ha="right", va="center", fontsize=7, zorder=4, bbox=halo)
    ax.axvline(len(swept), color="k", linewidth=0.8, zorder=3)
    ax.set_xticks(range(len(swept) + 1), [*(_on_two_lines(each) for each in swept), metric])
    ax.tick_params(axis="x", length=0)
    ax.set_yticks([])
    ax.set_ylim(-0.04, 1.04)
    ax.set_xlim(-0.35, len(swept) + 0.05)
    for side in ax.spines.values():
        side.set_visible(False)
    ax.set_title(f"{sweep.spec.name}: {tasks}", loc="left")
    figure.colorbar(colors, ax=ax, label=metric, pad=0.02)
    return figure


def _on_two_lines(dimension):
    scale = "log" if dimension.logarithmic else ""
    return f"{dimension.label}\n{scale}".rstrip()


def heat_map(sweep, rows, swept):
    """The mean of the metric over every two of the settings, over all values of the others."""
    pairs = list(itertools.combinations(swept[:PAIRS], 2))
    columns = min(len(pairs), 3)
    lines = -(-len(pairs) // columns)
    figure = Figure(figsize=(4.4 * columns + 0.8, 3.6 * lines), layout="constrained")
    metric, _ = _title(sweep, rows)
    tables = [_cells(rows, *pair) for pair in pairs]
    finite = np.concatenate([means[np.isfinite(means)] for means, *_ in tables])
    norm = Normalize(finite.min(), finite.max())
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for ax, (x, y), (means, across, up) in itertools.zip_longest(axes, pairs, tables, fillvalue=(None,) * 3):
        if x is None:
            ax.set_visible(False)
            continue
        ax.set_facecolor("0.9")
        ax.imshow(np.ma.masked_invalid(means), origin="lower", aspect="auto", cmap=MAPS[sweep.best], norm=norm)
        ax.set_xticks(range(len(across)), across, rotation=35 if max(map(len, across)) * len(across) > 45 else 0)
        ax.set_yticks(range(len(up)), up)
        ax.set_xlabel(x.label)
        ax.set_ylabel(y.label)
        if means.size <= 64:
            for (row, column), value in np.ndenumerate(means):
                dark = np.isfinite(value) and (norm(value) < 0.5) == (sweep.best == "lowest")
                text = f"{value:.3g}" if np.isfinite(value) else "none"
                ax.text(column, row, text, ha="center", va="center", fontsize=7, color="w" if dark else "k")
    told = ["mean over the other settings"] * (len(swept) > 2)
    told += ["grey: no task is finished"] * any(np.isnan(means).any() for means, *_ in tables)
    figure.suptitle(": ".join([sweep.spec.name, *["; ".join(told)] * bool(told)]), x=0.01, ha="left", fontsize=9)
    figure.colorbar(ScalarMappable(norm, MAPS[sweep.best]), ax=list(axes[: len(pairs)]), label=metric)
    return figure


def _cells(rows, x, y):
    """Return the means over two dimensions (y, x), nan where there is none, and the labels of both."""
    (across, column), (up, line) = x.bins(), y.bins()
    found = [[[] for _ in across] for _ in up]
    for row in rows:
        if row["mean"] is not None and row["status"] == "finished":
            found[line(row[y.column])][column(row[x.column])].append(row["mean"])
    return np.array([[np.mean(cell) if cell else np.nan for cell in each] for each in found]), across, up


def curve(sweep, rows, swept):
    """The metric over the one parameter that is swept, with its interval."""
    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    ax = figure.subplots()
    metric, tasks = _title(sweep, rows)
    x = next(each for each in swept if each.column != "condition")
    words = {} if x.numeric else {value: k for k, value in enumerate(x.values)}
    conditions = dict.fromkeys(row["condition"] for row in rows)
    for k, condition in enumerate(conditions):
        points = []
        for value in x.values:
            mine = [row for row in rows if row["condition"] == condition and row[x.column] == value]
            mine = [row for row in mine if row["mean"] is not None and row["status"] == "finished"]
            if mine:
                found = mean_interval([row["mean"] for row in mine])
                low, high = (mine[0]["low"], mine[0]["high"]) if len(mine) == 1 else (found.low, found.high)
                points.append(
                    (words.get(value, value), found.mean, *(found.mean if v is None else v for v in (low, high)))
                )
        if points:
            at, mean, low, high = np.array(points, float).T
            ax.errorbar(
                at, mean, [np.nan_to_num(mean - low), np.nan_to_num(high - mean)],
                fmt="o-" if x.numeric else "o", color=f"C{k}", markersize=4, capsize=2, label=condition,
            )  # fmt: skip
    for value in {row[x.column] for row in rows if row["status"] == "diverged"}:
        ax.axvline(words.get(value, value), **GONE)
    if x.logarithmic:
        ax.set_xscale("log")
    if words:
        ax.set_xticks(range(len(words)), [_short(word) for word in words])
    ax.set_xlabel(x.label)
    ax.set_ylabel(f"{metric}, mean and 95 % interval")
    ax.set_title(f"{sweep.spec.name}: {tasks}", loc="left")
    if len(conditions) > 1:
        ax.legend(frameon=False, fontsize=8)
    return figure
