"""What the circuit does by itself: the four regimes, the period of the cycle, and where it computes equation 4."""

import brian2
import numpy as np
from brian2 import Clock, Network, NetworkOperation, ms

from neurosim.neurons import NeuronType
from neurosim.population import Population
from neurosim_models.amit_2018 import circuit_cells as cells
from neurosim_models.amit_2018.circuit_cells import AS_IT_IS, LEAKY, MAP, SPIKING, SUSTAINED, SYNCHRONOUS
from neurosim_models.amit_2018.circuit_network import agrees, equation_5, wire

TIMES = ("tau_o", "tau_t", "tau_read")
CONSTANTS = ("M", "S", "eps", "mu", "noise", "width", "width_t", *TIMES)


def varied(kind):
    """Return a neuron type whose constants are variables: every neuron has its own."""
    own = [f"{name} : {'second' if name in TIMES else '1'}" for name in CONSTANTS if name in kind.symbols]
    return NeuronType("\n".join([kind.equations, *own]), kind.update, None, kind.method, kind.symbols, kind.source)


def delayed(kind, variable, steps):
    """Return a neuron type that also has ``sent``, what a variable was some steps ago."""
    names = [f"past{k}" for k in range(1, steps + 1)]
    shift = [f"{to} = {of}" for to, of in zip(["sent", *names[::-1]], [*names[::-1], variable], strict=True)]
    equations = "\n".join([kind.equations, "sent : 1", *(f"{name} : 1" for name in names)])
    return NeuronType(equations, "\n".join([kind.update, *shift]), None, kind.method, kind.symbols, kind.source)


class Bench:
    """Many circuits side by side, each with a field, a supervisor and constants of its own.

    Parameters
    ----------
    form, reading, order : str
        See :mod:`neurosim_models.amit_2018.circuit_cells`.
    constants : dict of str to float or array (n,), in base units
        Those of CONSTANTS that the neurons have.
    n : int
        Number of circuits.
    dt : Quantity
        Time step.
    delay : int
        Steps by which what t receives of o is late, beside the step that every synapse takes.
    """

    def __init__(self, form, constants, n, *, reading=AS_IT_IS, order=SYNCHRONOUS, dt=1 * ms, delay=0):
        clock = Clock(dt)
        shape = dict(clock=clock, dtype=np.float64)
        output = varied(cells.output(form, reading))
        if delay:
            output = delayed(output, "o", delay)
        self.s = Population(n, cells.supervisor(), order=0, **shape)
        self.o = Population(n, output, order=1, **shape)
        self.t = Population(n, varied(cells.control(form)), order=1 if order == SYNCHRONOUS else 2, **shape)
        self.s.view("on")[...] = 1
        for population in (self.o, self.t):
            for name in set(population.state_variables) & set(CONSTANTS):
                population.view(name)[...] = constants[name]
        self.network = Network(self.s, self.o, self.t, *wire(self.s, self.o, self.t, late=bool(delay)))
        self.dt = clock.dt

    def hold(self, h, s):
        """Set fields and supervisors, arrays (n,) or numbers."""
        self.o.view("h")[...], self.s.view("shown")[...] = h, s

    def run(self, steps, look=None):
        """Simulate; call ``look`` after every step."""
        watcher = NetworkOperation(look, clock=self.o.clock, when="end") if look else None
        if watcher:
            self.network.add(watcher)
        self.network.run(steps * self.dt, namespace={})
        if watcher:
            self.network.remove(watcher)

    def trace(self, steps, variables):
        """Simulate and return arrays (steps, n) by name; names are of o's variables, or "u" of t's."""
        seen = {name: [] for name in variables}

        def look():
            for name, values in seen.items():
                population = self.o if name in self.o.state_variables else self.t
                values.append(population.view(name).ravel().copy())

        self.run(steps, look)
        return {name: np.array(values) for name, values in seen.items()}


SHOWN = {"mu": 0.5, "eps": 0.3}  # in the traces: levels that the eye can tell apart


def regimes(values):
    """Return traces of o, t and z of all forms in the four regimes.

    Columns: the class is shown with a field within and beyond the margin, another is shown, likewise. Map and leaky
    neurons start with t = 0.
    """
    beyond = 0.5 * (values["S"] + values["M"])
    inside = 0.0 if values["S"] > 0 else 0.5 * (values["S"] - values["M"])
    h, s = np.array([inside, beyond, inside, -beyond]), np.array([1, 1, -1, -1])
    found = {"regimes/h": (h, "1"), "regimes/s": (s, "1")}
    loop = 40 if values["order"] == SYNCHRONOUS else 20  # steps of 0.05: two synaptic delays, or one
    for form, steps, dt, delay in ((MAP, 16, 1, 0), (LEAKY, 320, 0.05, loop - 2), (SPIKING, 100, 1, 0)):
        own = values | SHOWN | (values["spiking"] if form == SPIKING else {})
        bench = Bench(form, bare(own), 4, reading=SUSTAINED, order=values["order"], dt=dt * values["dt"], delay=delay)
        bench.hold(h, s)
        bench.run(3 * steps if form == SPIKING else 0)  # until z has settled
        traces = bench.trace(steps, ("o", "tc", "z"))
        found |= {f"regimes/{form}/{name}": (array, "1") for name, array in traces.items()}
        found[f"regimes/{form}/time"] = (np.arange(1, steps + 1) * dt, "synaptic delay")
        found[f"regimes/{form}/eps"] = (np.array(own["eps"]), "1")
    found["regimes/mu"] = (np.array(SHOWN["mu"]), "1")
    return found


def bare(values):
    """Return the constants in base units."""
    return {name: float(values[name]) for name in CONSTANTS}


DELAY = 20  # steps a loop of synapses takes, where the step is to be small beside it
SHORT = 1e-3  # of that: as good as no time constant


def measure_cycles(form, constants, n, h, s, steps, delay):
    """Return (period in steps, mean of o, lowest |o|) of n circuits, after a third of the steps; nan if no cycle."""
    bench = Bench(form, constants, n, delay=delay)
    bench.hold(h, s)
    bench.run(steps // 3)
    traces = bench.trace(steps, ("o", "tc"))
    on = np.abs(traces["tc"]) > 0.5
    rises = on[1:] & ~on[:-1]
    period = np.full(n, np.nan)
    mean = np.full(n, np.nan)
    for k in range(n):
        at = np.flatnonzero(rises[:, k])
        if len(at) > 1:
            period[k] = (at[-1] - at[0]) / (len(at) - 1)
            mean[k] = traces["o"][at[0] : at[-1], k].mean()
    return period, mean, np.abs(traces["o"]).min(axis=0)


def periods(values, points=25):
    """Return the cycle's period, mean and lowest activity against tau_o and against tau_t, the other being short."""
    ratio = np.geomspace(0.05, 5, points)
    constants, h = bare(values), 0.5 * (values["S"] + values["M"])
    constants |= {"width": 1e-4 * values["M"], "width_t": 1e-4, "noise": 0.0}
    found = {"period/ratio": (ratio, "1"), "period/h": (np.array(h), "1")}
    found |= {f"period/{name}": (np.array(constants[name]), "1") for name in ("M", "S", "eps")}
    for name, other in (("tau_o", "tau_t"), ("tau_t", "tau_o")):
        own = constants | {name: ratio * DELAY * 1e-3, other: SHORT * DELAY * 1e-3}
        period, mean, lowest = measure_cycles(LEAKY, own, points, h, 1, 100 * DELAY, DELAY - 2)
        found |= {
            f"period/{name}/period": (period / DELAY, "delay"),
            f"period/{name}/mean": (mean, "1"),
            f"period/{name}/lowest": (lowest, "1"),
        }
    return found


GRID = 15  # points along each side of a map
STRONG = 4.0  # eps above 1: a cycle's mean is larger than constant activity
FIELDS = 96  # pairs of a field and a class at each of them


def region(form, constants, seed, *, dt=1 * ms, delay=0, settling=16, steps=8):
    """Return how often circuits of a grid are right, two maps of the shape that the constants broadcast to.

    Every circuit is shown a random field and class and then another, which counts after ``settling`` steps.

    Parameters
    ----------
    form : str
        See :mod:`neurosim_models.amit_2018.circuit_cells`.
    constants : dict of str to array, in base units
        Those of CONSTANTS, which broadcast to the shape of the map.
    seed : int
        Decides fields and classes: uniform in (-M, M), each class as likely.
    dt, delay : Quantity, int
        See :class:`Bench`; the loop's delay is two steps longer.
    settling, steps : int
        Steps before and in the time that counts.

    Returns
    -------
    agreement, cycling : arrays
        Fraction of fields for which the mean of the sustained activity is as equation 5 has it; and for which o itself
        is never silent within the margin and sometimes silent beyond it.
    """
    shape = np.broadcast_shapes(*(np.shape(value) for value in constants.values()))
    spread = {name: np.repeat(np.broadcast_to(value, shape).ravel(), FIELDS) for name, value in constants.items()}
    generator = np.random.default_rng(seed)
    points = np.prod(shape, dtype=int)
    bench = Bench(form, spread, points * FIELDS, reading=SUSTAINED, dt=dt, delay=delay)
    for shown in range(2):
        h = np.tile(generator.uniform(-1, 1, FIELDS), points) * spread["M"]
        s = np.tile(generator.choice([-1, 1], FIELDS), points)
        bench.hold(h, s)
        bench.run(settling + (0 if shown else steps))
    level = np.where(s > 0, 1.0, spread["mu"])
    total, lowest = np.zeros(len(h)), np.full(len(h), np.inf)

    def look():
        total[...] += bench.o.view("d").ravel()
        np.minimum(lowest, np.abs(bench.o.view("o").ravel()), out=lowest)

    bench.run(steps, look)
    wanted = equation_5(h, s, spread["S"], spread["mu"])
    right = agrees(total / steps, wanted, s, spread["mu"])
    cycles = (lowest < 0.5 * level) == (wanted == 0)
    return tuple(each.reshape(*shape, FIELDS).mean(axis=-1) for each in (right, cycles))


def regions(values, seed):
    """Return the maps: fractions of fields and classes for which the circuit computes equation 4."""
    base = {name: np.array(value) for name, value in bare(values).items()}
    quick = dict(settling=values["settling"], steps=values["steps"])
    dt, M = float(values["dt"]), base["M"]
    times = np.geomspace(0.05, 10, GRID)  # of the loop's delay, two steps
    across, up = np.arange(GRID)[None, :], np.arange(GRID)[:, None]
    found = {}

    def keep(name, form, axes, constants, **more):
        agreement, cycling = region(form, base | constants, seed, dt=values["dt"], **more)
        found[f"region/{name}/agreement"], found[f"region/{name}/cycling"] = (agreement, "1"), (cycling, "1")
        for side, (label, axis, unit) in zip("xy", axes, strict=True):
            found[f"region/{name}/{side}"] = (axis, unit)
            found[f"region/{name}/{side}label"] = (np.array(label), "1")

    loop = 6  # steps: the delay must not be small beside the time constants
    patient = dict(settling=240, steps=120)
    patient_reading = {"tau_read": np.array(60 * dt)}
    constants = {"tau_o": loop * dt * times[across], "tau_t": loop * dt * times[up]} | patient_reading
    axes = (("tau_o / delay", times, "1"), ("tau_t / delay", times, "1"))
    keep("times", LEAKY, axes, constants, delay=loop - 2, **patient)
    keep("times_strong", LEAKY, axes, constants | {"eps": np.array(STRONG)}, delay=loop - 2, **patient)

    noise, margin = np.geomspace(0.003, 1, GRID), np.linspace(-0.93, 0.93, GRID)
    axes = (("S / M", margin, "1"), ("noise / M", noise, "1"))
    keep("margin", LEAKY, axes, {"S": margin[across] * M, "noise": noise[up] * M}, **quick)

    eps, mu = np.geomspace(0.003, 10, GRID), np.geomspace(0.02, 0.98, GRID)
    axes = (("eps", eps, "1"), ("mu", mu, "1"))
    keep("levels", LEAKY, axes, {"eps": eps[across], "mu": mu[up]} | patient_reading, **patient)

    spiking = bare({**values, **values["spiking"]})
    slow = np.geomspace(1, 100, GRID)
    eps = np.geomspace(0.1, 30, GRID)
    constants = spiking | {"eps": eps[across], "tau_t": slow[up] * dt}
    axes = (("eps", eps, "1"), ("tau_t / step", slow, "1"))
    constants = {name: np.array(value) for name, value in constants.items()}
    keep("spiking", SPIKING, axes, constants, settling=200, steps=200)
    found |= {f"region/{name}": (base[name], "1") for name in ("M", "S", "eps")}
    found["region/strong"] = (np.array(STRONG), "1")
    return found


def study(values, seed):
    """Return all of it, by name: arrays with units, see :class:`neurosim.experiment.Experiment`."""
    brian2.seed(seed)
    return regimes(values) | periods(values) | regions(values, seed)
