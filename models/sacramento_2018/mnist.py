"""Experiment  mnist (main text, handwritten digits)
            784-500-500-10 learns handwritten digits in the steady state of the circuit, two sweeps through the areas
            for a batch; beside it backprop and feedback alignment in the same network, the same circuit with
            interneurons that lag behind or a first area that does not learn, one hidden area with all synapses
            plastic, and the output's rule alone.
Equations   see steady
Symbols     see steady; angle_h: of W^T to TD, the weights that lead back to an area; lateral_h: |IP - W| / |W|, 0 where
            interneurons predict the area above; apical_h: root mean square of v_A while it learns, apical_no_target_h:
            without a target, with weights frozen, on the test images
Departures  - Learning rates, mixing, initial weights and top-down weights are not published. Ours were chosen with
              5,000 training images held out, in short runs: some 40 settings of the circuit, 10 of backprop, 7 of
              all_plastic; for digits they were not searched. Mixing is 0.8 / 1.9, as in time; rates of W_2, W_3 are
              half of the bound in steady; TD_2 is wide, which raises the signal where rates cannot be raised.
            - The sheet's mix u_k = (1 - l) v_B + l v_A is at odds with its first sweep, where u_k = v_B: without a
              target it would leave an error everywhere. Ours is u_k = v_B + l v_A, which is that mix with W and v_B
              in units of the attenuated potential.
            - All learning rates fall by 12 % from pass to pass, and there are 20 passes; the paper's axis has 200. All
              60,000 images are learned from; the paper holds 5,000 out.
            - Glorot's uniform distribution for W. first_frozen: W_1 ten times wider, or its features hardly vary.
            - Backprop has the circuit's output error in the limit of small mixing, phi' (t - v_B), and its own rates.
            - first_frozen is far from the published 2.11 %: 13 %. Backprop with the same frozen features ends at 6.2 %
              (n = 1, 15 passes), so the paper must have another network; the circuit loses more as W_3 leans on
              phi(u_2), which holds the target: with phi(v_B) in its place 10 and not 12 % after 60,000 images.
            - all_plastic: TD learns to reconstruct the hidden area, PI follows it, both slowly: PI also cancels, in
              time, what the interneurons' rates tell of the error.
            - shallow is the output's rule on the pixels, for which targets of 0.8 and 0.1 are potentials: 12.5 % of
              those held out, at any rate. What the paper's shallow learner of 8.4 % minimises is not said.
Expect      MNIST, means over 3 replicas after 20 passes: microcircuit at most 2.2 %, backprop 1.8 %
            digits, means over 5 replicas after 30 passes: at most 4 % for both, shallow 6 to 12 %
"""

from neurosim.experiment import Comparison, Expect, Experiment, Preset, Published
from neurosim_models.sacramento_2018 import mnist_figures, steady, steady_cells
from neurosim_models.sacramento_2018.steady import ALIGNMENT, BACKPROP, MICROCIRCUIT

SECTION = "main text, MNIST"

CIRCUIT = {"algorithm": MICROCIRCUIT, "following": 1.0, "frozen": 0}
CONDITIONS = {
    "microcircuit": CIRCUIT,
    "backprop": {"algorithm": BACKPROP},
    "feedback_alignment": {"algorithm": ALIGNMENT},
    "lagging": CIRCUIT | {"following": 0.2},
    "first_frozen": CIRCUIT | {"frozen": 1, "width_first": 10.0},
    "all_plastic": CIRCUIT | {
        "hidden": (1000,), "eta": (0.1, 0.0063), "eta_backprop": (10.0, 0.015), "top_down": (10.0,), "eta_TD": 1e-4,
        "eta_PI": 1e-3,
    },
    "shallow": CIRCUIT | {"hidden": (), "eta": (0.0126,), "eta_backprop": (0.03,), "top_down": ()},
}  # fmt: skip

MNIST = Experiment(
    name="mnist",
    title="the circuit at rest: errors from apical dendrites against backprop (MNIST)",
    notes=__doc__,
    parameters=steady.parameters(SECTION),
    presets={
        "digits": Preset(
            values={
                "hidden": ((100, 100), "ours: 64 pixels ask for less than 784"),
                "eta": (
                    (0.1, 0.015, 0.06),
                    "ours: 100 cells let rates be 5 times those of 500, see steady",
                ),
                "eta_backprop": ((3.0, 3.0, 0.06), "ours: not searched"),
                "decay": (0.95, "ours: few batches a pass"),
                "lanes": (10, f"{SECTION}: batches of 10"),
                "replicas": (5, "ours"),
                "epochs": (30, "ours"),
            },
            inputs=64,
            duration="1 min",
            expect=(
                Expect(0.04, "digits are easy", "microcircuit"),
                Expect(0.04, "digits are easy", "backprop"),
                Expect(0.12, "about 9 %", "shallow", least=0.06),
            ),
        ),
        "mnist": Preset(
            values={
                "lanes": (10, f"{SECTION}: batches of 10, changes averaged"),
                "replicas": (3, "ours: what two cores can do"),
                "epochs": (20, "ours: the paper's axis has about 200"),
            },
            inputs=784,
            duration="10 min for the circuit, 5 min for backprop",
            expect=(
                Expect(0.022, "about 1.95 %", "microcircuit"),
                Expect(0.018, "about 1.6 %", "backprop"),
            ),
        ),
    },
    build=steady.build,
    conditions=CONDITIONS,
    factors=("algorithm", "following", "frozen", "hidden"),
    published=tuple(
        Published(value, f"{100 * value:.2f} %", "MNIST", SECTION, name)
        for name, value in (
            ("microcircuit", 0.0196),
            ("backprop", 0.0153),
            ("first_frozen", 0.0211),
            ("all_plastic", 0.0248),
            ("shallow", 0.084),
        )
    ),  # fmt: skip
    comparisons=(
        Comparison("backprop", "microcircuit", "1.53 and 1.96 %"),
        Comparison("microcircuit", "first_frozen", "1.96 and 2.11 %"),
        Comparison("microcircuit", "shallow", "1.96 and 8.4 %"),
        Comparison("microcircuit", "lagging", "ours: interneurons that lag leave what is no error"),
    ),
    neurons=steady_cells.NEURONS,
    texts=steady_cells.TEXTS,
    figures=("learning", "final", mnist_figures.following, mnist_figures.aligning),
    check=steady.check,
)
