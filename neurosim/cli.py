"""The command line: parses, calls, prints."""

import contextlib
import sys
from pathlib import Path

import click

from neurosim.errors import DivergedError, NeurosimError, ParameterError, RunError, unknown
from neurosim.job import Job, find, find_one, models, recorded, repeated

WRONG_USAGE, FAILED = 2, 1


def main(arguments=None):
    """Run the command line: exit status 0 on success, 2 on wrong usage or bad input, 1 on a failure during a run."""
    try:
        status = commands.main(arguments, prog_name="neurosim", standalone_mode=False) or 0
        sys.stdout.flush()
        sys.exit(status)
    except click.ClickException as error:
        _fail(error.format_message(), WRONG_USAGE)
    except MemoryError:
        _fail("not enough memory for a network of this size; fewer neurons, lanes or replicas would fit", WRONG_USAGE)
    except (DivergedError, RunError) as error:
        _fail(error, FAILED)
    except NeurosimError as error:
        _fail(error, WRONG_USAGE)
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted", FAILED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(FAILED)
    except OSError as error:
        with contextlib.suppress(OSError):
            sys.stdout.close()  # what could not be written is lost: nothing is left to flush at exit
        _fail(f"{error.filename or 'output'}: {error.strerror}", FAILED)


def _fail(message, status):
    print(f"neurosim: {' '.join(str(message).split())}", file=sys.stderr)
    sys.exit(status)


class _Commands(click.Group):
    """A group that names the nearest commands where one does not exist."""

    def resolve_command(self, context, arguments):
        if arguments and self.get_command(context, arguments[0]) is None and not arguments[0].startswith("-"):
            raise unknown("command", arguments[0], self.list_commands(context))
        return super().resolve_command(context, arguments)


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="neurosim")
@click.pass_context
def commands(context):
    """Spiking and continuous-time networks that learn the way brains might."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def _quiet():
    """Let brian2 say warnings only; its notes on choices that it made are for scripts."""
    import brian2

    brian2.BrianLogger.log_level_warn()
    brian2.BrianLogger.suppress_name("unused_brian_object")  # what is refused is never simulated


@commands.command("list")
def list_models():
    """List every model: name, paper, data, published number, rough run time."""
    _quiet()
    for model, module in models().items():
        for experiment in module.EXPERIMENTS:
            print(f"{model}.{experiment.name}")
            print(f"    {module.PAPER}: {experiment.title}")
            for published in experiment.published:
                print(f"    published  {_published(published, experiment)} on {published.data}")
            for claim in experiment.comparisons if not experiment.published else ():
                relation = "like" if claim.alike else "below"
                print(f"    claimed    {claim.lower} {relation} {claim.higher}: {claim.published}")
            for data, preset in experiment.presets.items():
                print(f"    {'--data ' + data:16} about {preset.duration} on two cores")


def _published(published, experiment):
    """Return a published number in words, with its condition where there are several."""
    return (f"{published.condition}: " if len(experiment.conditions) > 1 else "") + published.text


@commands.command()
@click.argument("model")
@click.option("--data", default=None, help="Show the parameters for this data set.")
def show(model, data):
    """Show MODEL: equations, symbols with units, parameters with value and source, departures."""
    from neurosim.experiment import plain

    _quiet()
    for full, module, experiment in find(model):
        if data is not None and data not in experiment.presets:
            raise unknown("data set", data, experiment.presets)
        print(f"{full}\n\n{module.__doc__.strip()}\n\n{experiment.notes.strip()}\n\nAs it runs")
        for part, text in experiment.texts.items():
            print(f"    {part}: {text}")
        for part, neuron in experiment.neurons.items():
            print(f"\n{part} neurons ({neuron.source})")
            for line in (*neuron.equations.strip().splitlines(), *neuron.update.strip().splitlines()):
                print(f"    {line.strip()}")
            for symbol, meaning in neuron.symbols.items():
                print(f"        {symbol:9} {meaning}")
        print("\nConditions")
        for name, own in experiment.conditions.items():
            print(f"    {name:28} {', '.join(f'{each}={plain(value)}' for each, value in own.items())}")
        for name in [data] if data else experiment.presets:
            print(f"\nParameters, --data {name}")
            for parameter in experiment.parameters_for(name).values():
                unit = "" if parameter.unit == "1" or "*" in plain(parameter.value) else f" {parameter.unit}"
                print(f"    {parameter.name:12} {plain(parameter.value) + unit:28} {parameter.meaning}")
                print(f"    {'':41} {parameter.source}")


@commands.command()
@click.argument("model", required=False)
@click.option("--data", default=None, metavar="NAME|FOLDER", help="Data set by name, or a folder with its files.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Set a parameter; may be repeated.")
@click.option(
    "--conditions", default=None, metavar="NAME,NAME", help="Conditions to run, see neurosim show; all if left out."
)
@click.option(
    "--seed", default=None, type=click.IntRange(0, 2**32 - 1), help="Decides all that is random.  [default: 1]"
)
@click.option("--replicas", default=None, help="Independent networks side by side.")
@click.option("--lanes", default=None, help="Inputs side by side.")
@click.option("--epochs", default=None, help="Passes through the training examples.")
@click.option("--limit", default=None, type=int, help="Use the first N training examples.", metavar="N")
@click.option("--validation", default=None, type=int, help="Test on N training examples held out.", metavar="N")
@click.option("--out", default=None, type=click.Path(path_type=Path), metavar="FOLDER", help="Where the run is kept.")
@click.option("--force", is_flag=True, help="Write over the run that --out holds.")
@click.option("--target", default=None, help="How brian2 runs neurons: numpy or cython.  [default: numpy]")
@click.option(
    "--resume",
    default=None,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Go on with a run that was cut off.",
)
@click.option(
    "--from",
    "origin",
    default=None,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Repeat the run in FOLDER: the same parameters, seed, data and target.",
)
@click.option(
    "--checkpoint-every",
    default=None,
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="How often state is kept within an epoch.  [default: 180]",
)
def run(model, resume, origin, checkpoint_every, out, force, **chosen):
    """Run MODEL and keep what it gives in a folder."""
    _quiet()
    given = {name: value for name, value in chosen.items() if value not in (None, ())}
    named = (["MODEL"] if model else []) + ["--set" if name == "settings" else f"--{name}" for name in given]
    if out is not None and not str(out).strip("."):
        raise ParameterError("--out: a folder of its own is needed, as runs/first")
    if checkpoint_every is not None and not checkpoint_every < float("inf"):
        raise ParameterError(f"--checkpoint-every: a number of seconds is needed, got {checkpoint_every}")
    more = {} if checkpoint_every is None else {"checkpoint_every": checkpoint_every}
    if resume is not None:
        named += [name for name, there in (("--from", origin), ("--out", out), ("--force", force)) if there]
        _refuse(named, "--resume goes on with a run as it was")
        return _resume(resume, more)
    if origin is not None:
        _refuse(named, "--from repeats a run as it was")
        return _repeat(origin, out, force, more)
    if model is None:
        raise ParameterError("MODEL is needed, as lillicrap_2016.spiking (see neurosim list), or --resume or --from")
    return _run(model, given, out, force, more)


def _refuse(named, reason):
    """Raise a ParameterError if options are named that a recorded run has its own of."""
    if named:
        raise ParameterError(f"{reason}; leave {', '.join(named)} out")


def _run(model, given, out, force, more):
    settings = _settings(given.pop("settings", ()))
    settings |= {name: given.pop(name) for name in ("replicas", "lanes", "epochs") if name in given}
    if "conditions" in given:
        given["conditions"] = [name.strip() for name in given["conditions"].split(",")]
    job = Job(model, settings=settings, **given)
    examples = job.examples()
    prepared = job.checked(examples)
    near = prepared.preset
    if near != examples.name:
        print(f"note      no constants are known for {examples.name}: those for {near} are used, see neurosim show")
    return _simulate(prepared, examples, out, force, more)


def _simulate(prepared, examples, out, force, more):
    from neurosim.runs import new_folder

    folder = out or new_folder(prepared.model, examples.name)
    with _bar(prepared.conditions, examples) as tell, _naming(folder):
        finished = prepared.simulate(folder, examples, force=force, tell=tell, **more)
    return _report(finished, prepared.experiment)


@contextlib.contextmanager
def _naming(folder):
    """Say where a run that diverges has left what it had."""
    try:
        yield
    except DivergedError as error:
        raise DivergedError(f"{error}; what the run had is kept in {folder}") from None


def _opened(folder):
    """Return (run, as it was, its data) of a run that exists."""
    from neurosim.runs import Run

    opened = Run.open(folder)
    prepared = recorded(opened)
    return opened, prepared, prepared.examples()


def _resume(folder, more):
    from neurosim.simulate import resume

    opened, prepared, examples = _opened(folder)
    with _bar(prepared.conditions, examples) as tell, _naming(folder):
        finished = resume(
            opened, prepared.experiment, examples, tell=tell, note=lambda text: print(f"note      {text}"), **more
        )
    return _report(finished, prepared.experiment)


def _repeat(folder, out, force, more):
    from neurosim.simulate import changed_versions, check_data

    opened, prepared, examples = _opened(folder)
    check_data(opened, examples)
    for name, was, now in changed_versions(opened):
        print(f"note      {name} was {was}, is {now}: numbers may differ in rounding")
    return _simulate(repeated(prepared, opened), examples, out, force, more)


def _settings(pairs):
    found = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name.strip():
            raise ParameterError(f"--set: NAME=VALUE is needed, got {pair!r}")
        found[name.strip()] = value
    return found


@contextlib.contextmanager
def _bar(conditions, examples, name=""):
    """Show a progress bar with epoch, error and time left; yields what training calls after every presentation."""
    from tqdm.auto import tqdm

    from neurosim.training import presentations_an_epoch, sizes

    count = sizes(examples)[0]
    each = {
        name: values["epochs"] * presentations_an_epoch(count, values["lanes"]) for name, values in conditions.items()
    }
    shown = "{desc} {percentage:3.0f}% |{bar}| {elapsed} passed, {remaining} left{postfix}"
    bars, last = [], {}

    def tell(condition, phase, epoch, readout):
        values = conditions[condition]
        if not bars:  # only now: what is wrong with the input has been said by then
            bars.append(tqdm(total=sum(each.values()), bar_format=shown, dynamic_ncols=True, mininterval=0.2))
        if last.get("condition") != condition:
            last.clear()
            last["condition"] = condition
        scale, unit = (100, " %") if readout.metric == "error" else (1, "")
        if (error := readout.error.mean()) == error:  # not nan, as before there are two targets
            last[phase] = f"{phase} {readout.metric} {scale * error:.3g}{unit}"
        prefix = f"{name}, " * bool(name) + f"{condition}, " * (len(conditions) > 1)
        bars[0].set_description_str(f"{prefix}epoch {epoch}/{values['epochs']}", refresh=False)
        bars[0].set_postfix_str(", ".join(last[name] for name in ("train", "test") if name in last), refresh=False)
        before = sum(n for name, n in each.items() if list(each).index(name) < list(each).index(condition))
        done = before + max(0, epoch - 1) * (each[condition] // max(1, values["epochs"]))
        if phase == "train":
            done += readout.shown // values["lanes"]
        elif epoch > 0:
            done += each[condition] // values["epochs"]
        if done > bars[0].n:
            bars[0].update(done - bars[0].n)

    try:
        yield tell
    finally:
        for bar in bars:
            bar.close()


def _report(finished, experiment):
    """Print the run's folder, its numbers beside the paper's, and its figures; return the exit status."""
    import json

    from neurosim.plots import draw

    status = finished.record["status"]
    try:
        summary = json.loads((finished.folder / "summary.json").read_text())
    except FileNotFoundError:
        print(f"run       {finished.folder}/ ({status} before the first result)")
        return FAILED
    print(f"run       {finished.folder}/" + ("" if status == "finished" else f" ({status})"))
    several = len(summary["final"]) > 1
    for condition, splits in summary["final"].items():
        if several:
            print(condition)
        for split, final in splits.items():
            words = _in_words(final, summary["metric"])
            print(f"{'  ' * several}{split:{9 - 2 * several}} {summary['metric']} {words} after epoch {final['epoch']}")
        for published in summary["published"]:
            if published["condition"] in (None, condition):
                other = "" if published["same_data"] else ", another data set than this run's"
                print(f"{'  ' * several}{'paper':{9 - 2 * several}} {published['text']} on {published['data']}{other}")
    for line in experiment.told(finished) if experiment.told else ():
        print(f"told      {line}")
    for line in _compared(finished, summary):
        print(f"paired    {line}")
    for path in draw(finished, experiment.figures):
        print(f"figure    {path}")
    return 0 if status == "finished" else FAILED


def _compared(finished, summary):
    """Return a line for each comparison that the experiment declares, replica by replica, beside the paper's words."""
    from neurosim.analysis import paired

    metric, final = summary["metric"], summary["final"]
    for claim in finished.record["comparisons"]:
        ends = [final.get(claim[side], {}).get("test") for side in ("lower", "higher")]
        if None in ends or len({len(end[metric]) for end in ends}) > 1:
            continue
        found = paired(*(end[metric] for end in ends))
        told = f"{claim['lower']} minus {claim['higher']}: {found.difference:.3g}"
        if found.n > 1:
            told += f" ({found.low:.3g} to {found.high:.3g}), d_z {found.effect:.2g}, p {found.p:.2g}, n {found.n}"
        own = claim["published"].startswith("ours")
        yield f"{told}; {'' if own else 'paper: '}{claim['published']}"


def _in_words(final, metric):
    scale, unit, digits = (100, " %", ".2f") if metric == "error" else (1, "", ".3g")
    mean, low, high = (
        format(scale * (float("nan") if final[k] is None else final[k]), digits) for k in ("mean", "low", "high")
    )
    if final["n"] > 1:
        return f"{mean}{unit} (95 % interval {low} to {high}{unit}, {final['n']} replicas)"
    return f"{mean}{unit} (1 replica, no interval)"


@commands.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FOLDER...")
@click.option(
    "--out", default=None, type=click.Path(path_type=Path), metavar="FILE", help="A .md or .html file to write."
)
def report(folders, out):
    """Set the numbers of the runs in FOLDERs beside the paper's: as a table, or as a page in --out."""
    from neurosim import report as reports

    _quiet()
    if out is None:
        print(reports.report(folders).markdown(), end="")
    else:
        print(reports.write(folders, out))


@commands.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("figure", required=False)
def plot(folder, figure):
    """Draw the figures of the run in FOLDER, finished or running, or one FIGURE of them."""
    from neurosim.plots import draw
    from neurosim.runs import Run

    _quiet()
    opened = Run.open(folder)
    _, _, experiment = find_one(opened.record["model"])
    if figure is not None and figure not in experiment.figure_names:
        raise unknown("figure", figure, experiment.figure_names)
    known = dict(zip(experiment.figure_names, experiment.figures, strict=True))
    for path in draw(opened, [known[figure]] if figure else experiment.figures, skip=figure is None):
        print(path)


@commands.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.toml")
@click.option(
    "--out", default=None, type=click.Path(path_type=Path), metavar="FOLDER", help="Where the tasks are kept."
)
@click.option(
    "--workers", default=None, type=click.IntRange(1), metavar="N", help="Processes on this machine.  [default: cores]"
)
@click.option("--scheduler", default=None, metavar="ADDRESS", help="A Dask scheduler, as tcp://10.0.0.5:8786.")
@click.option(
    "--checkpoint-every",
    default=30,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="How often a task's state is kept within an epoch.",
)
def sweep(file, out, workers, scheduler, checkpoint_every):
    """Run a model with every setting of FILE.toml, on all cores or on a cluster; the same command goes on."""
    from neurosim.sweeps import campaign
    from neurosim.sweeps import statement as sweeps

    _quiet()
    if workers is not None and scheduler is not None:
        raise ParameterError("--workers are processes on this machine, --scheduler has its own; leave one out")
    asked = sweeps.read(sweeps.find(file))
    folder = out or Path("runs") / asked.spec.name
    whole = campaign.carry_out(asked, folder, workers=workers, scheduler=scheduler, checkpoint_every=checkpoint_every)
    return 0 if whole else FAILED


@commands.command()
@click.argument("file", metavar="FILE.toml|NAME")
@click.option("--full", is_flag=True, help="As the file's table [full] says: larger data, stricter margins.")
@click.option(
    "--seed", default=None, type=click.IntRange(0, 2**32 - 1001), help="Another seed than the file's: another folder."
)
@click.option("--plan", "only_plan", is_flag=True, help="Show the plan, its cost and its power; run nothing.")
@click.option("--strict", is_flag=True, help="Exit with status 1 unless every claim is supported.")
@click.option("--out", default=None, type=click.Path(path_type=Path), metavar="FOLDER", help="Where it is kept.")
def hypothesis(file, full, seed, only_plan, strict, out):
    """Put the claims of FILE.toml, or of a NAME that comes with the models, to the test; the same command goes on."""
    from neurosim.hypotheses import statement as hypotheses
    from neurosim.hypotheses import trial, verdicts
    from neurosim.hypotheses.claims import SUPPORTED

    _quiet()
    asked = hypotheses.read(hypotheses.find(file), full, seed)
    folder = out or trial.folder_of(asked)

    def watch(name, conditions, examples):
        print(f"running   {name}", flush=True)
        return _bar(conditions, examples, name) if sys.stderr.isatty() else contextlib.nullcontext()

    record = trial.opened(asked, folder)
    if record is None and not only_plan:
        trial.check_place(folder)
    planned = trial.plan(asked) if record is None else trial.Plan.from_json(record["plan"])
    for label, text in verdicts.plan_lines(asked, planned):
        print(f"{label:9} {text}")
    if only_plan:
        return 0
    if record is None:
        record = trial.record(asked, planned, folder)
    print(f"recorded  {folder / trial.RECORD}, {record['recorded']}", flush=True)
    tested = trial.carry_out(asked, folder, watch=watch, note=lambda text: print(f"note      {text}"))
    if not tested.whole:
        raise RunError(f"interrupted; the same command goes on in {folder}")
    figures, page = verdicts.write(tested, record, planned)
    print(*verdicts.table_lines(tested), sep="\n")
    for line in verdicts.remarks(tested):
        print(f"note      {line}")
    for path in tested.runs.values():
        print(f"run       {path}/")
    for path in (*figures, page):
        print(f"{'report' if path == page else 'figure':9} {path}")
    return FAILED if strict and any(verdict.word != SUPPORTED for verdict in tested.verdicts) else 0


@commands.command()
@click.argument("model", required=False)
@click.option("--all", "everything", is_flag=True, help="Audit every model.")
@click.option("--data", default=None, metavar="NAME|FOLDER", help="Data set by name, or a folder with its files.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Set a parameter; may be repeated.")
@click.option("--conditions", default=None, metavar="NAME,NAME", help="Conditions to audit; all if left out.")
@click.option("--seed", default=1, type=click.IntRange(0, 2**32 - 1), help="Decides all that is random.  [default: 1]")
@click.option("--strict", default=None, metavar="NAME,NAME", help="Exit with 1 where one of these fails or is open.")
@click.option("--timing/--no-timing", default=True, help="Whether to train networks with disturbed time steps.")
@click.option(
    "--out", default=None, type=click.Path(path_type=Path), metavar="FILE", help="A .md or .html file to write."
)
def audit(model, everything, data, settings, conditions, seed, strict, timing, out):
    """Say what each synapse of MODEL needs to know, read from its equations and checked by experiment."""
    from neurosim import pages
    from neurosim.audit import report as audits

    _quiet()
    if (model is None) == (not everything):
        raise ParameterError("a MODEL is needed, as lillicrap_2016.spiking (see neurosim list), or --all; not both")
    named = [name for name, given in (("--data", data), ("--set", settings), ("--conditions", conditions)) if given]
    if everything and named:
        raise ParameterError(f"--all takes every model as it is; leave {', '.join(named)} out")
    criteria = audits.check_criteria(_names(strict))
    if strict is not None and not criteria:
        raise ParameterError("--strict: a criterion is needed, as locality,transport")
    if not timing and "timing" in criteria:
        raise ParameterError("--strict timing needs the measurement that --no-timing leaves out")
    asked = {"data": data, "settings": _settings(settings), "conditions": _names(conditions) or None, "seed": seed}
    jobs = [Job(full, **asked) for full in (_every() if everything else [full for full, *_ in find(model)])]
    for job in jobs:
        job.checked()  # before the first network is built
    if out is not None:
        pages.check_out(out)
    on_terminal, found = sys.stderr.isatty(), []

    def tell(line):
        if on_terminal:
            print(f"\r\033[K{line}", end="", file=sys.stderr)

    for job in jobs:
        if not on_terminal:
            print(f"audits    {job.model}", file=sys.stderr)
        found += audits.merged(audits.audit(job, timing=timing, tell=tell, stand_in=everything))
    tell("")
    if out is not None:
        print(pages.write(audits.page(found), out))
    elif everything:
        print(audits.matrix(found), end="")
    else:
        print("\n".join(map(audits.text, found)), end="")
    failing = audits.strict(found, criteria)
    for line in failing:
        print(f"fails     {line}")
    return FAILED if failing else 0


def _names(text):
    """Return names with commas between them as a list."""
    return [name.strip() for name in text.split(",") if name.strip()] if text else []


def _every():
    return [f"{model}.{each.name}" for model, module in models().items() for each in module.EXPERIMENTS]


@commands.command("data")
@click.argument("name", required=False)
def data_command(name):
    """Say where data sets are and whether they are whole; fetch NAME with its hash checked."""
    from neurosim import data as datasets

    if name is None:
        for each in datasets.NAMES:
            print(datasets.status(each))
        return
    status = datasets.status(name)  # reads every file: once, where nothing is to be fetched
    if not status.whole:
        datasets.fetch(name)
        status = datasets.status(name)
    print(status)


if __name__ == "__main__":
    main()
