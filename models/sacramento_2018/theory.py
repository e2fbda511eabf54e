"""What the circuit computes once it has come to rest, without noise, in double precision.

Written down a second time, with NumPy and by other means than the simulated circuit, which is held against it.

Rest        u_k = v^_B,k + l_k v_A,k in hidden areas    u_N = (1 - l_N) v^_B,N + l_N u_trgt
            u^I_k = (1 - l_I) v^_D,k + l_I u_(k+1)      v_A,k = TD_k phi(u_(k+1)) + PI_k phi(u^I_k)
            l_k = g_A / (g_lk + g_B + g_A)   l_I = g_som / (g_lk + g_D + g_som)   l_N = g_som / (g_lk + g_B + g_som)
Error       e_k = u_k - v^_B,k, what the dendrite does not predict. In the self-predicting state v^_D,k = v^_B,(k+1), so
            that u^I_k = u_(k+1) - (1 - l_I) e_(k+1): the interneuron is pulled along by l_I and explains so much away.
            e_N = l_N (u_trgt - v^_B,N) exactly;  e_k = l_k (1 - l_I) TD_k D_(k+1) e_(k+1) + O(e^2),  D = phi'(v^_B).
Change      dW_k ~ D_k e_k r_(k-1)^T = F_k (prod over l = k .. N - 1 of D_l TD_l) D_N (u_trgt - v^_B,N) r_(k-1)^T
            F_k = l_N prod over l = k .. N - 1 of l_l (1 - l_I): of order lambda^(N - k + 1) where all l are lambda
Loss        L = sum over outputs of the integral of phi(u) - phi(v^_B) du from v^_B to u_trgt, of which
            dL / dv^_B = -D (u_trgt - v^_B). Backprop of L takes a_(l+1) W_(l+1)^T in the place of TD_l, where
            v^_B,l = a_l v_B,l, and has the factor a_k in the place of F_k. So with TD proportional to W^T the
            angle to -dL / dW_k vanishes as lambda does.
"""

from dataclasses import dataclass

import numpy as np

from neurosim.errors import NotSettledError
from neurosim_models.sacramento_2018.network import attenuation, mixing, rate

NODES, SHARES = np.polynomial.legendre.leggauss(20)  # of the loss's integral, on [-1, 1]


@dataclass(frozen=True)
class AtRest:
    """A circuit with given weights; everything is computed for all replicas and examples at once.

    Parameters
    ----------
    values : dict
        Conductances and rates, as network.parameters names them.
    W, TD, IP, PI : list of arrays (replicas, n_pre, n_post)
        From the input up: W of N areas, the others of N - 1 hidden areas.
    """

    values: dict
    W: list
    TD: list
    IP: list
    PI: list

    @classmethod
    def of(cls, values, projections):
        """Return the circuit that has the weights of these projections, name to Projection."""
        kinds = {"W": [], "TD": [], "IP": [], "PI": []}
        for name, projection in projections.items():
            kinds[name.partition("_")[0]].append(projection.copy_of_weights().astype(float))
        return cls(values, **kinds)

    def share(self, k):
        """Return a_k: how much of the basal potential of area k (1 .. N) reaches its soma."""
        return attenuation(self.values)["output" if k == len(self.W) else "hidden"]

    def slope(self, u):
        """Return phi'(u)."""
        gamma, slope, theta = (self.values[name] for name in ("gamma", "slope", "theta"))
        return gamma * slope / (1 + np.exp(-slope * (u - theta)))

    def predict(self, x):
        """Return rates of areas 0 .. N and attenuated basal potentials of areas 1 .. N, when nothing is sent back."""
        rates, potentials = [np.broadcast_to(x, (len(self.W[0]), *x.shape[-2:]))], []
        for k, w in enumerate(self.W, start=1):
            potentials.append(self.share(k) * rates[-1] @ w)
            rates.append(rate(potentials[-1], self.values))
        return rates, potentials

    def loss(self, x, target):
        """Return L, summed over examples, (replicas,)."""
        v = self.predict(x)[1][-1]
        along = [v + (1 + node) / 2 * (target - v) for node in NODES]
        inner = sum(share / 2 * rate(u, self.values) for share, u in zip(SHARES, along, strict=True))
        return np.sum((target - v) * (inner - rate(v, self.values)), axis=(1, 2))

    def descent(self, x, target):
        """Return -dL / dW_1, ..., summed over examples."""
        back = [self.share(k + 1) * np.swapaxes(self.W[k], 1, 2) for k in range(1, len(self.W))]
        return [self.share(k) * change for k, change in enumerate(self._brought_back(x, target, back), start=1)]

    def leading(self, x, target):
        """Return the changes of W_1, ... to leading order but for F_k, summed over examples."""
        return self._brought_back(x, target, self.TD)

    def factors(self):
        """Return F_1, ..., F_N."""
        share, depth = mixing(self.values), len(self.TD)
        return share["output"] * (share["hidden"] * (1 - share["interneuron"])) ** np.arange(depth, -1, -1.0)

    def _brought_back(self, x, target, back):
        rates, potentials = self.predict(x)
        slopes = [self.slope(v) for v in potentials]
        errors = [slopes[-1] * (target - potentials[-1])]
        for way, slope in zip(back[::-1], slopes[-2::-1], strict=True):
            errors.insert(0, slope * (errors[0] @ way))
        return [_outer(r, e) for r, e in zip(rates, errors, strict=False)]

    def settle(self, x, target=None, most=20_000, tolerance=1e-14):
        """Return the potentials at rest: of areas 1 .. N, and of the interneurons of areas 1 .. N - 1.

        Raises
        ------
        NotSettledError
            If they still move after ``most`` iterations.
        """
        share, inner, top = mixing(self.values), attenuation(self.values)["interneuron"], len(self.W) - 1
        x = np.broadcast_to(x, (len(self.W[0]), *x.shape[-2:]))
        u = self.predict(x)[1]
        taught = [each.copy() for each in u[1:]]
        moved = np.inf
        for _ in range(most):
            r = [x, *(rate(each, self.values) for each in u)]
            r_taught = [rate(each, self.values) for each in taught]
            basal = [self.share(k) * r[k - 1] @ w for k, w in enumerate(self.W, start=1)]
            new = [
                basal[k] + share["hidden"] * (r[k + 2] @ self.TD[k] + r_taught[k] @ self.PI[k]) for k in range(top)
            ]  # fmt: skip
            pull = share["output"] if target is not None else 0
            new.append(basal[top] + (pull * (target - basal[top]) if pull else 0))
            beside = [
                (1 - share["interneuron"]) * inner * r[k + 1] @ self.IP[k] + share["interneuron"] * u[k + 1]
                for k in range(top)
            ]  # fmt: skip
            moved = max(np.abs(a - b).max() for a, b in zip((*new, *beside), (*u, *taught), strict=True))
            u = [(a + b) / 2 for a, b in zip(new, u, strict=True)]
            taught = [(a + b) / 2 for a, b in zip(beside, taught, strict=True)]
            if moved < tolerance:
                return u, taught
        raise NotSettledError(f"AtRest.settle: after {most} iterations a potential still moves by {moved:.3g}")

    def changes(self, x, target):
        """Return what the forward rule makes of the state of rest, dW_1, ... with the rate 1, summed over examples."""
        u, _ = self.settle(x, target)
        r = [np.broadcast_to(x, (len(self.W[0]), *x.shape[-2:])), *(rate(each, self.values) for each in u)]
        predicted = [rate(self.share(k) * r[k - 1] @ w, self.values) for k, w in enumerate(self.W, start=1)]
        return [_outer(below, here - p) for below, here, p in zip(r, r[1:], predicted, strict=False)]


def _outer(rates, errors):
    """Return the sum over examples of rates times errors, (replicas, n_pre, n_post)."""
    return np.swapaxes(rates, 1, 2) @ errors
