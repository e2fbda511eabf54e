"""Experiment  spiking (ours: the paper's units send rates)
            The same relaxations carried by spikes: what accuracy is left, against the time constant of the traces, the
            strength of the nudge and the length of the phases.
Equations   tau ds/dt = W^T rho_below + W rho_above + b - s + 2 beta (d - s)    s <- clip(s, 0, 1)     as with rates
            z ~ Bernoulli(s)    tau_r drho/dt = z - rho     inputs too; rates: z = s, the same delays without draws
            dW_ij = dW_ji = alpha / (2 beta) <rho_i^(+beta) rho_j^(+beta) - rho_i^(-beta) rho_j^(-beta)>
Symbols     s potential: probability of a spike in a time step; z spike; rho trace, what synapses deliver of the spikes
            (all have one time constant: to low-pass a neuron's spikes, or the sum of what its target receives, is one
            thing); W weights, b biases, d target, beta nudge, alpha learning rate, <.> mean over a batch
Theory      Euler's step makes rho <- (1 - a) rho + a z, a = dt / tau_r. Around a constant s its variance is
            a^2 s (1 - s) sum_k (1 - a)^(2k) = s (1 - s) a / (2 - a), near s (1 - s) dt / (2 tau_r).
            - A rule compares products of two such traces. With v_i, v_j the variances of each, that of a product is
              s_i^2 v_j + s_j^2 v_i + v_i v_j. Phases that are long beside tau_r are independent, so the change of a
              weight by a batch of B, divided by alpha, has the variance (that of +beta + that of -beta) / (4 beta^2 B).
              Its mean, the gradient, does not grow with beta. So noise : gradient falls as 1 / beta until outputs
              reach their targets, near beta = 1/2, and as sqrt(dt / tau_r): a strong nudge does what else takes time.
            - Batch by batch the noise adds up to a random walk of the weights with steps of alpha / beta.
            - A product of traces, not a trace of coincidences z_i z_j: that has the variance
              s_i s_j (1 - s_i s_j) a / (2 - a), of order s^2 beside s^3, and asks for a trace a synapse.
            - Readout by the traces of the output at the end of the free phase. From the output to the rule of the first
              weights two low-passes lie behind one another: phases shorter than some tau_r teach little.
Found       Spikes cost 1.3 points (0.2 to 2.5, n = 5; rates: 3.9 %) at tau_r of 10 steps and phases of 60 and 40.
            In those phases shorter traces leave noise (1 step: 19 %) and longer ones do not follow (30: 11 %); phases
            of half the length cost as much, of twice the length give nothing. A nudge of 0.1 ends at chance, with a
            tenth of alpha at 32 %, rates at 19 %. The noise is as predicted within 13 % for beta up to 0.1; for
            strong nudges it is up to twice that: potentials then fluctuate with the spikes that drive them.
Departures  - All of it. Nudged by +beta and by -beta (centred): the difference is twice as large, and with a random
              sign and a small beta outputs fall silent, with rates too.
            - For the second nudge only the traces go back to the free phase's; s follows its drive within some steps.
            - No persistent states: every presentation starts from s = rho = 0; every phase takes its full time.
Expect      digits, means over 5 replicas after 10 epochs: rates at most 6 %, spikes 7.5 %; traces of one step at least
            12 %, a nudge of 0.1 at least 60 %, where rates have at most 40 %
"""

from brian2 import ms
from matplotlib.ticker import NullLocator

from neurosim import plots
from neurosim.analysis import mean_interval
from neurosim.errors import ParameterError
from neurosim.experiment import Comparison, Expect, Experiment, Parameter, Preset
from neurosim_models.scellier_2017 import network
from neurosim_models.scellier_2017.network import CENTRED, RANDOM_SIGN
from neurosim_models.scellier_2017.spiking_cells import RATES, SPIKES, build, given, output, unit
from neurosim_models.scellier_2017.spiking_study import noise, study


def check(values):
    """Refuse values that do not go together."""
    network.check(values)
    if values["tau_r"] < values["dt"]:
        raise ParameterError(f"tau_r: at least the time step, {values['dt']}, is needed, got {values['tau_r']}")


BASE = "spikes"
PANELS = {  # prefix of the conditions: what they vary, on the axis, and its scale
    "trace": ("tau_r", "time constant of traces (ms)", 1e3),
    "beta": ("beta", "strength of the nudge β (1)", 1),
    "steps": ("free_steps", "free phase (time steps)", 1),
}


def what_is_left(run):
    """Final test error against the time constant of the traces, the nudge and the length of the phases."""
    metrics, known = run.metrics(), run.record["conditions"]
    done = set(metrics["condition"])
    panels = {
        prefix: [name for name in known if name in done and name.partition("_")[0] in (prefix, BASE)]
        for prefix in PANELS
    }
    panels = {prefix: names for prefix, names in panels.items() if len(names) > 1}
    if not panels:
        raise plots.NothingToDrawError(f"{run.folder}: no two conditions that differ in traces, nudge or phases alone")
    figure = plots.new_figure(run, 1.4 + 2.3 * len(panels), 3.4, "What spikes leave of the accuracy")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (prefix, names) in zip(axes, panels.items(), strict=True):
        parameter, label, scale = PANELS[prefix]
        base = run.record["parameters"][parameter]["value"]
        rates = [name for name in known if name in done and name == RATES or name.startswith(f"{RATES}_{prefix}")]
        for kind, shown, color in ((SPIKES, names, "C3"), (RATES, rates, "0.4")):
            at = {scale * known[name].get(parameter, base): name for name in shown}
            x = sorted(at)
            last = [100 * plots.last_tested(run, metrics, at[k]) for k in x]
            found = [mean_interval(values, within=(0, 100)) for values in last]
            if len(x) == 1:
                ax.axhspan(found[0].low, found[0].high, color=color, alpha=0.25, linewidth=0)
                ax.axhline(found[0].mean, color=color, label=kind)
                continue
            bars = [[f.mean - f.low for f in found], [f.high - f.mean for f in found]]
            means, named = [f.mean for f in found], kind if kind == SPIKES else f"_{kind}"  # the line's color says it
            ax.plot(x, means, "o-", color=color, markersize=4, label=named)
            ax.errorbar(x, means, bars, fmt="none", ecolor=color, capsize=3)
        ticks = sorted({scale * known[name].get(parameter, base) for name in names})
        ax.set_xscale("log")
        ax.set_yscale("log")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_minor_locator(NullLocator())
        ax.set_xticks(ticks, [f"{k:g}" for k in ticks])
        ax.set_yticks([3, 5, 10, 20, 50, 90], ["3", "5", "10", "20", "50", "90"])
        ax.set_xlabel(label)
    axes[0].set_ylabel("test error (%)")
    axes[-1].legend(frameon=False, fontsize=8, title="mean, 95 % interval", title_fontsize=7)
    return figure


def condition(**more):
    """Return what a condition sets."""
    base = {"sends": SPIKES, "nudging": CENTRED, "tau_r": 10 * ms, "beta": 1.0, "free_steps": 60, "nudged_steps": 40}
    return base | more


CONDITIONS = {
    RATES: condition(sends=RATES),
    BASE: condition(),
    "random_sign": condition(nudging=RANDOM_SIGN),
    **{f"trace_{k}": condition(tau_r=k * ms) for k in (1, 3, 30)},
    **{f"beta_{word}": condition(beta=beta) for word, beta in (("01", 0.1), ("03", 0.3), ("2", 2.0))},
    "slow_beta_01": condition(beta=0.1, alpha=(0.02, 0.01)),
    **{f"{RATES}_beta_{word}": condition(sends=RATES, beta=beta) for word, beta in (("01", 0.1), ("03", 0.3))},
    **{f"steps_{k}": condition(free_steps=k, nudged_steps=2 * k // 3) for k in (30, 120)},
}
SECTION = "ours"

SPIKING = Experiment(
    name="spiking",
    title="equilibrium propagation carried by spikes",
    notes=__doc__,
    parameters=(
        *network.parameters(SECTION),
        Parameter("sends", SPIKES, SECTION, "what a unit sends", choices=(SPIKES, RATES)),
        Parameter("tau_r", 10 * ms, f"{SECTION}: see Theory", "time constant of the traces", above=0),
    ),
    presets={
        "digits": Preset(
            values={
                "hidden": ((100,), "ours: 64 pixels ask for less than 784"),
                "alpha": ((0.2, 0.1), "ours"),
                "beta": (1.0, "ours: see Theory"),
                "nudging": (CENTRED, "ours: see Departures"),
                "free_steps": (60, "ours: 6 tau_r"),
                "nudged_steps": (40, "ours: 4 tau_r"),
                "tolerance": (0.0, "ours: spikes never settle"),
                "persistent": ("no", "ours: phases are long enough"),
                "lanes": (20, "authors' code: batches of 20"),
                "replicas": (5, "ours"),
                "epochs": (10, "ours"),
            },
            inputs=64,
            duration="6 min",
            expect=(
                Expect(0.06, "as networks of rates", RATES),
                Expect(0.075, "one or two points more", BASE),
                Expect(None, "nothing is averaged", "trace_1", least=0.12),
                Expect(None, "weights walk at random", "beta_01", least=0.6),
                Expect(0.4, "without noise, outputs that fall silent", "rates_beta_01"),
            ),
        ),
    },
    build=build,
    check=check,
    conditions=CONDITIONS,
    factors=("sends", "nudging", "tau_r", "beta", "free_steps", "nudged_steps"),
    comparisons=(
        Comparison(RATES, BASE, "ours: spikes cost accuracy"),
        Comparison(BASE, "trace_3", "ours: slower traces, less noise"),
        Comparison(BASE, "beta_03", "ours: a stronger nudge, less noise"),
        Comparison("slow_beta_01", "beta_01", "ours: noise walks in steps of alpha / beta"),
        Comparison(BASE, "steps_30", "ours: traces must have followed"),
    ),
    neurons={"input": given(SPIKES), "hidden": unit(SPIKES), "output": output(SPIKES), "bias": network.ON},
    texts={"W, b transmit": network.TRANSMIT, "W, b rule": network.CENTRED_RULE},
    figures=(noise, what_is_left, "final"),
    study=study,
)
