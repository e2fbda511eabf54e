"""Experiment  circuit (section 2.3, Figs 1 and 2)
            Can the activity of a neuron be the error that has to travel back? Three neurons a class, supervisor s,
            output o and control t, give o the activity that equation 5 asks for, 1 or -mu within the margin and else 0,
            but for an oscillation. First by themselves (the study), then at the top of a network whose forward and
            feedback weights learn from nothing but o.
Equations   H = h + 2M s - 2M t (8)    o = sigma_o(H)    t = sigma_t(o) (9)
            map: o and t change once a step     leaky: tau_o dv/dt = H - v, o = sigma_o(v), tau_t du/dt = o - u,
            t = sigma_t(u), with logistic steps     spiking: the same, but o is (1 + eps) sign(sigma_o) with the
            probability |sigma_o| / (1 + eps) and else 0, t likewise sign(sigma_t) with |sigma_t|
            dW = eta o r^T    dR = dW^T    dV = eta (psi . R o) x^T (4, 6, 7), means over lanes and over the steps in
            which rules are open; h = W r, r = clip(gain V x, -1, 1)
Symbols     h field of o, the weighted sum that arrives from below; H its full field; v, u potentials; M bound of the
            fields, S margin, eps excess activity beyond it, mu weight of the classes not shown; V, W forward and R
            feedback weights, eta learning rate, x input, r hidden activity, psi its slope (gain or 0)
Readings    Beyond the margin the map visits 1 + eps and 0 in turn (or -mu - eps and 0): its mean is (1 + eps)/2 or
            -(mu + eps)/2, half of the full drive and not 0. So it matters what synapses read of o:
            as_it_is   o in every step. The margin halves the drive and does not stop it: what integrates o cannot
                       agree with equation 5 beyond the margin.
            timed      o in the one step in which a circuit that started from rest (no supervisor for 6 steps) has
                       answered, the third, or the second if o and t change in turn: equation 5 exactly.
            sustained  o while its recent mean z lies on the side of constant activity, not of a cycle: above
                       (3 + eps)/4 for eps < 1, below it for eps > 1 (with mu for 1 in classes not shown). z must smooth
                       the cycle of 4 steps: (1 + eps)(1 - a/(1 + a^2)) < (3 + eps)/4 for eps < 1, and
                       (1 + eps) a^2/(1 + a^2) > (3 + eps)/4 for eps > 1, a = exp(-dt / tau_read); 4 tau_read of
                       settling forget the class before.
Theory      D is the delay of the loop of synapses: 2 steps, 1 if o and t change in turn.
            - The map has the period 2 D. When s changes, o is right from the 5th (3rd) step on, whatever t was.
            - Leaky neurons without a delay never silence o, whatever tau_o and tau_t, if S >= -M/2: t lets go while v
              is still above M. Both slide along their thresholds, o with the mean 1 + eps/2 (if tau_t > 0).
            - tau_t = 0: o reaches 0 if D > tau_o log((2M + S - h)/(M - h)); at best, for M >> h, S, if tau_o < 1.44 D.
              Far slower, it visits 1 and 1 + eps in turn, with the mean 1 + eps (h - S)/2M.
            - tau_o = 0: o always reaches 0, but its mean grows from (1 + eps)/2 to 1 + eps/2 with tau_t / D. For
              eps < 1 it passes what 'sustained' takes for constant activity, for eps > 1 it never does.
            - The period is that of a relay with a delay: period_of_slow_output, period_of_slow_control.
            - M, S, h, noise and width matter by their ratios alone. Fields beyond M are driven on, away from 0: a
              network of which some leave [-M, M] runs away, so M has to be ample. It costs nothing.
            - Spikes: t tells 1 + eps from 1 if eps tau_t >> 2 dt, so eps is large or t slow. -mu is one spike in
              (1 + eps)/mu steps: no single presentation says it, learning averages over many.
Departures  - The paper has no numbers for M and eps, and no time: see the parameters' sources.
            - sigma_t jumps at 1 + eps/2 and -mu - eps/2, not at 1 and -mu: the map's the same, smooth steps fit in.
            - h > -S in the second case of equation 5, as equation 4 has it. At H = M and -M, where equation 9 says two
              things, o is on.
            - The three readings, the supervisor's rest and the settling steps are ours.
            - One hidden layer, batches of 50 and few epochs; the paper's networks have batches of 500 and 1000 epochs.
Expect      digits, means over 5 replicas after 10 epochs: at most 10 % test error in all conditions but map_as_it_is,
            which has at least 40 %, as its fields leave [-M, M]. MNIST, one replica, 5 epochs: at most 5 %, and 80 %.
            Agreement with equation 5 (to a tenth of 1 or mu) of fields in [-M, M]: above 99.9 % for map_timed in every
            epoch, 98 to 99.5 % for map_sustained and leaky_sustained: what is missing are fields that cross the margin
            while they are learned (with held weights all agree). spiking_sustained: 15 % at first, 75 % on average, as
            a presentation is short for spikes, and within the margin up to 2.3 times the drive of equation 5: eps is 4,
            so that a field which has just crossed sends a burst before it is read as a cycle.
"""

from brian2 import ms

from neurosim.experiment import Comparison, Expect, Experiment, Parameter, Preset
from neurosim_models.amit_2018 import circuit_cells as cells
from neurosim_models.amit_2018 import circuit_figures, circuit_study
from neurosim_models.amit_2018 import circuit_network as network
from neurosim_models.amit_2018.circuit_cells import (
    ALTERNATING,
    AS_IT_IS,
    FORMS,
    IDEAL,
    LEAKY,
    MAP,
    READINGS,
    SPIKING,
    SUSTAINED,
    SYNCHRONOUS,
    TIMED,
)

SECTION = "section 2.3"

PARAMETERS = (
    Parameter("form", MAP, "the conditions of the experiment", "what o and t are", choices=(*FORMS, IDEAL)),
    Parameter("reading", SUSTAINED, "ours, see Readings", "what synapses and feedback read of o", choices=READINGS),
    Parameter(
        "order", SYNCHRONOUS, "ours: the paper writes o -> t -> o; with o and t updated in turn a cycle takes 2 steps",
        "whether o and t update together or in turn", choices=(SYNCHRONOUS, ALTERNATING),
    ),
    Parameter("hidden", 100, "ours: 64 pixels ask for less than 784", "neurons in the hidden layer", "neurons", low=1),
    Parameter("eta", 0.1, "section 4: the simplest gradient steps; .1 in the authors' code, on the mean of a batch",
              "learning rate", low=0),
    Parameter("gain", 1.0, "section 2.2; .5 in the authors' code", "slope of the hidden neurons", above=0),
    Parameter("M", 10.0, "ours: fields must lie within [-M, M]", "bound of the fields"),
    Parameter("S", 1.0, f"{SECTION}: S = 1", "margin"),
    Parameter("eps", 0.02, "ours: below mu, see Readings", "excess activity outside the margin"),
    Parameter("mu", 1 / 9, "authors' code: 1 / (classes - 1)", "weight of the classes not shown"),
    Parameter("noise", 0.0, "ours", "standard deviation of the noise of the field, in every step", low=0),
    Parameter("tau_o", 0.1 * ms, "ours: a tenth of a synaptic delay, see Theory", "time constant of o", above=0),
    Parameter("tau_t", 0.1 * ms, "ours: as tau_o", "time constant of t", above=0),
    Parameter("width", 0.01, "ours", "width of the smoothed steps of o, in units of the field", above=0),
    Parameter("width_t", 0.05, "ours", "width of the smoothed steps of t, in units of eps", above=0),
    Parameter("tau_read", 4 * ms, "ours: a cycle of 4 steps", "time constant of the reading 'sustained'", above=0),
    Parameter("settling", 16, "ours: 4 tau_read, of spikes 2", "steps before rules open", "steps", low=0),
    Parameter("steps", 8, "ours: two cycles of the map", "steps in which rules are open", "steps", low=1),
    Parameter("dt", 1 * ms, "ours: the synaptic delay", "time step", above=0),
)  # fmt: skip

LIKE_IDEAL = ("ideal", "map_timed", "map_sustained", "leaky_sustained", "spiking_sustained")
# Spikes ask for a larger eps and slower neurons, see Theory
SPIKING_VALUES = {"eps": 4.0, "tau_t": 10 * ms, "tau_read": 20 * ms, "settling": 40, "steps": 20}


def study(values, seed):
    """Return what the circuit does by itself: arrays with units by name."""
    return circuit_study.study({**values, "spiking": SPIKING_VALUES}, seed)


CIRCUIT = Experiment(
    name="circuit",
    title="three neurons a class represent the derivative of the hinge loss in their activity (section 2.3)",
    notes=__doc__,
    parameters=PARAMETERS,
    presets={
        "digits": Preset(
            values={
                "lanes": (50, "ours"),
                "replicas": (5, "ours"),
                "epochs": (10, "ours"),
            },
            inputs=64,
            duration="35 s",
            expect=(
                *(Expect(0.1, "as the ideal hinge error", name) for name in LIKE_IDEAL),
                Expect(None, "not stopped by the margin", "map_as_it_is", least=0.4),
            ),
        ),
        "mnist": Preset(
            values={
                "hidden": (500, "section 4"),
                "M": (100.0, "ours: some fields of the ideal network pass 10; the others' would run away"),
                "lanes": (50, "ours: 500 in section 4, with 1000 epochs"),
                "replicas": (1, "ours"),
                "epochs": (5, "ours"),
            },
            inputs=784,
            duration="10 min",
            expect=(
                *(Expect(0.05, "as the ideal hinge error", name) for name in LIKE_IDEAL),
                Expect(None, "not stopped by the margin", "map_as_it_is", least=0.8),
            ),
        ),
    },
    build=network.build,
    check=network.check,
    conditions={
        "ideal": {"form": IDEAL, "reading": AS_IT_IS},
        "map_as_it_is": {"form": MAP, "reading": AS_IT_IS},
        "map_timed": {"form": MAP, "reading": TIMED},
        "map_sustained": {"form": MAP, "reading": SUSTAINED},
        "leaky_sustained": {"form": LEAKY, "reading": SUSTAINED},
        "spiking_sustained": {"form": SPIKING, "reading": SUSTAINED, **SPIKING_VALUES},
    },
    factors=("form", "reading"),
    comparisons=(
        *(
            Comparison(name, "ideal", f"{SECTION}: 'ignoring the oscillation', as the rule in (4)", alike=True)
            for name in LIKE_IDEAL[1:]
        ),
        Comparison("map_sustained", "map_as_it_is", "ours: the oscillation cannot be ignored"),
    ),
    neurons={
        "supervisor s": cells.supervisor(),
        "output o, ideal": cells.output(IDEAL),
        **{f"output o, {form}": cells.output(form) for form in FORMS},
        "output o, map, sustained": cells.output(MAP, SUSTAINED),
        **{f"control t, {form}": cells.control(form) for form in FORMS},
        "hidden": network.HIDDEN,
    },
    texts=network.TEXTS,
    figures=(
        circuit_figures.regimes,
        circuit_figures.period,
        circuit_figures.region,
        "learning",
        circuit_figures.agreement,
    ),
    study=study,
)
