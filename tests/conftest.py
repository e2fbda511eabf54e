"""What the tests share: brian2 as new for every test, both code targets, populations fed by hand, tiny data."""

import gc
from types import SimpleNamespace

import brian2
import numpy as np
import pytest
from brian2 import Clock, Network, NetworkOperation, ms, prefs, seed, start_scope
from brian2.codegen.runtime.cython_rt import CythonCodeObject

from neurosim import Population, Presentation
from neurosim.cli import main
from neurosim.neurons import NeuronType

brian2.BrianLogger.suppress_name("unused_brian_object")  # objects that refuse their arguments are never simulated

GIVEN = NeuronType(
    equations="""
    s : 1
    m : 1
    """,
    spike="s",
    symbols={"s": "1 in a step with a spike, set from outside", "m": "any other value, set from outside"},
)
PASSIVE = NeuronType(
    equations="""
    drive : 1
    m : 1
    """,
    symbols={"drive": "what arrives", "m": "set from outside or by a projection"},
)


@pytest.fixture(autouse=True)
def fresh_brian2():
    """Start every test without old objects, at one seed, on the NumPy target; put brian2's settings back after it."""
    before = prefs.codegen.target
    start_scope()
    prefs.codegen.target = "numpy"
    brian2.defaultclock.dt = 0.1 * ms
    seed(1)
    yield
    prefs.codegen.target = before
    brian2.defaultclock.dt = 0.1 * ms


@pytest.fixture(autouse=True, scope="module")
def quick_runs():
    """Spare every Network.run of a module the collection of all that was there before it: 0.3 s late in a session."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    """Return a function that runs a command line in an empty folder and gives status, output and errors."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        return (end.value.code, *capsys.readouterr())

    return run


@pytest.fixture(params=["numpy", "cython"])
def target(request):
    """Run the test on both of brian2's targets; Cython builds take 13 to 30 s the first time."""
    if request.param == "cython" and not CythonCodeObject.is_available():
        pytest.skip("no C++ compiler for brian2's Cython target")
    prefs.codegen.target = request.param
    return request.param


@pytest.fixture
def clock():
    """A clock of 1 ms."""
    return Clock(1 * ms)


@pytest.fixture
def given():
    """Return a builder of populations whose spikes ``s`` and values ``m`` are set from outside."""
    return lambda n, order=0, **settings: Population(n, GIVEN, order=order, **settings)


@pytest.fixture
def passive():
    """Return a builder of populations that hold what they get: ``drive`` and ``m``."""
    return lambda n, order=1, **settings: Population(n, PASSIVE, order=order, **settings)


@pytest.fixture
def every_step():
    """Return a function (clock, look) -> (network operation, list): the list holds what look() gave after each step."""

    def observe(clock, look):
        seen = []
        return NetworkOperation(lambda: seen.append(look()), clock=clock, when="end", order=9), seen

    return observe


@pytest.fixture
def play():
    """Return a function that runs objects while given values are clamped, one row of them a step.

    ``values`` is a list of (population, variable, array of shape (steps, replicas, lanes, n)).
    """

    def run(objects, values):
        clock = objects[0].clock
        shown = Presentation(clock.dt, clock=clock)
        steps, replicas, lanes = values[0][2].shape[:3]
        for population, variable, array in values:
            shown.clamp(population, variable, np.asarray(array).reshape(-1, population.n))
        shown.show(np.arange(steps * replicas * lanes).reshape(steps, replicas, lanes))
        network = Network(*objects, shown)
        network.run(shown.remaining)
        return network

    return run


@pytest.fixture(scope="session")
def tiny_data():
    """Return a builder of data sets: random pixels, labels in turn, as attributes of a plain object."""

    def make(n_inputs=5, n_classes=2, train=8, test=5, seed=0):
        draw = np.random.default_rng(seed)
        return SimpleNamespace(
            name="tiny",
            n_classes=n_classes,
            train_images=draw.uniform(size=(train, n_inputs)).astype(np.float32),
            train_labels=np.arange(train) % n_classes,
            test_images=draw.uniform(size=(test, n_inputs)).astype(np.float32),
            test_labels=np.arange(test) % n_classes,
        )

    return make


def in_full(name):
    """Return an experiment's name with its model's; lillicrap_2016 is the one that is meant where none is named."""
    return name if "." in name else f"lillicrap_2016.{name}"


@pytest.fixture(scope="session")
def small(tiny_data):
    """Return a function name -> (experiment, data, settings): small settings and few examples, see every.py."""
    from every import EVERY, SMALL, small_data

    def make(name, seed=3, **more):
        experiment, settings = EVERY[in_full(name)], SMALL[in_full(name)] | {"replicas": "2"} | more
        return experiment, small_data(experiment, settings, seed, tiny_data), settings

    return make


@pytest.fixture(scope="session")
def small_run(small, tmp_path_factory):
    """Return a function name -> Run of a small experiment with all its conditions, simulated once a session."""
    from every import COARSE

    from neurosim.runs import Run
    from neurosim.simulate import simulate

    folders = {}

    def run(name):
        name = in_full(name)
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp("small") / name
            experiment, data, settings = small(name)
            values = experiment.resolve(data.name, settings)
            conditions = experiment.choose(values, settings)
            module, constants = COARSE.get(name, ("", {}))
            with pytest.MonkeyPatch.context() as patch:
                for constant, value in constants.items():
                    patch.setattr(f"neurosim_models.{name.partition('.')[0]}.{module}.{constant}", value)
                simulate(name, experiment, data, values, 3, folders[name], conditions=conditions)
        return Run.open(folders[name])

    return run


@pytest.fixture
def lillicrap():
    """Return a builder of the spiking network of Lillicrap et al. 2016, 5-4-3-4 neurons unless told otherwise."""
    from neurosim_models.lillicrap_2016.spiking import SPIKING, build

    def make(data, seed=1, **settings):
        values = {name: parameter.value for name, parameter in SPIKING.parameters_for("mnist").items()}
        small = {"hidden": (4, 3), "output": 4, "copies": 1, "steps": 3, "lanes": 1, "replicas": 1}
        unknown = set(settings) - set(values)
        assert not unknown, unknown
        return build({**values, **small, **settings}, data, seed)

    return make
