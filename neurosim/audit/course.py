"""What would have to happen when: phases, memory from one to another, plasticity that is switched on and off."""

from neurosim.audit.finding import Finding, is_read
from neurosim.audit.wiring import MEMORY
from neurosim.plasticity.custom import Kernel
from neurosim.plasticity.parse import POST, PRE, RATE, STEP
from neurosim.settling import Persistence


def phases(x):
    """The network learns in one go, without phases whose ends must be known and values kept from one to another."""
    presentation = x.wiring.circuit.presentation
    steps = dict(presentation.phases)
    memory = dict.fromkeys(
        f"{edge.target[0]}: {edge.line}" for edge in x.wiring.edges if edge.kind == MEMORY and is_read(x, edge.target)
    )
    evidence = [
        f"phases, with their time steps: {', '.join(f'{name} {count}' for name, count in steps.items())}",
        *memory,
    ]
    for hook in x.wiring.hooks:
        if isinstance(hook, Persistence):
            kept = ", ".join(f"{variable} of {population.name}" for population, variable in hook.kept)
            evidence.append(f"kept for every example until it is shown again: {kept}")
    found = {}
    for watch in x.seen.values():
        for node, matters in watch.remembers.items():
            found[node] = found.get(node, False) or matters
    checks = []
    if found:
        yes = [f"{v} of {p}" for (p, v), matters in found.items() if matters]
        no = [f"{v} of {p}" for (p, v), matters in found.items() if not matters]
        checks.append(f"changed at random, what is kept changes what is learned: {', '.join(yes) or 'nothing'}")
        checks += [f"without effect in the moments looked at: {', '.join(no)}"] * bool(no)
    short = "one" if len(steps) == 1 else f"{len(steps)}" + f", {len(memory)} kept" * bool(memory)
    return Finding("phases", len(steps) == 1, short, tuple(evidence), tuple(checks))


def switching(x):
    """Rules are at work all the time; nothing has to switch plasticity on and off."""
    gated = {}
    for presentation in x.wiring.presentations:
        for projection, open_in in presentation._gates:
            if set(open_in) != set(presentation.phases):
                gated.setdefault(f"open in {', '.join(sorted(open_in)) or 'no phase'} only", []).append(projection.name)
    for projection in x.wiring.plastic:
        for event in {s.event for s in projection.rule_statements if s.event not in (RATE, STEP, PRE, POST)}:
            gated.setdefault(f"at {event} only", []).append(projection.name)
        if isinstance(projection.rule, Kernel) and hasattr(projection.learning.event, "phase"):
            gated.setdefault(f"at {projection.learning.event} only", []).append(projection.name)
    if x.scheduled:
        gated["in some epochs only"] = sorted(x.scheduled)
    evidence = [f"{', '.join(names)}: {how}" for how, names in gated.items()]
    watches = [x.seen[p.name] for p in x.wiring.plastic]
    steps, learned = max((w.steps for w in watches), default=0), max((w.learned for w in watches), default=0)
    checks = (f"weights changed in {learned} of {steps} time steps",)
    single = x.wiring.circuit.presentation.steps == 1
    short = ("one step" if single else "always on") if not gated else "switched"
    return Finding("switching", not gated if x.wiring.plastic else None, short, tuple(evidence), checks)


def timing(x):
    """Learning bears it if some time steps at the start of each presentation are disturbed."""
    return x.timing
