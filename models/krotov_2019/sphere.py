"""The plasticity rule by itself: single units on the sphere of radius R (equations 2, 3 and 5), and Oja's rule."""

import numpy as np
from brian2 import Clock, Network, NetworkOperation, ms, second

from neurosim.neurons import NeuronType
from neurosim.plasticity import library
from neurosim.population import Population
from neurosim.presentation import Presentation
from neurosim.projection import Projection
from neurosim_models.krotov_2019.competing import CURRENT, INPUT, PAPER

DT, DELTA = 1 * ms, 0.4


def alone(activation):
    """Return the type of a unit by itself, whose learning activation g is an expression of Q (equation 2)."""
    return NeuronType(
        equations="""
        drive : 1
        size : 1
        Q : 1
        g : 1
        """,
        update=f"""
        Q = drive / size**((p - 1) / p)
        g = {activation}
        """,
        symbols={
            "drive": "current <W, v> (1)",
            "size": "<W, W>, the sum of |W|^p (1)",
            "Q": "current as it would be at radius 1 (1)",
            "p": "exponent of the norm",
            "g": "learning activation (1)",
        },
        source=f"{PAPER}, equation 2",
    )


LINEAR, STEPS = "Q", "int(Q > theta) - delta * int(Q > 0) * int(Q <= theta)"
ALONE = alone(LINEAR)
CURRENT_AND_SIZE = f"{CURRENT}\nsize_post = abs(w)**p"


class Units:
    """Units by themselves that learn by equation 2 from images shown in lanes, all lanes' changes added up.

    Parameters
    ----------
    start : array (inputs, units)
        Weights.
    p, R : float
        Exponent and radius.
    activation : str
        g as an expression of Q; ``theta`` and ``delta`` are known.
    tau_L : Quantity
        Time constant of learning, of one image.
    hold : int
        Time steps of 1 ms for which images are shown.
    """

    def __init__(self, start, p, activation, tau_L, *, lanes=1, hold=1, R=1.0, theta=0.0, delta=DELTA):
        clock = Clock(DT)
        shape = dict(lanes=lanes, clock=clock, dtype=np.float64)
        self.p, self.shown = p, Presentation(hold * clock.dt, clock=clock)
        self.x = Population(len(start), INPUT, order=0, **shape)
        constants = {"p": p} | ({"theta": theta, "delta": delta} if activation == STEPS else {})
        self.units = Population(start.shape[1], alone(activation), order=1, namespace=constants, **shape)
        self.W = Projection(
            self.x, self.units, CURRENT_AND_SIZE, library.COMPETITIVE, weights=start,
            namespace={"p": p, "R": R, "tau_L": tau_L},
        )  # fmt: skip
        self.network = Network(self.x, self.units, self.W, self.shown)

    def learn(self, images, look=None):
        """Show images (presentations, lanes, inputs); return what ``look()`` gave in every step, before learning."""
        count, lanes = images.shape[:2]
        self.shown.clamp(self.x, "v", images.reshape(count * lanes, -1))
        self.shown.show(np.arange(count * lanes).reshape(count, lanes))
        seen = []
        observer = watch(self.W.clock, lambda: seen.append(look())) if look else []
        self.network.add(observer)
        self.network.run(self.shown.remaining, namespace={})
        self.network.remove(observer)
        return seen

    @property
    def sizes(self):
        """<W, W> of each unit."""
        return (np.abs(self.W.w[0]) ** self.p).sum(axis=0)


def watch(clock, call):
    """Return an object that calls in every time step, before weights learn."""
    return NetworkOperation(call, clock=clock, when="synapses", order=-1)


def lyapunov(Q, activation, theta=0.0, delta=DELTA):
    """Return G(Q), the integral of g from 0: what L of equation 3 sums."""
    if activation == LINEAR:
        return 0.5 * Q**2
    return np.where(Q > theta, Q - theta - delta * theta, -delta * np.clip(Q, 0, theta))


def rate_of_lyapunov(weights, images, g, p, R=1.0):
    """Return tau_L dL/dt by equation 5, of each unit, (units,); for images side by side L is their sum.

    Parameters
    ----------
    weights : array (inputs, units)
    images : array (lanes, inputs)
    g : array (lanes, units)
        Learning activations.
    p, R : float
        Exponent and radius.
    """
    metric = np.abs(weights) ** (p - 2)
    pull = images.T @ g
    size = (metric * weights**2).sum(axis=0)
    within, across = (metric * pull**2).sum(axis=0), (metric * weights * pull).sum(axis=0)
    return (p - 1) * R**p * (size * within - across**2) / size ** ((p - 1) / p + 1)


EXPONENTS = (2.0, 3.0, 4.0)
STARTS = (0.3, 0.7, 1.5, 3.0)  # p-norms


def sphere(images, seed, shown, lanes):
    """Return p-norms that go to R, L that rises, and the angle to the principal component, of units by themselves.

    Parameters
    ----------
    images : array (examples, inputs)
        Inputs.
    seed : int
        Decides weights and order.
    shown : int
        Time steps of 1 ms: of images one after another, or of images side by side.
    lanes : int
        How many side by side.
    """
    generator = np.random.default_rng(seed)
    order = generator.integers(len(images), size=shown)
    draws = generator.standard_normal((images.shape[1], len(STARTS)))
    found = {"sphere/p": (np.array(EXPONENTS), "1"), "sphere/starts": (np.array(STARTS), "1")}
    for k, p in enumerate(EXPONENTS):
        start = draws / (np.abs(draws) ** p).sum(axis=0) ** (1 / p) * np.array(STARTS)
        units = Units(start, p, LINEAR, 0.3 * second)
        seen = units.learn(
            images[order][:, None], lambda u=units: (u.sizes, (u.units.view("g") * u.units.view("drive"))[0, 0])
        )
        sizes, drive = (np.array(each) for each in zip(*seen, strict=True))
        past = np.cumsum(drive, axis=0) - drive
        theory = 1 + (sizes[0] - 1) * np.exp(-p * past * float(DT) / 0.3)
        found |= {f"sphere/norm {k}": (sizes ** (1 / p), "1"), f"sphere/norm theory {k}": (theory ** (1 / p), "1")}

        side = images[:lanes]
        units = Units(draws[:, :1], p, STEPS, 30 * second, lanes=lanes, hold=shown, theta=1.0)
        seen = units.learn(
            side[None], lambda u=units: (u.W.w[0].copy(), *(u.units.view(name)[0, :, 0].copy() for name in "Qg"))
        )
        L = np.array([lyapunov(Q, STEPS, 1.0).sum() for _, Q, _ in seen])
        rates = np.array([rate_of_lyapunov(w, side, g[:, None], p)[0] for w, _, g in seen])
        summed = L[0] + (np.cumsum(rates) - rates) * float(DT) / 30
        found |= {f"sphere/L {k}": (L, "1"), f"sphere/L theory {k}": (summed, "1")}
    return found | oja(images, draws[:, 0], shown, lanes)


def oja(images, start, shown, lanes):
    """Return angles to the principal component, for p = 2 and g = Q, and for Oja's rule from the same start."""
    side = images[:lanes]
    principal = np.linalg.svd(side)[2][0]
    to_principal = lambda w: np.degrees(np.arccos(min(1, abs(w @ principal) / np.linalg.norm(w))))  # noqa: E731
    units = Units(start[:, None], 2.0, LINEAR, 15 * second, lanes=lanes, hold=shown)
    seen = units.learn(side[None], lambda: units.W.w[0, :, 0].copy())
    clock = Clock(DT)
    x, y = (
        Population(n, NeuronType("r : 1"), order=k, lanes=lanes, clock=clock, dtype=np.float64)
        for k, n in enumerate((len(start), 1))
    )
    w = Projection(
        x, y, "r_post = w * r_pre", library.OJA, weights=start[:, None], namespace={"eta": 1 / (15 * second)}
    )  # fmt: skip
    x.view("r")[0], learned = side, []
    observer = watch(clock, lambda: learned.append(w.w[0, :, 0].copy()))
    Network(x, y, w, observer).run(shown * DT, namespace={})
    return {
        "sphere/oja/eq 2": (np.array([to_principal(each) for each in seen]), "1"),
        "sphere/oja/rule": (np.array([to_principal(each) for each in learned]), "1"),
        "sphere/oja/lengths": (np.linalg.norm([seen, learned], axis=2), "1"),
    }
