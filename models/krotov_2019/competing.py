"""Equation 4: hidden units that inhibit one another; what is known of where they come to rest, and how fast.

Equations   tau dh/dt = I - w_inh sum over the others of r(h) - h    r(h) = max(h, 0)                        equation 4
            g(h) = 1 above h_*, -Delta between 0 and h_*, 0 below 0
Symbols     h activity, I current, r rate, g learning activation (1); w_inh inhibition, h_* threshold, Delta (1);
            tau time constant (s); k number of units that stay active, S sum of all rates
Theory      - For w_inh < 1 there is one state of rest. Where A are the k units that stay active,
              S = sum over A of I / (1 - w_inh + w_inh k),    h = (I - w_inh S) / (1 - w_inh) in A, I - w_inh S below 0
              else: those are active whose current is above w_inh S, so they are the k largest, and S (1 - w_inh) = sum
              of max(I - w_inh S, 0) has one root, as its left side rises with S and its right side falls.
            - So k depends on ratios of currents alone: units from the second on stay active one by one as w_inh falls,
              the second below I_2 / I_1, the third below I_3 / (I_1 + I_2 - I_3).
            - For w_inh = 1 the unit with the largest current stays, alone. For w_inh > 1 every unit whose current is
              above 0 and at least I_1 / w_inh can win, and keeps what it has won: the end depends on the beginning.
            - Differences obey tau d(h_a - h_b)/dt = I_a - I_b + w_inh (r_a - r_b) - (h_a - h_b): units that start alike
              stay in the order of their currents, whatever w_inh. From rest the unit with the largest current wins.
            - With k active units, differences among them relax with tau / (1 - w_inh), their sum with
              tau / (1 - w_inh + w_inh k), silent ones with tau. Forward Euler follows if
              dt / tau (1 + w_inh (k - 1)) < 2.
            - For currents drawn from a normal distribution of mean 0 and deviation sigma, k = n (1 - Phi(theta)) with
              theta (1 - w_inh) / w_inh = n (phi(theta) - theta (1 - Phi(theta))),    S = theta sigma / w_inh.
"""

import brian2
import numpy as np
from scipy.optimize import brentq
from scipy.sparse.csgraph import connected_components
from scipy.stats import norm

from neurosim.connectivity import AllToAllButSelf
from neurosim.errors import NotSettledError, ParameterError
from neurosim.neurons import NeuronType
from neurosim.projection import Projection

PAPER = "Krotov, Hopfield 2018, arXiv:1806.10181"
CURRENT = "drive_post = sign(w) * abs(w)**(p - 1) * v_pre"
INHIBITION = "inhibition_post = w * r_pre"

INPUT = NeuronType("v : 1", symbols={"v": "input, set by the presentation (1)"}, source=f"{PAPER}, section 2")
COMPETING = NeuronType(
    equations="""
    dh/dt = (drive - inhibition - h) / tau : 1
    drive : 1
    inhibition : 1
    r = clip(h, 0, inf) : 1
    won = int(h > h_star) : 1
    g = won - delta * int(h > 0) * int(h <= h_star) : 1
    """,
    method="euler",
    symbols={
        "h": "activity (1)",
        "drive": "current I = <W, v>, sum of sign(W) |W|^(p - 1) v (1)",
        "inhibition": "w_inh times the sum of the other units' rates (1)",
        "tau": "time constant (s)",
        "r": "rate max(h, 0) (1)",
        "won": "1 above h_*, where the weights are pushed towards the input, else 0",
        "g": "learning activation: 1 above h_*, -Delta between 0 and h_*, 0 below 0",
        "h_star": "threshold h_* (1)",
        "delta": "Delta: how strongly a unit between 0 and h_* is pushed away (1)",
    },
    source=f"{PAPER}, equation 4 and section 2.2; two values of g as in section 3",
)


def inhibit(units, w_inh, name="inhibition"):
    """Return the projection by which each unit inhibits all others: one weight, or one a replica, O(n)."""
    weights = np.asarray(w_inh, float)
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ParameterError(f"w_inh: inhibition of at least 0 is needed, got {w_inh}")
    weights = weights.reshape(-1, 1) if weights.size > 1 else weights.reshape(1)
    return Projection(units, units, INHIBITION, weights=weights, connectivity=AllToAllButSelf(), name=name)


def steady_state(currents, w_inh):
    """Return the activity h at which equation 4 comes to rest; from h = 0, if there are several such states.

    Parameters
    ----------
    currents : array (..., n)
        I of the units that inhibit one another.
    w_inh : float
        Strength of the inhibition, at least 0.

    Raises
    ------
    ParameterError
        For a negative w_inh.
    """
    currents = np.asarray(currents, float)
    if not 0 <= w_inh < np.inf:
        raise ParameterError(f"w_inh: inhibition of at least 0 is needed, got {w_inh}")
    largest_first = -np.sort(-currents, axis=-1)
    if w_inh >= 1:  # the largest alone
        total = np.maximum(largest_first[..., :1], 0)
        h = currents - w_inh * total
        first = np.argmax(currents, axis=-1)[..., None]
        np.put_along_axis(h, first, largest_first[..., :1], axis=-1)
        return h
    k = np.arange(1, currents.shape[-1] + 1)
    sums = np.cumsum(largest_first, axis=-1) / (1 - w_inh + w_inh * k)  # S, if the k largest are active
    active = ((largest_first > w_inh * sums) & (largest_first > 0)).sum(axis=-1, keepdims=True)
    total = np.where(active > 0, np.take_along_axis(sums, np.maximum(active - 1, 0), axis=-1), 0)
    left = currents - w_inh * total
    return np.where(left > 0, left / (1 - w_inh), left)


def possible_winners(currents, w_inh):
    """Return, for w_inh of at least 1, which units can win alone: a mask of the currents' shape (..., n)."""
    if not 1 <= w_inh < np.inf:
        raise ParameterError(f"w_inh: units win alone from 1 on, got {w_inh}; below there is one state of rest")
    return (currents > 0) & (w_inh * currents >= currents.max(axis=-1, keepdims=True))


def active_of_normal(w_inh, n):
    """Return how many of n units with normal currents of mean 0 stay active, for large n; see Theory."""
    if w_inh >= 1:
        return 1.0
    if w_inh == 0:
        return n / 2
    above = lambda theta: norm.pdf(theta) - theta * norm.sf(theta)  # noqa: E731
    theta = brentq(lambda x: x * (1 - w_inh) / w_inh - n * above(x), 0, 50)
    return n * norm.sf(theta)


def largest_dt(tau, w_inh, active):
    """Return the time step below which forward Euler follows equation 4 with so many active units."""
    return 2 * tau / (1 + w_inh * (active - 1))


def check(values):
    """Raise a ParameterError for numbers with which the units cannot compete, or not within a presentation."""
    tau, w_inh, dt, hold = (values[name] for name in ("tau", "w_inh", "dt", "hold"))
    if dt >= largest_dt(tau, w_inh, 2):
        raise ParameterError(
            f"dt: forward Euler follows two active units below 2 tau / (1 + w_inh) = {largest_dt(tau, w_inh, 2)}, and "
            f"more with less, got {dt}"
        )
    slowest = tau / (1 - w_inh) if w_inh < 1 else tau
    if hold < (1 - 1e-9) * slowest:  # as 1 - 0.9 is not 0.1
        raise ParameterError(
            f"hold: differences between active units relax with tau / (1 - w_inh) = {slowest}; an input must be held "
            f"for at least that, better three times as long, got {hold}"
        )
    if values["tau_L"] < hold:
        raise ParameterError(
            f"tau_L: learning must be slower than an input is held, {hold} (section 2.1), got {values['tau_L']}"
        )


ALIKE = 0.9


def distinct(weights, used):
    """Return how many features units have learned, where those that are alike count as one, (replicas,).

    Two units are alike if the cosine of their weights is above ALIKE, or if a chain of such units links them.

    Parameters
    ----------
    weights : array (replicas, inputs, units)
        Features.
    used : array of bool (replicas, units)
        Units that count.
    """
    found = np.zeros(len(weights))
    for replica, (features, counted) in enumerate(zip(np.asarray(weights, float), used, strict=True)):
        features = features[:, counted] / np.linalg.norm(features[:, counted], axis=0)
        found[replica] = connected_components(features.T @ features > ALIKE)[0] if counted.any() else 0
    return found


COUNT, ON = "count", ("count", "raise")


class Competition(brian2.core.base.BrianObject):
    """Counts how units compete, in the last time step of every presentation, while their weights are plastic.

    Parameters
    ----------
    presentation : Presentation
        What is shown.
    weights : Projection
        From the input to units of type COMPETING.
    w_inh : float
        Their inhibition.
    tolerance : float
        A presentation has settled if no unit moves by this part of its lane's largest current in a time tau.
    unsettled : {"raise", "count"}
        What happens where one has not: the run stops, or it goes on and that is counted.
    phase : str, optional
        The phase at whose end it counts; the presentation's end if it is left out.

    Raises
    ------
    NotSettledError
        With ``unsettled="raise"``: names the residual, the unit and the time. And where more units are active than
        forward Euler can follow, or all swing; says which time step could.
    """

    add_to_magic_network = True
    NAMES = ("presentations", "unsettled", "active", "pushed_towards", "pushed_away", "winner", "as_ranking")

    def __init__(self, presentation, weights, w_inh, tolerance, phase=None, unsettled="raise", name="competition*"):
        super().__init__(clock=presentation.clock, when="synapses", order=-1, name=name)  # before weights learn
        self.presentation, self.weights, self.units = presentation, weights, weights.target
        self.w_inh, self.tolerance, self.phase = float(w_inh), tolerance, phase
        self.raises = {"raise": True, COUNT: False}[unsettled]
        self.most = self._most()
        self.begin()

    def _most(self):
        tau, dt = (float(each) for each in (self.units.namespace["tau"], self.units.clock.dt))
        return np.inf if not self.w_inh else 1 + (2 * tau / dt - 1) / self.w_inh

    def begin(self):
        """Count anew."""
        self.counts = np.zeros((len(self.NAMES), self.units.replicas))
        self.used = np.zeros((self.units.replicas, self.units.n), bool)

    def run(self):
        shown, units = self.presentation, self.units
        over = shown.last_step if self.phase is None else shown.ends == self.phase
        if not over or not self.weights.plastic:
            return
        h, drive = units.view("h"), units.view("drive")
        rate = np.maximum(h, 0)
        active = (h > 0).sum(axis=2)
        moves = drive - self.w_inh * (rate.sum(axis=2, keepdims=True) - rate) - h
        unsettled = np.abs(moves).max(axis=2) > self.tolerance * np.abs(drive).max(axis=2)
        swings = unsettled & (active == 0) & (drive.max(axis=2) > 0)  # at rest the largest would be active
        if active.max() >= self.most or (swings.any() and units.n >= self.most):
            self._refuse(np.where(swings, units.n, active))
        if self.raises and unsettled.any():
            self._raise(np.abs(moves), np.abs(drive).max(axis=2, keepdims=True))
        h_star = float(units.namespace["h_star"])
        won, first = h > h_star, drive.argmax(axis=2)[:, :, None]
        winner = np.take_along_axis(won, first, axis=2)[:, :, 0]
        self.used |= won.any(axis=1)
        towards = won.sum(axis=2)
        as_ranking = winner & (towards == 1) & (active == 2)
        found = np.ones_like(active), unsettled, active, towards, active - towards, winner, as_ranking
        self.counts += np.array([each.sum(axis=1) for each in found])

    def _raise(self, moves, drive):
        residual = moves / drive
        at = int(residual.argmax())
        replica, lane, unit = self.units.describe(at)
        raise NotSettledError(
            f"{self.units.name}.h has not settled at t = {1e3 * self.clock.t_[:]:g} ms: neuron {unit}, replica "
            f"{replica}, lane {lane} still moves by {residual.flat[at]:.3g} of its lane's largest current in tau, the "
            f"tolerance is {self.tolerance:g}; a longer hold, a larger tolerance or unsettled={COUNT} would let the "
            "run go on"
        )

    def _refuse(self, active):
        replica, lane = np.unravel_index(active.argmax(), active.shape)
        count, tau = active[replica, lane], self.units.namespace["tau"]
        raise NotSettledError(
            f"{self.units.name}: {count} units are active, or swing, in replica {replica}, lane {lane} at t = "
            f"{1e3 * self.clock.t_[:]:g} ms, Euler with dt = {self.clock.dt} follows fewer than {self.most:.3g}: "
            f"dt below {largest_dt(tau, self.w_inh, count)} would do, or a larger w_inh"
        )

    @property
    def measures(self):
        """What is computed after every epoch, see :class:`neurosim.training.Circuit`; means over presentations.

        ``unsettled``: part that had not settled. ``active``, ``pushed_towards``, ``pushed_away``: numbers of units with
        h > 0, with g = 1, with g = -Delta. ``winner``: part in which the unit with the largest current has g = 1;
        ``as_ranking``: in which g is what the ranking by currents gives for k = 2, 1 and -Delta for the two largest.
        ``used``: part of the units that had g = 1 at least once; ``distinct``: how many features those have.
        """

        def mean(name):
            return lambda: self.counts[self.NAMES.index(name)] / np.maximum(1, self.counts[0])

        counted = {name: (mean(name), "1") for name in self.NAMES[1:]}
        found = {"used": (lambda: self.used.mean(axis=1), "1")}
        return counted | found | {"distinct": (lambda: distinct(self.weights.w, self.used), "1")}

    def state(self):
        """Return what has been counted, as arrays by name, for checkpoints."""
        return {"counts": self.counts.copy(), "used": self.used.copy()}

    def set_state(self, arrays):
        """Set what :meth:`state` gave."""
        self.counts[...], self.used[...] = arrays["counts"], arrays["used"]
