"""Theory of one inverse that learns by plain steps, in a linear network: how near what it sends is to the gradient.

Equations   n = h + sigma xi    f = n W    V <- V + eta' <f^T (h - f V)>    <h^T h> = C 1    (h, f rows; W, V square)
            in the direction of a singular value s of W, after T steps:
            V: v(s) = C / (C + sigma^2) (1 - q) / s + q v_0    q = (1 - eta' (C + sigma^2) s^2)^T
            what comes back along V of a signal in any direction, against W^T, the gradient:
            cos = <v s> / sqrt(<s^2> <v^2>) = C / (C + sigma^2) <1 - q> / sqrt(<s^2> <v^2>)
            s of a random square matrix, elements of variance g^2 / N: density sqrt(4 g^2 - s^2) / (pi g^2), 0 to 2 g
            missed |h - h W V|^2 / |h|^2 = <(1 - C / (C + sigma^2) (1 - q))^2 + (q s v_0)^2>
Symbols     h activity of the layer, C its variance, xi normal noise, sigma its standard deviation; f activity above;
            W way up, V way back, v_0 its start, independent of W, as large as W; eta' step; <> mean, over lanes or s
Where a denoising inverse is all but exact, small s decide: v goes as 1 / s, and the mean of 1 / s^2 has no bound. So
the angle falls from 90 degrees to about 45, and rises again as the inverse becomes exact.
"""

import numpy as np

FINE = 20_000  # singular values


def singular_values(gain=1.0):
    """Return (singular values, their probabilities) of a large random square matrix."""
    s = 2 * gain * (np.arange(FINE) + 0.5) / FINE
    density = np.sqrt(4 * gain**2 - s**2)
    return s, density / density.sum()


def inverse(steps, eta, variance, sigma, gain=1.0):
    """Return (angle to W^T in degrees, fraction of the variance that is missed) of an inverse that has learned.

    Parameters
    ----------
    steps : int or array of int
        Steps T that it has learned for.
    eta, variance, sigma : float
        Its step eta', variance C of the activities, and the noise.
    gain : float
        Of the matrices: 1 for those of Glorot and Bengio.
    """
    s, p = singular_values(gain)
    whole = variance + sigma**2
    left = (1 - eta * whole * s**2) ** np.asarray(steps)[..., None]
    found = variance / whole * (1 - left)  # s v, but for what is left of the start
    sent = (p * ((found / s) ** 2 + (gain * left) ** 2)).sum(axis=-1)
    cosine = (p * found).sum(axis=-1) / np.sqrt((p * s**2).sum() * sent)
    missed = (p * ((1 - found) ** 2 + (gain * s * left) ** 2)).sum(axis=-1)
    return np.degrees(np.arccos(cosine)), missed
