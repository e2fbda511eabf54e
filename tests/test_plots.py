"""Figures show what the run's files hold, with labels and units; nothing is shown on a screen."""

import json
import re
import shutil

import matplotlib
import numpy as np
import pytest
from every import EVERY
from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.image import imread
from PIL import Image
from scipy import stats

from neurosim import data, plots
from neurosim.errors import ParameterError
from neurosim.plots import FIGURES, draw
from neurosim.runs import Run
from neurosim.simulate import simulate
from neurosim_models.lillicrap_2016 import SPIKING

SETTINGS = {"hidden": "20,15", "output": "10", "epochs": "3", "replicas": "3", "lanes": "5", "steps": "4"}
COUNTS = {"epoch", "iteration", "training images shown", "training examples shown"}  # what is counted has no unit
STEPS, KEPT = 4, 12


def simulated(folder, **settings):
    values = SPIKING.resolve("digits", SETTINGS | settings)
    simulate("lillicrap_2016.spiking", SPIKING, data.load("digits").limit(100), values, 1, folder)
    return Run.open(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of three epochs and three replicas, opened from its folder."""
    return simulated(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def ax():
    return Figure().subplots()


def described(figure):
    """Return the axes of a figure on its grid, without colour bars."""
    return [ax for ax in figure.axes if ax.get_subplotspec() is not None and ax.get_label() != "<colorbar>"]


def named(ax):
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


# All figures of a run of every experiment

every_figure = pytest.mark.parametrize(
    ("experiment", "figure"),
    [
        pytest.param(experiment, figure, id=f"{experiment}-{name}")
        for experiment, each in EVERY.items()
        for name, figure in zip(each.figure_names, each.figures, strict=True)
    ],
)


def drawing(figure):
    """Return the function that draws a figure."""
    return figure if callable(figure) else FIGURES[figure]


def test_every_figure_is_drawn_by_an_experiment():
    drawn = [figure for each in EVERY.values() for figure in each.figures]
    assert {each for each in drawn if isinstance(each, str)} == set(FIGURES)
    own = {each for each in drawn if callable(each)}
    assert len({each.__name__ for each in own} | set(FIGURES)) == len(own) + len(FIGURES), "a name is one figure's"


@every_figure
def test_figure_says_what_it_shows(experiment, figure):
    first, *rest = drawing(figure).__doc__.splitlines()
    assert first.endswith(".") and len(first) < 160 and not (rest and rest[0].strip())


@every_figure
def test_figure_is_written_whole_and_not_blank(small_run, tmp_path, experiment, figure):
    run, name = small_run(experiment), drawing(figure).__name__
    copy = Run(shutil.copytree(run.folder, tmp_path / "run"), run.record)
    shutil.rmtree(copy.folder / "figures")
    before = dict(matplotlib.rcParams)
    (path,) = draw(copy, [figure], skip=False)
    assert path == copy.folder / "figures" / f"{name}.png"
    assert list(path.parent.iterdir()) == [path]
    pixels = imread(path)[..., :3]
    assert min(pixels.shape[:2]) > 300 and pixels.std() > 0.05
    assert dict(matplotlib.rcParams) == before and not pyplot.get_fignums()
    with Image.open(path) as image:
        assert image.text["Title"] == drawing(figure).__doc__.splitlines()[0]


@every_figure
def test_axes_have_labels_with_units(small_run, experiment, figure):
    """What names no quantity has no unit: rows of populations, of conditions or of values, axes of words, no ticks."""
    run, name = small_run(experiment), drawing(figure).__name__
    figure = drawing(figure)(run)
    recorded = [key for key in run.of_condition("traces.npz") if key.endswith((".s", ".m"))]
    rows = {
        "raster": {key.split("/")[1][:-2].replace("_", "\n") for key in recorded},
        "features": {condition.replace("_", "\n") for condition in run.record["conditions"]},
        "filters": {f"channel {k}" for k in range(1, 9)},
        "cleaned_images": {"clean", "noisy", "inhibited", "released, s = 1", "released, s = 0.1"},
        "generated": {"mean of the class"},
    }.get(name, set())
    on_grid = described(figure)
    assert on_grid
    for ax in on_grid:
        place = ax.get_subplotspec()
        labels = [ax.get_xlabel()] if place.is_last_row() and names_a_quantity(ax.xaxis) else []
        labels += [ax.get_ylabel()] if place.is_first_col() else []
        for label in labels:
            told = label in COUNTS | rows | {"weights"} or re.match(r"\S+ = ", label)
            told = told or re.search(r"\S \([^()]+\)", label)
            assert told, f"{label!r} has no unit"
    for ax in set(figure.axes) - set(on_grid):
        assert re.search(r"\([^()]+\)$", ax.get_ylabel())
    assert experiment in figure.get_suptitle()
    assert run.record["data"]["name"] in figure.get_suptitle()


def names_a_quantity(axis):
    words = [label.get_text() for label in axis.get_ticklabels()]
    return len(axis.get_ticklocs()) > 0 and not any(re.match("[A-Za-z]", word) for word in words)


@every_figure
def test_several_lines_have_a_legend(small_run, experiment, figure):
    """Their own, or one for all panels, in which one label is one look; lines of one panel look unlike."""
    drawn = drawing(figure)(small_run(experiment))
    looks, legends = {}, [*drawn.legends, *(ax.get_legend() for ax in drawn.axes if ax.get_legend())]
    everywhere = {text.get_text() for legend in legends for text in legend.get_texts()}
    for ax in drawn.axes:
        lines, legend = named(ax), ax.get_legend()
        bands = [band.get_label() for band in ax.collections if not band.get_label().startswith("_")]
        look = {label: (line.get_color(), line.get_linestyle(), line.get_marker()) for label, line in lines.items()}
        if legend and lines:
            shown = [text.get_text() for text in legend.get_texts()]
            assert shown == ax.get_legend_handles_labels()[1] and sorted(shown) == sorted([*lines, *bands])
        elif len(lines) > 1:
            assert set(lines) <= everywhere
            assert all(looks.setdefault(label, each) == each for label, each in look.items())
        looks |= look
        assert len(set(look.values())) == len(lines)


def test_figures_are_drawn_of_runs_of_all_kinds(tmp_path):
    """One replica, one hidden layer, one step an image, and fewer presentations than a window or a raster hold."""
    small = simulated(tmp_path / "run", hidden="7", replicas="1", epochs="1", steps="1", lanes="50")
    assert [path.stem for path in draw(small, SPIKING.figures)] == list(SPIKING.figures)


def test_unknown_figure_is_answered_with_the_nearest(run):
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")}
    with pytest.raises(ParameterError, match="unknown figure 'lerning': did you mean 'learning'"):
        draw(run, ["lerning"])
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")} == before


# What the figures show


def test_learning_curve_is_mean_and_t_interval_over_replicas(run):
    (ax,) = FIGURES["learning"](run).axes
    metrics, lines = run.metrics(), named(ax)
    bands = {tuple(band.get_facecolor()[0][:3]): band for band in ax.collections}
    assert len(bands) == 2
    for split, label in (("train", "training, while learning"), ("test", "test, weights frozen")):
        errors = np.array([metrics["error"][(metrics["split"] == split) & (metrics["epoch"] == k)] for k in (1, 2, 3)])
        np.testing.assert_array_equal(lines[label].get_xdata(), [1, 2, 3])
        np.testing.assert_allclose(lines[label].get_ydata(), 100 * errors.mean(axis=1))
        half = stats.t.ppf(0.975, 2) * stats.sem(100 * errors, axis=1)
        band = bands[matplotlib.colors.to_rgb(lines[label].get_color())].get_paths()[0].vertices
        low, high = 100 * errors.mean(axis=1) - half, 100 * errors.mean(axis=1) + half
        for x, ends in zip((1, 2, 3), np.sort(np.stack([low, high], axis=1)), strict=True):
            found = band[band[:, 0] == x, 1]
            assert (found.min(), found.max()) == pytest.approx(tuple(ends))
    assert len(lines) == 2, "the paper's number is for other data"
    assert "95 % interval of 3 replicas" in ax.get_legend().get_title().get_text()


def test_learning_curve_shows_the_papers_number_beside_its_own_data(run, tmp_path):
    copy = shutil.copytree(run.folder, tmp_path / "run")
    record = run.record | {"data": run.record["data"] | {"name": "mnist"}}
    (copy / "run.json").write_text(json.dumps(record))
    (ax,) = FIGURES["learning"](Run.open(copy)).axes
    (published,) = SPIKING.published
    line = named(ax)[f"paper: {published.text}"]
    assert set(line.get_ydata()) == {100 * published.value}
    low, high = ax.get_ylim()
    assert low < 1.8 < high


def test_alignment_is_the_mean_angle_of_each_layer_over_replicas(run):
    (ax,) = FIGURES["alignment"](run).axes
    traces = {name: array for name, (array, _) in run.of_condition("traces.npz").items()}
    lines = named(ax)
    assert list(lines) == ["into h1", "into h2"]
    for k, line in enumerate(lines.values()):
        np.testing.assert_array_equal(line.get_xdata(), traces["angles/examples"])
        np.testing.assert_allclose(line.get_ydata(), traces["angles/angle"][:, k].mean(axis=1))
    low, high = ax.get_ylim()
    assert low <= 0 and high >= 90


def test_angles_above_ninety_degrees_stay_inside_the_figure(run, tmp_path):
    """Feedback that points against the transposed weights is a result, and must be seen."""
    copy = Run(shutil.copytree(run.folder, tmp_path / "run"), run.record)
    arrays, name = copy.arrays("traces.npz"), "feedback_alignment/angles/angle"
    angles, unit = arrays[name]
    copy.write_arrays("traces.npz", arrays | {name: (180 - 0.1 * angles, unit)})
    (ax,) = FIGURES["alignment"](copy).axes
    assert ax.get_ylim()[1] >= max(line.get_ydata().max() for line in named(ax).values())


def test_raster_has_a_tick_for_every_spike_of_the_last_presentations(run):
    figure = FIGURES["raster"](run)
    traces = {name: array for name, (array, _) in run.of_condition("traces.npz").items()}
    shown = slice(-6 * STEPS, None)
    axes = {ax.get_ylabel().replace("\n", "_"): ax for ax in described(figure)}
    assert list(axes) == ["y", "h2", "h1", "x", "error", "feedback_h2", "feedback_h1"]
    for name in ("y", "h2", "h1", "x"):
        (ticks,) = (c for c in axes[name].collections if len(c.get_offsets()))
        step, neuron = np.nonzero(traces[f"last/{name}.s"][shown])
        np.testing.assert_allclose(ticks.get_offsets(), np.stack([step, neuron], axis=1), atol=1e-6)
    signals = {name: traces[f"last/{name}.m"][shown] for name in ("error", "feedback_h2", "feedback_h1")}
    for name, values in signals.items():
        (image,) = axes[name].images
        np.testing.assert_array_equal(image.get_array(), values.T)
        high = max(np.abs(each).max() for each in signals.values())
        assert image.get_clim() == (-high, high), "one scale for all"


def test_time_has_no_hole_where_a_test_came_between_recorded_presentations(tmp_path):
    """With two presentations an epoch, windows go over several epochs: what is not recorded must not be drawn."""
    small = simulated(tmp_path / "run", lanes="50", replicas="1")
    for ax in described(FIGURES["psp_and_modulator"](small)):
        np.testing.assert_allclose(np.diff(ax.lines[0].get_xdata()), 1, atol=1e-6)
    for ax in described(FIGURES["raster"](small)):
        borders = [line.get_xdata()[0] for line in ax.lines]
        np.testing.assert_allclose(borders, np.arange(6) * STEPS - 0.5, atol=1e-6)
        for image in ax.images:
            np.testing.assert_allclose(image.get_extent()[:2], (-0.5, 6 * STEPS - 0.5), atol=1e-6)


def test_potential_and_modulator_are_those_of_one_neuron_early_and_late(run):
    axes = np.array(described(FIGURES["psp_and_modulator"](run))).reshape(2, 2)
    traces = {name: array for name, (array, _) in run.of_condition("traces.npz").items()}
    units = set()
    for (above, below), window in zip(axes.T, ("first", "last"), strict=True):
        time = 1e3 * (traces[f"{window}/time"] - traces[f"{window}/time"][0])
        potential, signal = (ax.lines[0].get_ydata() for ax in (above, below))
        (unit,) = np.flatnonzero((traces[f"{window}/h1.v"] == potential[:, None]).all(axis=0))
        units.add(unit)
        np.testing.assert_array_equal(signal, traces[f"{window}/h1.m"][:, unit])
        np.testing.assert_allclose(above.lines[0].get_xdata(), time)
        ticks = [path.vertices[0, 0] for path in above.collections[0].get_paths()]
        number = np.linspace(0, 19, 20).astype(int)[unit]
        np.testing.assert_allclose(ticks, time[traces[f"{window}/h1.s"][:, number] == 1])
        borders = [line.get_xdata()[0] for line in below.lines[2:]]
        np.testing.assert_allclose(borders, np.arange(KEPT) * STEPS, atol=1e-6)
    assert len(units) == 1


# What they are made of


def test_borders_lie_at_the_start_of_every_presentation(ax):
    plots.mark_presentations(ax, np.arange(15) * 0.5, steps=5)
    assert [line.get_xdata()[0] for line in ax.lines] == [0, 2.5, 5]


def test_potential_has_its_spikes_above_it(ax):
    time, potential = np.arange(6.0), np.array([0.0, 2, 1, -1, 3, 0])
    plots.plot_potential(ax, time, potential, [0, 1, 0, 0, 1, 0])
    ticks = [path.vertices for path in ax.collections[0].get_paths()]
    assert [tick[0, 0] for tick in ticks] == [1, 4]
    ax.autoscale_view()
    highest = ax.transAxes.inverted().transform(ax.transData.transform((0, potential.max())))[1]
    assert highest < min(tick[:, 1].min() for tick in ticks) and max(tick[:, 1].max() for tick in ticks) <= 1
    plots.plot_potential(ax, time, np.zeros(6), np.zeros(6))


def test_band_of_one_replica_is_a_line_alone(ax):
    plots.plot_band(ax, [1, 2], np.array([[0.5], [0.25]]), "error", "C0", scale=100)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [50, 25])
    assert not ax.collections


def test_raster_takes_neurons_upwards_and_time_to_the_right(ax):
    spikes = np.zeros((4, 3))
    spikes[2, 1] = spikes[0, 2] = 1
    plots.plot_raster(ax, np.arange(4) * 0.5, spikes)
    assert ax.collections[0].get_offsets().tolist() == [[0, 2], [1, 1]]
    assert ax.get_ylim()[0] < 0 and ax.get_ylim()[1] > 2


def test_signals_are_red_where_positive_and_blue_where_negative(ax):
    signals = np.array([[1.0, -1.0], [0.0, 0.5], [0.0, 0.0]])
    image = plots.plot_signals(ax, np.array([10.0, 12.0, 14.0]), signals, limit=2)
    red, _, blue, _ = image.cmap(image.norm(image.get_array())).transpose(2, 0, 1)
    assert red[0, 0] - blue[0, 0] > 0.3 < blue[1, 0] - red[1, 0] and red[1, 1] - blue[1, 1] > 0.1
    assert np.abs(red - blue)[:, 2].max() < 0.02
    assert tuple(image.get_extent()) == (9, 15, -0.5, 1.5) and image.origin == "lower"


def test_run_that_was_stopped_before_its_first_test_draws_what_it_has(run, tmp_path):
    """No test is over, and what is measured after whole epochs is not there: these figures are left out."""
    folder = tmp_path / "stopped"
    shutil.copytree(run.folder, folder)
    shutil.rmtree(folder / "figures", ignore_errors=True)
    lines = (folder / "metrics.csv").read_text().splitlines()
    kept = [line.split(",") for line in lines if line.split(",")[1] in ("epoch", "1")]
    error = kept[0].index("error")
    for row in kept[1:]:
        row[error] = "" if row[3] == "test" else row[error]
    (folder / "metrics.csv").write_text("\n".join(map(",".join, kept)) + "\n")

    def measured(run):
        """What an epoch takes."""
        return run.metrics()["not measured yet"]

    record = json.loads((folder / "run.json").read_text())
    for status, drawn in (("stopped", ["learning"]), ("finished", None)):
        (folder / "run.json").write_text(json.dumps(record | {"status": status}))
        if drawn:
            assert [path.stem for path in draw(Run.open(folder), ["learning", "final", measured], skip=True)] == drawn
        else:
            with pytest.raises(ParameterError, match="lack 'not measured yet', which measured needs"):
                draw(Run.open(folder), ["learning", "final", measured], skip=True)
