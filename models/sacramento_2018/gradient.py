"""Experiment  gradient (section 2, the theorem of the supplement)
            Does the forward rule follow the gradient of a loss? The study holds the changes in simulated circuits at
            rest, with one, two and three hidden areas, against backprop and theory, for many mixing factors lambda.
            Training tells the angles while a circuit learns digits, with the published conductances and weaker ones.
Equations   see network; L, -dL / dW and the leading term of the change: see theory
Theory      - dW_k = F_k (prod of D_l TD_l, l = k .. N - 1) D_N (u_trgt - v^_B,N) r_(k-1)^T + O(lambda^(N-k+2)) with
              F_k = lambda^(N-k+1) (1 - lambda)^(N-k): interneurons that are nudged with lambda_I explain that share of
              the error away, so that each area below the output loses 1 - lambda_I besides the paper's lambda.
            - With TD in proportion to W^T the direction is that of -dL / dW: angle and relative error have slope 1 in
              lambda. With random TD the angle is that of feedback alignment, at any lambda.
            - The leading term holds as long as an error, lambda (u_trgt - v^_B), stays within the bend of phi.
            - Noise moves IP away from f W: it raises mean rates by phi'' s^2 / 2, and somata lag noisy dendrites.
              Neither is less where lambda is, but what holds IP at f W is: weak mixing asks for little noise. Found at
              lambda = 0.1: IP half of f W off, the hidden update at 90 degrees to the gradient; errors fall anyhow.
Symbols     angle_of_update: between what the hidden weights would learn, at rest and without noise, from 20 training
            examples, and -dL / dW; angle_to_theory: to the leading term with the circuit's own TD (degrees)
Departures  - Study: 8 to 20 cells an area, W U(-1, 1), inputs U(0, 1), targets U(-0.9, 0.9), phi = log(1 + exp(u)).
            - Training: as in digits, 1 pF; with lambda = 0.1 learning rates are multiplied by the ratios of F_k.
Expect      digits, means over 5 replicas after 8 epochs: at most 14 % test error with the published conductances
"""

import numpy as np
from brian2 import ms

from neurosim.analysis import angle
from neurosim.experiment import Expect, Experiment, Preset
from neurosim_models.sacramento_2018 import cells, digits, gradient_figures, network
from neurosim_models.sacramento_2018.gradient_study import study, with_mixing
from neurosim_models.sacramento_2018.network import S25
from neurosim_models.sacramento_2018.theory import AtRest

SHOWN = 20  # examples whose gradient is looked at after every epoch
PUBLISHED, WEAK = "published", "weak_mixing"
MIXING = 0.1


def build(values, data, seed):
    """Return the circuit of a condition, with the angles of what it would learn."""
    circuit = digits.build(values, data, seed)
    shown = slice(0, SHOWN)
    x = data.train_images[shown].astype(float)
    target = np.where(np.eye(data.n_classes)[data.train_labels[shown]] > 0, values["u_shown"], values["u_others"])

    def angle_to(kind):
        rest = AtRest.of(values, circuit.projections)
        pair = rest.changes(x, target)[0], getattr(rest, kind)(x, target)[0]
        return angle(*(each.reshape(len(each), -1) for each in pair))

    circuit.measures |= {
        "angle_of_update": (lambda: angle_to("descent"), "degree"),
        "angle_to_theory": (lambda: angle_to("leading"), "degree"),
    }
    return circuit


def slower(values, mixing):
    """Return the settings for another lambda, learning rates divided by what F_k becomes."""
    rates = {name: np.array(each) for name, each in digits.RATES.items()}
    weak = with_mixing(values, mixing)
    known, new = ((network.mixing(each)) for each in (values, weak))
    output, inner = known["output"] / new["output"], known["interneuron"] / new["interneuron"]
    hidden = output * known["hidden"] * (1 - known["interneuron"]) / (new["hidden"] * (1 - new["interneuron"]))
    return {
        "g_A": weak["g_A"], "g_som": weak["g_som"], "eta_PI": digits.RATES["eta_PI"],
        "eta_W": tuple(float(each) for each in rates["eta_W"] * [hidden, output]),
        "eta_IP": tuple(float(each) for each in rates["eta_IP"] * inner * output),
    }  # fmt: skip


QUICK = {
    "pattern": (digits.WHOLE * ms, "ours: membranes settle in 0.5 ms, the input in 3 ms"),
    "dt": (0.5 * ms, "ours: the largest below the membranes' time constants"),
    "sigma": (0.1, S25),
}
DEFAULTS = {each.name: each.value for each in digits.parameters()}
STRONG = {"g_A": DEFAULTS["g_A"], "g_som": DEFAULTS["g_som"]}

GRADIENT = Experiment(
    name="gradient",
    title="the forward plasticity beside the gradient of a loss, against the mixing of teaching signals",
    notes=__doc__,
    parameters=digits.parameters(),
    presets={
        "digits": Preset(
            values={**digits.VALUES, **QUICK, "epochs": (8, "ours")},
            inputs=64,
            duration="3 min",
            expect=(Expect(0.14, "as in digits", PUBLISHED),),
        )
    },
    build=build,
    conditions={
        PUBLISHED: STRONG,
        f"{PUBLISHED}_no_noise": STRONG | {"sigma": 0.0},
        WEAK: slower(DEFAULTS, MIXING),
        f"{WEAK}_no_noise": slower(DEFAULTS, MIXING) | {"sigma": 0.0},
    },
    factors=("g_A", "g_som", "sigma"),
    neurons=cells.NEURONS,
    texts=network.TEXTS,
    figures=(gradient_figures.against_mixing, gradient_figures.angles_over_learning, "learning"),
    study=study,
    check=network.check,
)
