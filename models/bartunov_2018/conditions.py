"""What all experiments compare: algorithms and schedules; and how a table of the paper is written."""

from neurosim.experiment import Comparison, Published
from neurosim_models.bartunov_2018.network import ALTERNATING, AO_SDTP, BP, DFA, DTP, FA, PARALLEL, SDTP, TP

CONDITIONS = {
    "bp": {"algorithm": BP, "schedule": PARALLEL},
    "fa": {"algorithm": FA, "schedule": PARALLEL},
    "dfa": {"algorithm": DFA, "schedule": PARALLEL},
    "tp": {"algorithm": TP, "schedule": PARALLEL},
    "dtp_parallel": {"algorithm": DTP, "schedule": PARALLEL},
    "dtp_alternating": {"algorithm": DTP, "schedule": ALTERNATING},
    "sdtp_parallel": {"algorithm": SDTP, "schedule": PARALLEL},
    "sdtp_alternating": {"algorithm": SDTP, "schedule": ALTERNATING},
    "ao_sdtp_parallel": {"algorithm": AO_SDTP, "schedule": PARALLEL},
    "ao_sdtp_alternating": {"algorithm": AO_SDTP, "schedule": ALTERNATING},
}
FACTORS = ("algorithm", "schedule")
COMPARISONS = (
    Comparison("dtp_parallel", "tp", "ours: the correction by differences makes up for inverses that are not exact"),
    Comparison("dtp_parallel", "sdtp_parallel", "NeurIPS: less error with the gradient for the last hidden layer"),
    Comparison("bp", "sdtp_parallel", "NeurIPS: less error by backprop"),
)


def adam_steps(model, inverse):
    """Return Adam's published steps by condition (NeurIPS, supplement), for ``update=adam``.

    Parameters
    ----------
    model : seven floats
        Way up: DTP parallel and alternating, SDTP parallel and alternating, BP, FA, DFA.
    inverse : four floats
        Way back, of the first four. AO-SDTP and TP have SDTP's: theirs are not known to us.
    """
    names = ("dtp_parallel", "dtp_alternating", "sdtp_parallel", "sdtp_alternating")
    steps = {name: {"adam_eta": step} for name, step in zip((*names, "bp", "fa", "dfa"), model, strict=True)}
    for name, step in zip(names, inverse, strict=True):
        steps[name]["adam_eta_inverse"] = step
    others = {f"ao_{name}": steps[name] for name in names[2:]} | {"tp": steps["sdtp_parallel"]}
    return steps | others


def published(data, source, table, note=""):
    """Return published errors as an Experiment takes them.

    Parameters
    ----------
    data : str
        The data set.
    source : str
        Paper and table.
    table : dict of str to (float, float)
        Condition to its errors in percent, train and test.
    note : str
        What is different from our experiment.
    """
    return tuple(
        Published(percent / 100, f"{percent:.2f} % {split} error{note}", data, source, condition, split)
        for condition, errors in table.items()
        for split, percent in zip(("train", "test"), errors, strict=True)
    )
