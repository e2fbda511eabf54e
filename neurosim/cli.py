"""The command line: parses, calls, prints."""

import contextlib
import importlib
import pkgutil
import sys
from pathlib import Path

import click

from neurosim.errors import DivergedError, NeurosimError, ParameterError, RunError, unknown

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


def _models():
    """Return all models: name to module, read from the package of models."""
    import neurosim_models

    names = sorted(module.name for module in pkgutil.iter_modules(neurosim_models.__path__))
    return {name: importlib.import_module(f"neurosim_models.{name}") for name in names}


def _find(name):
    """Return [(full name, module, experiment)] for ``model`` (all its experiments) or ``model.experiment``."""
    models = _models()
    known = {f"{m}.{e.name}": (f"{m}.{e.name}", module, e) for m, module in models.items() for e in module.EXPERIMENTS}
    if name in known:
        return [known[name]]
    if name in models:
        return [found for full, found in known.items() if full.split(".")[0] == name]
    raise unknown("model", name, [*models, *known], "; see neurosim list")


def _find_one(name):
    found = _find(name)
    if len(found) > 1:
        raise ParameterError(f"{name} has several experiments; name one of {', '.join(full for full, *_ in found)}")
    return found[0]


@commands.command("list")
def list_models():
    """List every model: name, paper, data, published number, rough run time."""
    _quiet()
    for model, module in _models().items():
        for experiment in module.EXPERIMENTS:
            published = experiment.published
            print(f"{model}.{experiment.name}")
            print(f"    {module.PAPER}: {experiment.title}")
            print(f"    published  {published.text} on {published.data}")
            for data, preset in experiment.presets.items():
                print(f"    {'--data ' + data:17}about {preset.duration} on two cores")


@commands.command()
@click.argument("model")
@click.option("--data", default=None, help="Show the parameters for this data set.")
def show(model, data):
    """Show MODEL: equations, symbols with units, parameters with value and source, departures."""
    from neurosim.experiment import plain

    _quiet()
    for full, module, experiment in _find(model):
        if data is not None and data not in experiment.presets:
            raise unknown("data set", data, experiment.presets)
        print(f"{full}\n\n{module.__doc__.strip()}\n\nAs it runs")
        for part, text in experiment.texts.items():
            print(f"    {part}: {text}")
        for part, neuron in experiment.neurons.items():
            print(f"\n{part} neurons ({neuron.source})")
            for line in (*neuron.equations.strip().splitlines(), *neuron.update.strip().splitlines()):
                print(f"    {line.strip()}")
            for symbol, meaning in neuron.symbols.items():
                print(f"        {symbol:10}{meaning}")
        for name in [data] if data else experiment.presets:
            print(f"\nParameters, --data {name}")
            for parameter in experiment.parameters_for(name).values():
                unit = "" if parameter.unit == "1" or "*" in plain(parameter.value) else f" {parameter.unit}"
                print(f"    {parameter.name:12} {plain(parameter.value) + unit:28} {parameter.meaning}")
                print(f"    {'':41} {parameter.source}")


@commands.command()
@click.argument("model")
@click.option("--data", default=None, metavar="NAME|FOLDER", help="Data set by name, or a folder with its files.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Set a parameter; may be repeated.")
@click.option(
    "--seed", default=1, show_default=True, type=click.IntRange(0, 2**32 - 1), help="Decides all that is random."
)
@click.option("--replicas", default=None, help="Independent networks side by side.")
@click.option("--lanes", default=None, help="Inputs side by side.")
@click.option("--epochs", default=None, help="Passes through the training examples.")
@click.option("--limit", default=None, type=int, help="Use the first N training examples.", metavar="N")
@click.option("--out", default=None, type=click.Path(path_type=Path), metavar="FOLDER", help="Where the run is kept.")
@click.option("--force", is_flag=True, help="Write over the run that --out holds.")
@click.option("--target", default="numpy", show_default=True, help="How brian2 runs neurons: numpy or cython.")
def run(model, data, settings, seed, replicas, lanes, epochs, limit, out, force, target):
    """Run MODEL and keep what it gives in a folder."""
    full, module, experiment = _find_one(model)
    if target not in ("numpy", "cython"):
        raise unknown("target", target, ("numpy", "cython"))
    _quiet()
    if out is not None and not str(out).strip("."):
        raise ParameterError("--out: a folder of its own is needed, as runs/first")
    chosen = _settings(settings) | {
        name: value
        for name, value in (("replicas", replicas), ("lanes", lanes), ("epochs", epochs))
        if value is not None
    }
    from neurosim import data as datasets
    from neurosim.runs import new_folder
    from neurosim.simulate import simulate

    asked = next(iter(experiment.presets)) if data is None else data
    experiment.resolve(asked, chosen)  # say what is wrong with a parameter before data are read
    examples = datasets.load(asked)
    inputs = examples.train_images.shape[1]
    near = experiment.preset_for(examples.name, inputs)
    if near != examples.name:
        print(f"note      no constants are known for {examples.name}: those for {near} are used, see neurosim show")
    values = experiment.resolve(examples.name, chosen, inputs)
    if limit is not None:
        examples = examples.limit(limit)
    folder = out or new_folder(full, examples.name)
    with _bar(values, examples) as tell:
        try:
            finished = simulate(full, experiment, examples, values, seed, folder, target=target, force=force, tell=tell)
        except DivergedError as error:
            raise DivergedError(f"{error}; what the run had is kept in {folder}") from None
    return _report(finished, experiment)


def _settings(pairs):
    found = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name.strip():
            raise ParameterError(f"--set: NAME=VALUE is needed, got {pair!r}")
        found[name.strip()] = value
    return found


@contextlib.contextmanager
def _bar(values, examples):
    """Show a progress bar with epoch, error and time left; yields what training calls after every presentation."""
    from tqdm.auto import tqdm

    from neurosim.training import presentations_an_epoch, presentations_of_a_test

    lanes, epochs = values["lanes"], values["epochs"]
    shown_an_epoch = presentations_an_epoch(len(examples.train_labels), lanes)
    total = epochs * (shown_an_epoch + presentations_of_a_test(len(examples.test_labels), lanes))
    shown = "{desc} {percentage:3.0f}% |{bar}| {elapsed} passed, {remaining} left{postfix}"
    bars, last = [], {}

    def tell(phase, epoch, readout):
        if not bars:  # only now: what is wrong with the input has been said by then
            bars.append(tqdm(total=total, bar_format=shown, dynamic_ncols=True, mininterval=0.2))
        last[phase] = readout.error.mean()
        bars[0].set_description_str(f"epoch {epoch}/{epochs}", refresh=False)
        errors = ", ".join(f"{name} error {100 * error:.1f} %" for name, error in last.items())
        bars[0].set_postfix_str(errors, refresh=False)
        bars[0].update()

    try:
        yield tell
    finally:
        for bar in bars:
            bar.close()


def _report(finished, experiment):
    """Print the run's folder, its error beside the paper's, and its figures; return the exit status."""
    import json

    from neurosim.plots import draw

    status = finished.record["status"]
    try:
        summary = json.loads((finished.folder / "summary.json").read_text())
    except FileNotFoundError:
        print(f"run       {finished.folder}/ ({status} before the first result)")
        return FAILED
    print(f"run       {finished.folder}/" + ("" if status == "finished" else f" ({status})"))
    for split, final in summary["final"].items():
        print(f"{split:9} error {_in_words(final)} after epoch {final['epoch']}")
    published = summary["published"]
    other = "" if published["same_data"] else ", another data set than this run's"
    print(f"paper     {published['text']} on {published['data']}{other}")
    for path in draw(finished, experiment.figures):
        print(f"figure    {path}")
    return 0 if status == "finished" else FAILED


def _in_words(final):
    text = f"{100 * final['mean']:.2f} %"
    if final["n"] > 1:
        text += f" (95 % interval {100 * final['low']:.2f} to {100 * final['high']:.2f} %, {final['n']} replicas)"
    else:
        text += " (1 replica, no interval)"
    return text


@commands.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("figure", required=False)
def plot(folder, figure):
    """Draw the figures of the run in FOLDER, finished or running, or one FIGURE of them."""
    from neurosim.plots import draw
    from neurosim.runs import Run

    _quiet()
    opened = Run.open(folder)
    _, _, experiment = _find_one(opened.record["model"])
    if figure is not None and figure not in experiment.figures:
        raise unknown("figure", figure, experiment.figures)
    for path in draw(opened, [figure] if figure else experiment.figures):
        print(path)


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
