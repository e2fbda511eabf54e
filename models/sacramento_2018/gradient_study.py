"""The forward plasticity of simulated circuits at rest beside backprop, against the mixing factor lambda, by depth.

Circuits with random weights in the self-predicting state are simulated in double precision without noise until they
are at rest, with the same lambda in all areas; one replica has TD = W^T, the other random TD. Examples are in the
lanes. The low-pass of changes lasts one time step here, so that it holds their right-hand sides.
"""

import numpy as np
from brian2 import ms, pF

from neurosim.analysis import angle
from neurosim.tasks import FunctionTask
from neurosim_models.sacramento_2018 import network
from neurosim_models.sacramento_2018.theory import AtRest

DEPTHS = {1: (20,), 2: (20, 15), 3: (20, 15, 12)}  # hidden areas: sizes
INPUTS, OUTPUTS, EXAMPLES = 15, 8, 6
LAMBDAS = np.array([0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.42, 0.5])
LEADING = 0.01  # up to this lambda the first term leads, and slopes are fitted
FLOOR = 2e-12  # |lambda x change|: what is smaller is rounding
DT, REST = 0.1 * ms, 50 * ms  # rest: 1e-16 of the slowest mode, whose time constant is about a membrane's
WAYS = ("symmetric", "random")  # TD of the two replicas
SOFT = {"gamma": 1.0, "slope": 1.0, "theta": 0.0}  # the published bend of phi, where potentials lie


def study(values, seed):
    """Return errors, angles, factors and slopes by depth and TD: arrays with units by name, see gradient_figures."""
    found = {"lambdas": LAMBDAS, "depths": list(DEPTHS)}
    for depth, hidden in DEPTHS.items():
        each = [compared(values, hidden, mixing, seed) for mixing in LAMBDAS]
        for name in each[0]:
            found[f"{depth}/{name}"] = np.array([one[name] for one in each])  # (lambdas, ways, areas)
        seen = np.moveaxis(found[f"{depth}/error"], 0, -1), np.moveaxis(found[f"{depth}/angle"], 0, -1)
        found[f"{depth}/slope"] = np.array([[slope(each) for each in way] for way in seen[0]])
        found[f"{depth}/angle slope"] = np.array([slope(each) for each in seen[1][0]])
        factor = np.moveaxis(found[f"{depth}/factor"], 0, -1)
        found[f"{depth}/order"] = np.array([[slope(each) for each in way] for way in factor])
    return {name: (np.asarray(value), "1") for name, value in found.items()}


def compared(values, hidden, mixing, seed):
    """Return how the change of one circuit differs from theory and from backprop, arrays (ways, areas).

    ``error``: relative distance from the leading term; ``settled``: from that at the exact fixed point; ``factor``: the
    change in units of the leading term without F_k; ``angle`` to -dL / dW, in degrees.
    """
    circuit, (x, target) = simulated(values, hidden, mixing, seed)
    rest = AtRest.of(with_mixing(values, mixing) | SOFT, circuit.projections)
    simulations = [p.view("delta").copy() for name, p in circuit.projections.items() if name.startswith("W")]
    theory = [rest.leading(x, target), rest.factors(), rest.changes(x, target), rest.descent(x, target)]
    found = {name: [] for name in ("error", "settled", "factor", "angle")}
    for change, leading, factor, exact, descent in zip(simulations, *theory, strict=True):
        flat = [each.reshape(len(WAYS), -1) for each in (change, leading, exact, descent)]
        change, leading, exact, descent = flat
        size = np.linalg.norm(leading, axis=1) * factor
        seen = size * mixing > FLOOR
        found["error"].append(np.where(seen, np.linalg.norm(change - factor * leading, axis=1) / size, np.nan))
        found["settled"].append(np.where(seen, np.linalg.norm(change - exact, axis=1) / size, np.nan))
        found["factor"].append(np.where(seen, np.sum(change * leading, axis=1) / np.sum(leading**2, axis=1), np.nan))
        found["angle"].append(np.where(seen, angle(change, descent), np.nan))
    return {name: np.array(each).T for name, each in found.items()}


def with_mixing(values, mixing):
    """Return values with the conductances for which lambda is this in all areas (g_D = g_B)."""
    pull = mixing / (1 - mixing) * (values["g_lk"] + values["g_B"])
    return {**values, "g_D": values["g_B"], "g_A": pull, "g_som": pull}


def simulated(values, hidden, mixing, seed):
    """Return a circuit that has come to rest with random examples, and these: inputs and targets."""
    depth = len(hidden)
    rates = {"eta_W": (1.0,) * (depth + 1), "eta_IP": (0.0,) * depth, "eta_PI": (0.0,) * depth, "eta_TD": 0.0}
    times = {"tau_w": DT, "tau_0": DT, "dt": DT, "lag": REST, "pattern": REST + DT, "capacitance": 1 * pF}
    start = {"start": network.SELF_PREDICTING, "w_width": 1.0, "td_width": 1.0, "sigma": 0.0}
    shape = {"hidden": hidden, "replicas": len(WAYS), "lanes": EXAMPLES}
    values = with_mixing(values, mixing) | SOFT | rates | times | start | shape
    task = random_task(seed)
    layers = network.Layers(values, task, seed, precision=np.float64)
    for k, (td, pi) in enumerate(zip(layers.TD, layers.PI, strict=True), start=2):
        w = layers.W[k - 1].w[0]
        td.w[0] = w.T
        pi.w[...] = -td.w
        layers.W[k - 1].w[1] = w
    layers.W[0].w[1] = layers.W[0].w[0]
    for k, ip in enumerate(layers.IP, start=1):
        ip.w[...] = layers.following(k) * layers.W[k].w
    circuit = layers.circuit()
    x, target = (each[0] for each in task.training(1, 1))
    circuit.feed(x, target)
    circuit.readout.expect(target)
    circuit.presentation.show(np.arange(EXAMPLES)[None])
    circuit.network.run(circuit.presentation.remaining, namespace={})
    return circuit, (x, target)


def random_task(seed):
    """Return examples with inputs U(0, 1) and target potentials U(-0.9, 0.9)."""
    draw = lambda generator, count: generator.uniform(0, 1, (count, INPUTS))  # noqa: E731
    return FunctionTask(
        "random", INPUTS, OUTPUTS, draw, lambda generator: lambda x: generator.uniform(-0.9, 0.9, (len(x), OUTPUTS)),
        EXAMPLES, EXAMPLES, seed, "ours",
    )  # fmt: skip


def slope(found):
    """Return the slope of log |found| against log lambda where lambda is small and nothing is rounding."""
    chosen = (LAMBDAS <= LEADING) & np.isfinite(found) & (found > 0)
    return np.polyfit(np.log(LAMBDAS[chosen]), np.log(found[chosen]), 1)[0] if chosen.sum() > 1 else np.nan
