"""Units that send spikes, with traces of them, in a network that settles; see spiking."""

from neurosim.neurons import NeuronType
from neurosim_models.scellier_2017 import network
from neurosim_models.scellier_2017.network import Cells

SPIKES, RATES = "spikes", "rates"
SOURCE = f"{network.SOURCE}; the spikes are ours"
DRAW = {SPIKES: "z = int(rand() < {})", RATES: "z = {}"}
SYMBOLS = {
    "z": "1 in a step with a spike, else 0: a draw of probability s; s itself where rates are sent (1)",
    "rho": "trace: low-passed z, what synapses deliver and rules read (1)",
    "tau_r": "time constant of the trace (s)",
    "free": "trace at the end of the free phase (1)",
    "raised": "trace at the end of the phase that is nudged by +beta (1)",
}


def unit(sends, nudge="", more=""):
    """Return units that send spikes, or the probability of one; ``nudge`` is a further force, of variables ``more``."""
    return NeuronType(
        equations=f"""
        ds/dt = (drive - s{nudge}) / tau : 1
        drho/dt = (z - rho) / tau_r : 1
        drive : 1
        z : 1
        free : 1
        raised : 1
        {more}
        """,
        update="s = clip(s, 0, 1)\n" + DRAW[sends].format("s"),
        method="euler",
        symbols=(network.OUTPUT if nudge else network.UNIT).symbols | SYMBOLS,
        source=SOURCE,
    )


def output(sends):
    """Return such units with a nudge towards a target."""
    return unit(sends, " + 2 * nudge * beta * (target - s)", "nudge : 1\nbeta : 1\ntarget : 1")


def given(sends):
    """Return inputs that send spikes, or the probability of one."""
    return NeuronType(
        equations="""
        drho/dt = (z - rho) / tau_r : 1
        x : 1
        z : 1
        free = rho : 1
        raised = rho : 1
        """,
        update=DRAW[sends].format("x"),
        method="euler",
        symbols={"x": "intensity of the input, 0 to 1: probability of a spike in a time step"} | SYMBOLS,
        source=SOURCE,
    )


def build(values, data, seed):
    """Return the circuit for these values, this data set and this seed."""
    sends = values["sends"]
    cells = Cells(
        hidden=unit(sends), output=output(sends), input=given(sends), sent="rho", memory=("s", "rho"), shown="x",
        constants={"tau_r": values["tau_r"]},
    )  # fmt: skip
    return network.build(values, data, seed, cells)


def variance(s, dt, tau_r):
    """Return the variance of the trace of spikes of a constant probability, see Theory.

    Parameters
    ----------
    s : array
        Probability of a spike in a time step.
    dt, tau_r : Quantity or float
        Time step and time constant, in one unit.
    """
    a = float(dt / tau_r)
    return s * (1 - s) * a / (2 - a)
