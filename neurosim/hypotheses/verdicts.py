"""Plans and verdicts in words, as pages and as figures."""

import io
import textwrap

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from neurosim.hypotheses.claims import REFUTED, SUPPORTED, TRENDS
from neurosim.hypotheses.trial import FILE, RECORD, as_json
from neurosim.pages import Report, Section, Table
from neurosim.plots import STYLE
from neurosim.runs import Run, writing

COLOURS = {SUPPORTED: "C2", REFUTED: "C3"}
NONE = "–"
NOTES = (
    "Replicas of one seed are pairs. Estimate: mean difference, slope or correlation, with its two-sided interval "
    "(1 - 2 alpha), corrected neither for the number of claims nor for early stopping. Effect: d_z = mean / sd over "
    "replicas, or r. p: one-sided, of the claim. Supported: the corrected p is not above alpha. Refuted: that of the "
    "opposite is not. Power: for the margin or the smallest difference that the file states, with the standard "
    "deviation found, at alpha divided by the number of claims where that is corrected for; where none is stated, what "
    "would be found with a power of 80 %. Power for the effect found would say nothing beside p and is left out."
)


def element(each):
    """Return an element of a claim's ``of`` in words."""
    return " - ".join(each) if isinstance(each, tuple) else f"{each:g}" if isinstance(each, (int, float)) else each


def prediction(stated):
    """Return what a claim predicts in words."""
    claim, (metric, *others) = stated.claim, stated.metrics
    names = [element(each) for each in claim.of]
    at = (
        "" if stated.when == "last" else f" ({stated.when if isinstance(stated.when, str) else f'epoch {stated.when}'})"
    )
    if claim.predicts == "correlation":
        return f"{metric} and {others[0]}{at} correlate {claim.sign}ly in {', '.join(names)}"
    if claim.predicts in TRENDS:
        over = f" ({claim.over} {', '.join(f'{number:g}' for number in claim.at)})" * bool(claim.at)
        return f"{metric}{at} is {claim.predicts} over {', '.join(names)}{over}"
    if claim.predicts == "equivalent":
        (a, b), margin = names, _amount(stated, claim.margin)
        if isinstance(claim.of[0], (int, float)):
            a, b = b, a
        chance = any(isinstance(each, (int, float)) for each in claim.of)
        return f"{metric}{at} of {a} is {b if chance else f'that of {b}'} within {margin}"
    return f"{metric}{at} of {names[0]} is {claim.predicts} than {names[1]}"


def _scale(stated):
    """Return the factor and the unit in which a claim's differences are shown."""
    claim = stated.claim
    if claim.predicts == "correlation":
        return 1, ""
    first = isinstance(stated.when, str) and stated.when.startswith("first")
    scale, unit = (1, " epochs") if first else (100, " points") if stated.metrics[0].endswith(" error") else (1, "")
    if claim.predicts in TRENDS:
        unit += f" per 1 of {claim.over}" if claim.at else f" a {claim.over}"
    return scale, unit


def _amount(stated, value):
    scale, unit = _scale(stated)
    number = f"{scale * value:.3g}"
    return f"{number}{unit.replace('points', 'point', 1) if number == '1' else unit}"


def _p(value):
    return NONE if np.isnan(value) else f"{value:.2g}"


def plan_lines(hypothesis, plan):
    """Yield (label, text) of what is claimed, what it costs and what it can show."""
    spec = hypothesis.spec
    yield "claims", hypothesis.title
    if hypothesis.source:
        yield "source", " ".join(hypothesis.source.split())
    yield "file", f"{spec.path}, SHA-256 {spec.sha256[:12]}" + (", with [full]" if hypothesis.full else "")
    for number, (stated, power) in enumerate(zip(hypothesis.claims, plan.power, strict=True), 1):
        yield f"claim {number}", f"{stated.claim.name}: {prediction(stated)}"
        yield "power", _power_words(hypothesis, stated, power)
    correction = f", {hypothesis.correction} for {len(hypothesis.claims)} claims" * (len(hypothesis.claims) > 1)
    yield "test", f"alpha {hypothesis.alpha:g}{correction}; {hypothesis.replicas} replicas, seed {hypothesis.seed}"
    if hypothesis.looks is not None:
        levels = ", ".join(
            f"{n} replicas at {nominal:.2g}"
            for n, nominal in zip(hypothesis.looks.at, hypothesis.looks.levels(hypothesis.level), strict=True)
        )
        yield "looks", f"{hypothesis.looks.spending.replace('_', ' ')}: {levels}"
    for name, seconds in plan.seconds.items():
        job = hypothesis.levels[name]
        epochs = "1 epoch" if plan.epochs[name] == 1 else f"{plan.epochs[name]} epochs"
        text = f"{name}: {job.model}, {hypothesis.conditions[name]}, {epochs}"
        known = [each for each in seconds if each is not None]
        cost = f"about {duration(sum(known))}" if len(known) == len(seconds) else "diverged when it was tried"
        yield "level", f"{text}; {cost}"
    runs, networks = len(plan.seconds) * len(hypothesis.batches), len(plan.seconds) * hypothesis.replicas
    most = " at most" * (hypothesis.looks is not None)
    yield "cost", f"{runs} runs of {networks} networks{most}, about {duration(plan.total)} on this machine"


def _power_words(hypothesis, stated, found):
    claim, n = stated.claim, hypothesis.replicas
    what = {"correlation": "r", "equivalent": "a margin / sd"}.get(claim.predicts, "d_z")
    alpha = f"alpha {found['alpha']:.3g}"
    if np.isnan(found["detectable"]):
        text = f"{n} replicas show no {what} with a power of 80 % at {alpha}"
    else:
        text = f"80 % for {what} of {found['detectable']:.3g} with {n} replicas at {alpha}"
    if "effect" in found:
        enough = found["needed"] or "more than 100,000"
        text += f"; {100 * found['power']:.0f} % for {found['effect']:.3g} as stated; {enough} replicas make 80 %"
    if "replicas" in found:
        text += f" without looks; with them it takes {found['replicas']:.1f} on average"
    return text


def duration(seconds):
    """Return a time in words."""
    if seconds < 90:
        return f"{max(1, seconds):.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def columns(hypothesis):
    """Return the heads of the table of verdicts."""
    corrected = f"p ({hypothesis.correction})"
    return "claim", "verdict", "estimate", _interval(hypothesis), "effect", "p", corrected, "power", "n"


def _interval(hypothesis):
    return f"{100 * (1 - 2 * hypothesis.alpha):.4g} % interval"


def row(stated, verdict, number):
    """Return a claim's row of the table of verdicts."""
    found, claim = verdict.finding, stated.claim
    power = NONE
    if not np.isnan(verdict.power):
        what = "margin" if claim.predicts == "equivalent" else "smallest"
        power = f"{100 * verdict.power:.0f} % for {what} {_amount(stated, claim.stated)}"
    elif not np.isnan(verdict.detectable):
        power = f"80 % for {_amount(stated, verdict.detectable)}"
    told = not np.isnan(found.estimate)
    scale, unit = _scale(stated)
    effect = f"r {found.effect:.2f}" if claim.predicts == "correlation" else f"d_z {found.effect:.2g}"
    return (
        str(number),
        verdict.word,
        f"{scale * found.estimate:+.3g}{unit}" if told else NONE,
        f"{scale * found.low:+.3g} to {scale * found.high:+.3g}" if told else NONE,
        effect if told else NONE,
        _p(found.p),
        _p(verdict.p),
        power,
        str(found.n),
    )


def remarks(trial):
    """Yield what there is to say of verdicts beside their numbers."""
    looks = trial.hypothesis.looks
    for number, verdict in enumerate(trial.verdicts, 1):
        found = verdict.finding
        if found.said:
            yield f"claim {number}: {found.said}"
        if found.without and not found.said:
            yield f"claim {number}: {found.without} replicas without a number are left out, as the file says"
        if verdict.word == REFUTED:
            yield f"claim {number}: p of the opposite is {_p(verdict.opposite)} (corrected)"
        if _too_small(verdict):
            yield f"claim {number}: in the direction that is claimed, but less than the smallest that matters"
        if looks is not None and verdict.decided:
            yield f"claim {number}: decided at look {verdict.decided}, with {looks.at[verdict.decided - 1]} replicas"


def _too_small(verdict):
    """Say whether a claim is refuted although the direction is as claimed."""
    toward = verdict.claim.direction * verdict.finding.estimate > 0
    return bool(verdict.claim.smallest) and verdict.word == REFUTED and toward


def table_lines(trial):
    """Return the table of verdicts as lines of text."""
    rows = [columns(trial.hypothesis), *(row(*each, k) for k, each in enumerate(_pairs(trial), 1))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(each, widths, strict=True)).rstrip() for each in rows]


def _pairs(trial):
    return list(zip(trial.hypothesis.claims, trial.verdicts, strict=True))


def write(trial, record, plan):
    """Write verdict.json, one figure a claim, and the report; return the paths of figures and report.html."""
    writer = Run(trial.folder, {})
    writer.write_json("verdict.json", as_json(trial))
    figures = []
    for number, (stated, verdict) in enumerate(_pairs(trial), 1):
        with matplotlib.rc_context(dict(STYLE)):
            drawn = figure(stated, verdict, trial.values[number - 1], _interval(trial.hypothesis))
            image = io.BytesIO()
            shows = f"Claim {number}: {stated.claim.name}: {verdict.word}"
            drawn.savefig(image, format="png", metadata={"Title": shows})
        with writing(trial.folder / "figures" / f"claim_{number}.png") as path:
            path.parent.mkdir(exist_ok=True)
        writer.write(f"figures/{path.name}", image.getvalue())
        figures.append((path, shows))
    page = report(trial, record, plan, figures)
    writer.write("report.md", page.markdown(trial.folder).encode(errors="replace"))
    writer.write("report.html", page.html().encode(errors="replace"))
    return [path for path, _ in figures], trial.folder / "report.html"


def report(trial, record, plan, figures):
    """Return a trial as a page."""
    hypothesis = trial.hypothesis

    def tone(text):
        return {SUPPORTED: "good", REFUTED: "bad"}.get(text, "")

    rows = tuple(
        (f"{number}. {stated.claim.name}", *row(stated, verdict, number)[1:])
        for number, (stated, verdict) in enumerate(_pairs(trial), 1)
    )
    runs = tuple(
        (str(path.relative_to(trial.folder)), hypothesis.job(name, k).model, hypothesis.conditions[name],
         str(hypothesis.batches[k][0]), str(hypothesis.batches[k][1]), trial.diverged.get(path, "finished"))
        for (name, k), path in trial.runs.items()
    )  # fmt: skip
    facts = {
        "file": f"{FILE}, SHA-256 {record['sha256']}",
        "recorded": f"{record['recorded']}, before the first run, in {RECORD}",
        "versions": ", ".join(f"{name} {number}" for name, number in record["versions"].items()),
        "alpha": f"{hypothesis.alpha:g}, corrected for {len(rows)} claims: {hypothesis.correction}",
        "full": "yes" if hypothesis.full else "no",
    }
    source = (hypothesis.source,) if hypothesis.source else ()
    planned = tuple((label, text) for label, text in plan_lines(hypothesis, plan) if label not in ("claims", "source"))
    return Report(
        hypothesis.title,
        (
            Section(
                "Verdicts", (*source, *remarks(trial)), (Table(NOTES, columns(hypothesis), rows, tone),), tuple(figures)
            ),
            Section("Claims and plan", (), (Table("As they were before the first run.", (), planned),)),
            Section("Runs", (), (Table("", ("run", "model", "condition", "replicas", "seed", "status"), runs),)),
            Section("Provenance", (), (Table("", (), tuple(facts.items())),)),
        ),
    )


# Figures


def figure(stated, verdict, values, interval):
    """Return a figure of one claim: replicas as they pair, and the number that is tested with its interval."""
    claim = stated.claim
    drawn = Figure(figsize=(5, 3.6) if claim.predicts == "correlation" else (6.4, 3.6), layout="constrained")
    if claim.predicts == "correlation":
        plot_correlation(drawn.add_subplot(), claim, values, stated.metrics)
    else:
        left, right = drawn.subplots(1, 2, width_ratios=(2, 1))
        scale = 100 if _scale(stated)[0] == 100 else 1
        points = scale * claim.points(values)
        left.set_ylabel(_shown(stated))
        plot_replicas(left, claim, points)
        plot_tested(right, claim, points, verdict.finding, scale)
        right.set_xticks([0, 0.55], ["replicas", f"mean,\n{interval}"])
        unit = _scale(stated)[1].strip()
        right.set_ylabel(("slope" if claim.predicts in TRENDS else "difference") + f" ({unit})" * bool(unit))
    p = f"p of the opposite {_p(verdict.opposite)}" if verdict.word == REFUTED else f"p {_p(verdict.p)}"
    why = ": less than the smallest that matters" if _too_small(verdict) else ""
    told = f"{verdict.word}{why} ({p}, n {verdict.finding.n})"
    drawn.suptitle(f"{textwrap.fill(claim.name, 70)}\n{told}", color=COLOURS.get(verdict.word, "0.3"), fontsize=10)
    return drawn


def _shown(stated):
    """Return what the values of a claim's levels are, with the unit in which they are shown."""
    (metric,), when = stated.metrics, stated.when
    gap = any(isinstance(each, tuple) for each in stated.claim.of)
    percent = "" if not metric.endswith(" error") else " (points)" if gap else " (%)"
    if isinstance(when, str) and when.startswith("first"):
        metric, when, percent = f"{when}: {metric}", "last", " (epochs)"
    read = {"last": "", "mean": ", mean over epochs"}.get(
        when, f", epoch {when}" if isinstance(when, int) else f", {when}"
    )
    return "difference in " * gap + metric + read + percent


def plot_replicas(ax, claim, points):
    """Draw one line a replica over the elements of a claim, (replicas, elements), and their means."""
    trend = claim.predicts in TRENDS
    x = np.array(claim.numbers, float) if trend else np.arange(points.shape[1])
    order = np.argsort(x)
    ax.plot(x[order], points[:, order].T, "o-", color="0.6", markersize=3, linewidth=0.8)
    whole = points[np.isfinite(points).all(axis=1)]
    if len(whole):
        ax.plot(x[order], whole.mean(axis=0)[order], "o-", color="k", markersize=5, linewidth=2, label="mean")
    if trend and claim.at:
        ax.set_xlabel(claim.over)
        if len(x) <= 8 and np.diff(np.sort(x)).min() > 0.05 * np.ptp(x):
            ax.set_xticks(x, [f"{number:.3g}" for number in x])
    else:
        ax.set_xticks(x, [textwrap.fill(element(each).replace("_", " "), 14) for each in claim.of])
        ax.margins(x=0.2)


def plot_tested(ax, claim, points, found, scale):
    """Draw what is tested, one dot a replica, with mean and interval; zero, and the margin or the smallest."""
    if claim.predicts in TRENDS:
        x = np.array(claim.numbers) - np.mean(claim.numbers)
        d = points @ x / (x @ x)
    else:
        d = points[:, 0] - points[:, 1]
    d = d[np.isfinite(d)]
    ax.axhline(0, color="0.5", linewidth=0.8)
    if claim.stated is not None:
        same = claim.predicts == "equivalent"
        borders = np.array([-1, 1] if same else [claim.direction]) * scale * claim.stated
        for border in borders:
            ax.axhline(border, color="C0", linestyle="--", linewidth=0.8)
        if same:
            ax.axhspan(*borders, color="C0", alpha=0.12, linewidth=0)
        word = "margin" if same else "smallest that matters"
        ax.annotate(word, (0.98, borders[-1]), (0, 2), ax.get_yaxis_transform(), "offset points",
                    ha="right", fontsize=7, color="C0")  # fmt: skip
    ax.plot(np.linspace(-0.15, 0.15, len(d)), d, "o", color="0.6", markersize=3)
    if np.isfinite(found.estimate):
        low, high = found.estimate - found.low, found.high - found.estimate
        ax.errorbar(
            0.55, scale * found.estimate, [[scale * low], [scale * high]], fmt="o", color="k", capsize=4, markersize=5
        )  # fmt: skip
    ax.set_xlim(-0.35, 0.95)


def plot_correlation(ax, claim, values, metrics):
    """Draw y against x: one colour a level, one line a replica through its levels."""
    x, y = (claim.points({name: values[name][k] for name in claim.levels}) for k in (0, 1))
    if x.shape[1] > 1:
        order = np.argsort(x, axis=1)
        ax.plot(*(np.take_along_axis(each, order, axis=1).T for each in (x, y)), color="0.8", linewidth=0.8, zorder=0)
    for k, name in enumerate(claim.of):
        ax.plot(x[:, k], y[:, k], "o", markersize=4, label=name.replace("_", " "))
    ax.legend(frameon=False, fontsize=8)
    ax.set_xlabel(metrics[0])
    ax.set_ylabel(metrics[1])
