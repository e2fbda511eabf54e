"""What a network that settles computes: energy, fixed points and the gradient of its loss, in double precision.

Written down a second time, with NumPy and by other means than the simulated network, which is held against it.

Energy      s are the states of all layers that settle, one after another. Within the borders the energy is a quadratic
            form, F = 1/2 s A s - h s + constants, with A = 1 - W - W^T + 2 beta P and h = b + x W_1 + 2 beta P d; P is
            1 for output units and else 0.
Steps       s <- clip(s + epsilon (h - A s), 0, 1) goes down the gradient of F within a box. F falls in every step if
            epsilon < 2 / Lambda, Lambda the largest eigenvalue of A: F(new) <= F(old) - (1 / epsilon - Lambda / 2)
            |new - old|^2.
Rest        Units within the borders obey (A s)_f = h_f, a unit at 0 has h - A s <= 0, one at 1 has h - A s >= 0. While
            these sets stay, what is left shrinks by max |1 - epsilon lambda| in a step, lambda the eigenvalues of A_ff.
Early end   Where Lambda and the smallest eigenvalue lie so that q = max |1 - epsilon lambda| over all of A is below 1,
            a step is a contraction, clipped or not: after a step of length r the rest is at most q / (1 - q) r away.
Gradient    Units at a border do not answer to small changes. m_f = A_ff^-1 g_f, g = 2 (y - d) in the output, m = 0 at
            the borders: dC/dW_ij = m_i s_j + s_i m_j, dC/db_i = m_i.
Expansion   s(beta) = s + beta v_1 + beta^2 v_2 + ..., v_1 = -m, v_(k+1) = -2 A_ff^-1 P v_k, until a unit crosses a
            border. The contrastive update is c_0 + c_1 beta + c_2 beta^2 + ... with c_n the sum over k from 0 to
            n + 1 of v_k v_(n+1-k), v_0 = s, and c_0 = -dC/dW. With +beta and -beta the odd terms cancel. Where a unit
            crosses at beta_c, v_1 changes and the error grows as 1 - beta_c / beta; if the fixed point ceases to be a
            minimum there, the state jumps to another one, and the error with it.
"""

from dataclasses import dataclass

import numpy as np

from neurosim.errors import NotSettledError

SOLVED = 1e-12  # |s - clip(s + h - A s, 0, 1)| of an exact fixed point, the rounding of double precision apart
NEAR = 1e-3  # where steps have to lead before equations are solved: it could be another one


@dataclass(frozen=True)
class Chain:
    """A chain of layers with given weights.

    Parameters
    ----------
    weights : list of arrays (n_below, n_here)
        From the input up.
    biases : list of arrays (n_here,)
        Of the layers that settle.
    """

    weights: list
    biases: list

    @property
    def sizes(self):
        """Units of the layers that settle."""
        return [len(b) for b in self.biases]

    def layers(self, s):
        """Cut states of all units (n,) into those of the layers."""
        return np.split(s, np.cumsum(self.sizes)[:-1])

    def outputs(self):
        """Return which units are output units, (n,)."""
        return np.arange(sum(self.sizes)) >= sum(self.sizes[:-1])

    def matrix(self, beta=0.0):
        """Return A, (n, n)."""
        a = np.diag(np.where(self.outputs(), 1 + 2 * beta, 1.0))
        ends = np.cumsum([0, *self.sizes])
        for k, w in enumerate(self.weights[1:]):
            below, here = slice(ends[k], ends[k + 1]), slice(ends[k + 1], ends[k + 2])
            a[below, here], a[here, below] = -w, -w.T
        return a

    def drive(self, x, target=None, beta=0.0):
        """Return h, (n,)."""
        h = np.concatenate(self.biases)
        h[: self.sizes[0]] += x @ self.weights[0]
        if beta:
            h[self.outputs()] += 2 * beta * target
        return h

    def cost(self, s, target):
        """Return C = |y - d|^2."""
        return float(np.sum((s[self.outputs()] - target) ** 2))

    def energy(self, s, x, target=None, beta=0.0):
        """Return F = E + beta C of states (n,), term by term as equation 1 has it."""
        chain = [x, *self.layers(s)]
        total = 0.5 * sum(np.sum(each**2) for each in chain[1:])
        total -= sum(below @ w @ here for below, w, here in zip(chain, self.weights, chain[1:], strict=False))
        total -= sum(b @ here for b, here in zip(self.biases, chain[1:], strict=True))
        return float(total + (beta * self.cost(s, target) if beta else 0))

    def steps(self, s, x, epsilon, count, target=None, beta=0.0):
        """Return the states after 0, 1, ... ``count`` Euler steps, (count + 1, n)."""
        a, h = self.matrix(beta), self.drive(x, target, beta)
        found = [s]
        for _ in range(count):
            s = np.clip(s + epsilon * (h - a @ s), 0, 1)
            found.append(s)
        return np.array(found)

    def settle(self, x, target=None, beta=0.0, start=None, most=200_000):
        """Return the exact fixed point that Euler steps from a start lead to, (n,).

        Raises
        ------
        NotSettledError
            If the borders at which units are still change after so many steps.
        """
        a, h = self.matrix(beta), self.drive(x, target, beta)
        s = np.zeros(len(h)) if start is None else start
        epsilon = min(0.5, 1 / np.linalg.eigvalsh(a)[-1])
        for _ in range(0, most, 100):
            for _ in range(100):
                s = np.clip(s + epsilon * (h - a @ s), 0, 1)
            free = (s > 0) & (s < 1)
            solved = s.copy()
            solved[free] = np.linalg.solve(a[np.ix_(free, free)], h[free] - a[np.ix_(free, ~free)] @ s[~free])
            residual = np.abs(np.clip(solved + h - a @ solved, 0, 1) - solved).max()
            if residual < SOLVED and np.abs(solved - s).max() < NEAR:
                return solved
        raise NotSettledError(f"Chain.settle: after {most} steps a unit still moves by {residual:.3g} in a step")

    def still(self, s):
        """Return which units are at a border, (n,)."""
        return (s <= 0) | (s >= 1)

    def rate(self, s, epsilon, beta=0.0, everywhere=False):
        """Return by how much what is left to a fixed point s shrinks in a step; or q, for states that are anywhere."""
        free = np.full(len(s), True) if everywhere else ~self.still(s)
        return float(np.abs(1 - epsilon * np.linalg.eigvalsh(self.matrix(beta)[np.ix_(free, free)])).max(initial=0))

    def longest_step(self, beta=0.0):
        """Return 2 / Lambda: with shorter steps the energy falls in every one."""
        return 2 / float(np.linalg.eigvalsh(self.matrix(beta))[-1])

    def pairs(self, first, second, x=None, on=0.0):
        """Return first_i second_j of all synapses, W_1, b_1, W_2, ... one after another; x and 1 send where given."""
        below = [np.zeros(len(self.weights[0])) if x is None else x, *self.layers(first)]
        found = []
        for a, b in zip(below, self.layers(second), strict=False):
            found += [np.outer(a, b).ravel(), on * b]
        return np.concatenate(found)

    def gradient(self, s, x, target):
        """Return dC/dW_1, dC/db_1, ... at a fixed point, one after another, by implicit differentiation."""
        m = -self.answers(s, target, 1)[1]
        return self.pairs(m, s) + self.pairs(s, m, x, 1.0)

    def answers(self, s, target, order):
        """Return s, v_1, v_2, ...: the terms of s(beta), at a fixed point."""
        free, outputs = ~self.still(s), self.outputs()
        a = self.matrix()[np.ix_(free, free)]
        found = [s]
        push = np.zeros(len(s))
        push[outputs] = 2 * (target - s[outputs])
        for _ in range(order):
            v = np.zeros(len(s))
            v[free] = np.linalg.solve(a, push[free])
            found.append(v)
            push = np.where(outputs, -2 * v, 0)
        return found

    def expansion(self, s, x, target, order):
        """Return c_0, c_1, ...: terms of the contrastive update at a fixed point, (order + 1, synapses)."""
        v = self.answers(s, target, order + 1)
        terms = []
        for n in range(1, order + 2):
            term = sum(self.pairs(v[k], v[n - k]) for k in range(1, n))
            terms.append(term + self.pairs(v[n], s) + self.pairs(s, v[n], x, 1.0))
        return np.array(terms)

    def holds(self, s, x, target, beta):
        """Say whether all units that are at a border at the fixed point s stay there, and no other unit gets there."""
        still, a, h = self.still(s), self.matrix(beta), self.drive(x, target, beta)
        free = ~still
        block = a[np.ix_(free, free)]
        moved = s.copy()
        moved[free] = np.linalg.solve(block, h[free] - a[np.ix_(free, still)] @ s[still])
        push = (h - a @ moved)[still]
        inside = ((moved[free] > 0) & (moved[free] < 1)).all()
        stable = np.linalg.eigvalsh(block).min(initial=1) > 0
        return bool(inside and stable and np.where(s[still] > 0, push >= 0, push <= 0).all())

    def contrast(self, s, x, target, beta, centred=False):
        """Return the contrastive update from the exact fixed points that a fixed point goes to, (synapses,)."""
        high = self.settle(x, target, beta, s)
        low = self.settle(x, target, -beta, s) if centred else s
        return (self.pairs(high, high, x, 1.0) - self.pairs(low, low, x, 1.0)) / ((1 + centred) * beta)
