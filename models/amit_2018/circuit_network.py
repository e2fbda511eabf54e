"""The circuit of s, o and t wired up, alone or at the top of a network that learns by updated random feedback."""

import brian2
import numpy as np
from brian2 import Clock, Network

from neurosim import neurons
from neurosim.errors import ParameterError
from neurosim.population import Population
from neurosim.presentation import Presentation
from neurosim.projection import Projection
from neurosim.recording import Guard, Readout
from neurosim.training import Circuit
from neurosim.weights import glorot
from neurosim_models.amit_2018 import circuit_cells as cells
from neurosim_models.amit_2018.circuit_cells import IDEAL, SUSTAINED, SYNCHRONOUS, TIMED

HIDDEN = neurons.saturated(sloped=False)

SUPERVISE, CONTROLLED, CONTROL = "s_post = s_pre", "o_post = o_pre", "tc_post = tc_pre"
FORWARD = "v_post = w * r_pre"
FIELD = "h_post = w * r_pre"
FEEDBACK = "d_post = w * d_pre"
W_HIDDEN = "w += eta / lanes / open_steps * r_pre * m_post"
W_OUTPUT = "w += eta / lanes / open_steps * r_pre * d_post"
R_RULE = "w += eta / lanes / open_steps * d_pre * r_post"
TEXTS = {
    "s to o": SUPERVISE,
    "o to t": CONTROLLED,
    "t to o": CONTROL,
    "W into hidden transmit": FORWARD,
    "W into hidden rule": W_HIDDEN,
    "W into o transmit": FIELD,
    "W into o rule": W_OUTPUT,
    "R transmit": FEEDBACK,
    "R rule, the change of W into o": R_RULE,
}
TEST_LANES = 250
TOLERANCE = 0.1  # of 1 or mu, between what is read of o and equation 5 where they agree


def wire(s, o, t, late=False):
    """Return the three projections of the circuit, one neuron to one; ``late``: t receives what o has as ``sent``."""
    return [
        Projection(s, o, SUPERVISE, name="supervise"),
        Projection(o, t, "o_post = sent_pre" if late else CONTROLLED, name="controlled"),
        Projection(t, o, CONTROL, name="control"),
    ]


def check(values):
    """Raise where equations 8 and 9 leave the circuit no room, or where 'sustained' cannot tell a cycle.

    See :func:`circuit_cells.check`.
    """
    cells.check(*(values[name] for name in ("M", "S", "eps", "mu", "reading")))
    if values["reading"] != SUSTAINED:
        return
    eps, tau, steps = values["eps"], float(values["tau_read"] / values["dt"]), values["settling"]
    a = np.exp(-1 / tau)
    highest, lowest, border = (1 + eps) * (1 - a / (1 + a**2)), (1 + eps) * a**2 / (1 + a**2), (3 + eps) / 4
    if not (highest < border if eps < 1 else lowest > border):
        reaches = f"up to {highest:.3g}, must stay below" if eps < 1 else f"down to {lowest:.3g}, must stay above"
        raise ParameterError(
            f"tau_read: a cycle's recent mean goes {reaches} {border:.3g} = (3 + eps)/4 for the reading 'sustained'; a "
            f"longer tau_read smooths it, got {tau:g} steps"
        )
    if steps < 2 * tau:
        raise ParameterError(
            f"settling: the reading 'sustained' needs at least 2 tau_read = {2 * tau:g} steps to forget the class "
            f"before, got {steps}"
        )


def build(values, data, seed):
    """Return the learning network, with a copy in which tests are run.

    Parameters
    ----------
    values : dict
        The experiment's parameters by name.
    data : neurosim.data.DataSet
        Decides the numbers of inputs and classes.
    seed : int
        Decides W and R: the same for every condition.

    Raises
    ------
    ParameterError
        Where equations 8 and 9 leave the circuit no room.
    """
    check(values)
    circuit = _network(values, data, seed, learns=True)
    circuit.tester = _network({**values, "form": IDEAL, "lanes": TEST_LANES}, data, seed, learns=False)
    return circuit


def timing(values):
    """Return the phases of a presentation in steps: rules are open in the last of them."""
    if values["form"] == IDEAL:
        return {"learning": 1}
    if values["reading"] == TIMED:
        return {"rest": REST, "settling": 2 if values["order"] == SYNCHRONOUS else 1, "learning": 1}
    settling = {"settling": values["settling"]} if values["settling"] else {}
    return {**settling, "learning": values["steps"]}


REST = 6  # steps without a supervisor after which o and t are 0 in the map, whatever they were, if S >= 0


def _network(values, data, seed, learns):
    form, clock = values["form"], Clock(values["dt"])
    shape = dict(replicas=values["replicas"], lanes=values["lanes"], clock=clock)
    steps = timing(values)
    shown = Presentation({phase: n * clock.dt for phase, n in steps.items()}, clock=clock)
    known = ("gain", "M", "S", "eps", "mu", "noise", "width", "width_t", "tau_o", "tau_t", "tau_read")

    def population(name, n, kind, order):
        used = {key: values[key] for key in known if key in kind.symbols}
        return Population(n, kind, order=order, name=name, namespace=used, **shape)

    inputs, classes = data.train_images.shape[1], data.n_classes
    x = population("x", inputs, neurons.INPUT, 0)
    s = population("s", classes, cells.supervisor(), 0)
    hidden = population("h1", values["hidden"], HIDDEN, 1)
    o = population("y", classes, cells.output(form, values["reading"]), 2)
    objects = [x, s, hidden, o]
    if form == IDEAL:
        objects += [Projection(s, o, SUPERVISE, name="supervise")]
    else:
        t = population("t", classes, cells.control(form), 2 if values["order"] == SYNCHRONOUS else 3)
        objects += [t, *wire(s, o, t)]

    def start(key, text, rule, sizes):
        constants = {"eta": values["eta"], "open_steps": steps["learning"]}
        learning = dict(rule=rule, namespace=constants) if learns else {}
        seeded = np.random.SeedSequence(seed, spawn_key=(key,))
        return dict(transmit=text, weights=glorot(*sizes), seed=seeded, **learning)

    below, above = (inputs, values["hidden"]), (values["hidden"], classes)
    plastic = {
        "W_h1": Projection(x, hidden, name="W_h1", **start(0, FORWARD, W_HIDDEN, below)),
        "W_y": Projection(hidden, o, name="W_y", **start(1, FIELD, W_OUTPUT, above)),
        "R_h1": Projection(o, hidden, name="R_h1", **start(2, FEEDBACK, R_RULE, above)),
    }
    for projection in plastic.values():
        shown.gate(projection, "learning")
    if "rest" in steps:
        shown.by_phase(s, "on", {"rest": 0.0, "settling": 1.0})
    else:
        s.view("on")[...] = 1
    readout = Readout(shown, o, "h", classes, "learning")
    agreement = Agreement(shown, o, values) if learns else None
    guard = Guard.of(plastic.values())
    one_hot = 2 * np.eye(classes) - 1

    def feed(images, labels):
        shown.clamp(x, "r", images)
        shown.clamp(s, "shown", one_hot, rows=labels)

    populations = {"x": x, "s": s, "h1": hidden, "y": o}
    return Circuit(
        network=Network(*objects, *plastic.values(), shown, readout, guard, *([agreement] if agreement else [])),
        populations=populations if form == IDEAL else {**populations, "t": t},
        projections=plastic,
        presentation=shown,
        readout=readout,
        feed=feed,
        measures=agreement.measures if agreement else {},
        schedule=(lambda epoch: agreement.begin()) if agreement else None,
    )


def equation_5(h, s, S, mu):
    """Return what equation 5 asks of o: 1 or -mu within the margin, else 0."""
    return np.where(s > 0, (h < S) * 1.0, -mu * (h > -S))


def agrees(mean, wanted, s, mu):
    """Say whether a mean activity is nearer to what is wanted than a tenth of what constant activity has, 1 or mu."""
    return np.abs(mean - wanted) < TOLERANCE * np.where(s > 0, 1.0, mu)


class Agreement(brian2.core.base.BrianObject):
    """How far what is read of o, averaged over the phase in which rules are open, is what equation 5 asks for.

    Parameters
    ----------
    presentation : Presentation
        What is shown; its phase "learning" counts.
    output : Population
        The neurons o, with ``h``, ``s`` and ``d``.
    values : dict
        With ``M``, ``S`` and ``mu``.

    Notes
    -----
    A pair of a presentation and a class agrees if the mean of ``d`` lies within a tenth of 1 (of mu, for classes
    not shown) of equation 5's value for the field at the start of that phase. Fields within [-M, M] make the valid
    region.
    """

    add_to_magic_network = True

    def __init__(self, presentation, output, values, name="agreement*"):
        super().__init__(clock=output.clock, when="synapses", order=-1, name=name)  # before weights learn
        self.presentation, self.output = presentation, output
        self.M, self.S, self.mu = values["M"], values["S"], values["mu"]
        self._sum = np.zeros(output.shape)
        self._field = np.zeros(output.shape)
        self.begin()

    NAMES = ("pairs", "valid", "agreeing", "inside", "on", "beyond", "off")

    def begin(self):
        """Start to count anew."""
        self.counts = np.zeros((len(self.NAMES), self.output.replicas))
        self._sum[...] = 0

    def run(self):
        shown, o = self.presentation, self.output
        if shown.phase != "learning":
            return
        if not self._steps():
            self._field[...] = o.view("h")
        self._sum += o.view("d")
        if not shown.last_step:
            return
        mean, h, s = self._sum / shown.phases["learning"], self._field, o.view("s")
        wanted = equation_5(h, s, self.S, self.mu)
        valid = np.abs(h) < self.M
        right = valid & agrees(mean, wanted, s, self.mu)
        inside, level = valid & (wanted != 0), np.where(s > 0, 1, -self.mu)
        beyond = valid & (wanted == 0)
        found = [np.ones_like(h), valid, right, inside, mean / level * inside, beyond, mean / level * beyond]
        self.counts += np.array([each.sum(axis=(1, 2)) for each in found])
        self._sum[...] = 0

    def _steps(self):
        return self.presentation.step - (self.presentation.steps - self.presentation.phases["learning"])

    def _ratio(self, part, whole):
        part, whole = (self.counts[self.NAMES.index(name)] for name in (part, whole))
        return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)

    @property
    def measures(self):
        """What is computed after every epoch, see :class:`neurosim.training.Circuit`; 0 where nothing was counted.

        ``agreement``: of the pairs in the valid region, those that agree. ``outside_M``: pairs outside it.
        ``beyond_margin``: of those in it, pairs with the field beyond the margin. ``drive_inside`` and
        ``drive_beyond``: mean of what is read within and beyond the margin, as a fraction of 1 or -mu.
        """
        return {
            "agreement": (lambda: self._ratio("agreeing", "valid"), "1"),
            "outside_M": (lambda: 1 - self._ratio("valid", "pairs"), "1"),
            "beyond_margin": (lambda: self._ratio("beyond", "valid"), "1"),
            "drive_inside": (lambda: self._ratio("on", "inside"), "1"),
            "drive_beyond": (lambda: self._ratio("off", "beyond"), "1"),
        }

    def state(self):
        """Return what has been counted, as arrays by name, for checkpoints."""
        return {"counts": self.counts.copy(), "sum": self._sum.copy(), "field": self._field.copy()}

    def set_state(self, arrays):
        """Set what :meth:`state` gave."""
        self.counts[...], self._sum[...], self._field[...] = arrays["counts"], arrays["sum"], arrays["field"]
