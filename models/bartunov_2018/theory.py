"""Theory of one inverse that learns by plain steps, in a linear network: how near what it sends is to the gradient.

Equations   n = h + sigma xi    f = n W    V <- V + eta' <f^T (h - f V)>    <h^T h> = C 1    (h, f rows; W, V square)
            in the direction of a singular value s of W, after T steps:
            V: v(s) = C / (C + sigma^2) (1 - q) / s + q v_0    q = (1 - eta' (C + sigma^2) s^2)^T
            what comes back along V of a signal in any direction, against W^T, the gradient:
            cos = <v s> / sqrt(<s^2> <v^2>) = C / (C + sigma^2) <1 - q> / sqrt(<s^2> <v^2>)
            s of a random square matrix whose elements have the variance g^2 / N: sqrt(4 g^2 - s^2) / (pi g^2), 0 to 2 g
Symbols     h activity of the layer, C its variance, xi normal noise, sigma its standard deviation; f activity above; W way
            up, V way back, v_0 its start, independent of W, as large as W; eta' step; <> mean, over lanes or over s
A denoising inverse. Where it is all but exact, small s decide: v goes as 1 / s, and the mean of 1 / s^2 has no bound. So
the angle falls from 90 degrees to about 45, and rises to 90 degrees again as the inverse becomes exact.
"""

import numpy as np

FINE = 20_000  # singular values


def singular_values(gain=1.0):
    """Return (singular values, their probabilities) of a large random square matrix."""
    s = 2 * gain * (np.arange(FINE) + 0.5) / FINE
    density = np.sqrt(4 * gain**2 - s**2)
    return s, density / density.sum()


def angle_to_transposed(steps, eta, variance, sigma, gain=1.0):
    """Return the angle between what an inverse sends back and what W^T would, in degrees.

    Parameters
    ----------
    steps : int or array of int
        Steps T that the inverse has learned for.
    eta, variance, sigma : float
        Its step eta', variance C of the activities, and the noise.
    gain : float
        Of the matrices: 1 for those of Glorot and Bengio.
    """
    s, p = singular_values(gain)
    whole = variance + sigma**2
    left = (1 - eta * whole * s**2) ** np.asarray(steps)[..., None]
    learned = variance / whole * (1 - left) / s
    along = (p * learned * s).sum(axis=-1)
    sent = (p * (learned**2 + gain**2 * left**2)).sum(axis=-1)
    return np.degrees(np.arccos(along / np.sqrt((p * s**2).sum() * sent)))
