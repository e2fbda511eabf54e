"""What a synapse would have to know beyond its own two neurons: other neurons, other weights, a partner's wire."""

from neurosim.audit.finding import UNSEEN, Finding, in_words, lines_of, note, rules
from neurosim.audit.wiring import TARGETS
from neurosim.connectivity import BACKWARDS, LIST, PAIRS, SPREAD
from neurosim.plasticity.custom import Kernel
from neurosim.plasticity.parse import WEIGHT


def locality(x):
    """Each rule reads its own two neurons, its own synapse and declared global signals, and nothing else."""
    wiring = x.wiring
    problems, remarks, quiet = {}, [], []
    for name in sorted(x.rewritten):
        note(problems, "written by hand", name, "has no rule, and its weights are written by something else")
    if not wiring.plastic and not problems:
        return Finding("locality", None, "no rule")
    for projection in wiring.plastic:
        watch, name = x.seen[projection.name], projection.name
        if projection.largest_change is not None or projection.scales:
            note(problems, "one scale for all", name, "its changes are scaled so that the largest has one size")
        for what in sorted(watch.noticed):
            note(problems, "other neurons", name, f"its change is another one when {what} are changed")
        if not watch.exact:
            note(problems, "hidden memory", name, "the same moment twice gives two changes: it draws, or remembers")
        if watch.outside:
            note(problems, "written by hand", name, "its weights are written while its rule is not at work")
        for short, told, _ in _python_before(x, projection):
            note(problems, short, name, told)
        if isinstance(projection.rule, Kernel):
            remarks.append(f"{name}: a compiled function in the place of a text; it declares what it reads")
        if not watch.looks:
            quiet.append(name)
    looks = sum(x.seen[p.name].looks for p in wiring.plastic)
    local = sum(x.seen[p.name].local for p in wiring.plastic)
    checks = [
        f"{looks} weight changes replayed with every other neuron, variable and weight changed at random: "
        f"{local} the same to the bit"
    ]
    if quiet:
        checks.append(f"no change came up to be replayed: {', '.join(quiet)}")
    own = sum(x.neurons.values())
    checks.append(f"updates replayed beside other neurons: in {own} of {len(x.neurons)} populations they do not notice")
    evidence = tuple([*lines_of(problems), *remarks, *rules(wiring.plastic)])
    if not problems and not looks:
        return Finding("locality", None, UNSEEN, evidence, tuple(checks))
    return Finding("locality", not problems, ", ".join(problems) or "yes", evidence, tuple(checks))


def _python_before(x, projection):
    """Return what is done in Python, not local, on the way to a rule: [(short, told, whether targets may come in)]."""
    wiring = x.wiring
    before, taught = wiring.before(wiring.read_by_rule(projection)), wiring.after([TARGETS])
    found = []
    for hook, written in x.written.items():
        by = type(hook).__name__
        for node, around in written.items():
            if node in before and around:
                told = f"depends on {node[1]} of {node[0]}, which {by} writes in Python, looking around or drawing"
                found.append((by, told, node in taught))
    for name in sorted({owner for owner, _ in before if not x.neurons.get(owner, True)}):
        found.append(("neurons look around", f"depends on {name}, whose neurons are updated by what others do", True))
    for wire in wiring.one_to_one:
        nodes = {(wire.target.name, each.target.removesuffix("_post")) for each in wire.transmit_statements}
        if x.seen[wire.name].single is False and nodes & before:
            told = f"depends on what {wire.name} delivers, which is not only its partner's"
            found.append(("others' signals", told, True))
    return found


def transport(x):
    """No projection on the way from the targets to a rule uses, or copies, the weights of another one."""
    wiring = x.wiring
    carriers = {edge.by for p in wiring.plastic for edge in wiring.learning_path(p)}
    if not wiring.targets:
        return Finding("transport", None, "no targets")
    if not wiring.plastic and not x.rewritten:
        return Finding("transport", None, "no rule")
    carriers = sorted((each for each in carriers if each in wiring.weighted), key=lambda each: each.name)
    problems = {}
    for each in carriers:
        owner, watch = wiring.owner(each), x.seen[each.name]
        if owner is not each:
            note(problems, "read backwards", each.name, f"delivers along the weights of {owner.name}: {each.transmit}")
        elif watch.own < watch.deliveries:
            note(problems, "others' weights", each.name, "what it delivers changes with the weights of others")
        by_hook = any((each.name, WEIGHT) in written for written in x.written.values())
        if watch.outside or by_hook or each.name in x.rewritten:
            note(problems, "copied", each.name, "its weights are written by something that is no rule")
    for projection in wiring.plastic:
        if x.seen[projection.name].foreign:
            note(problems, "others' weights", projection.name, "its change is another one with other weights elsewhere")
        for _, told, taught in _python_before(x, projection):
            if taught:
                note(problems, "Python on the way", projection.name, f"{told}: whose weights it uses no text says")
    for name in sorted(x.rewritten - {each.name for each in carriers}):
        note(problems, "Python on the way", name, "has no rule, and its weights are written by something else")
    looks = sum(x.seen[each.name].deliveries for each in carriers)
    own = sum(x.seen[each.name].own for each in carriers)
    checks = [
        f"{looks} deliveries along these weights replayed with all other projections' weights changed: {own} the same"
    ]
    evidence = lines_of(problems) or [
        "weights on the way: " + (", ".join(each.name for each in carriers) if carriers else "none")
    ]
    ways = {p.name: wiring.way(wiring.read_by_rule(p)) for p in wiring.plastic}
    longest = max(ways, key=lambda name: len(ways[name]), default=None)
    if longest and ways[longest]:
        evidence.append(f"to {longest}: targets, {', '.join(in_words(edge) for edge in ways[longest])}")
    return Finding(
        "transport", not problems, ", ".join(problems) or "yes", tuple(evidence), tuple(checks * bool(carriers))
    )


def sharing(x):
    """Every synapse that learns has a weight of its own."""
    if not x.wiring.plastic:
        return Finding("sharing", None, "no rule")
    problems, remarks = {}, []
    for each in x.wiring.weighted:
        layout = each.layout
        taps = layout.form == LIST and each.stored is not None and each.stored[0].size != len(layout.i)
        shared = layout.form in (PAIRS, SPREAD) or taps or (layout.copies > 1 and layout.form != BACKWARDS)
        if not shared or each.stored is None:
            continue
        told = f"{each.stored[0].size:,} weights stand for {layout.synapses(1):,} synapses"
        if each.rule is None:
            remarks.append(f"{each.name}: {told}; it has no rule")
        else:
            note(problems, type(each.connectivity).__name__, each.name, told)
    own = sum(p.stored[0].size for p in x.wiring.plastic if p.stored is not None)
    checks = (f"{own:,} weights learn, counted in the arrays",)
    return Finding("sharing", not problems, ", ".join(problems) or "yes", (*lines_of(problems), *remarks), checks)


def wiring(x):
    """No signal needs a wire from one neuron to one partner of its own."""
    lines = {}
    for each in x.wiring.one_to_one:
        lines.setdefault("; ".join(s.text for s in each.transmit_statements), []).append(
            f"{each.source.name} to {each.target.name}"
        )
    evidence = [f"{', '.join(names)}: {text}" for text, names in lines.items()]
    seen = [x.seen[each.name].single for each in x.wiring.one_to_one if x.seen[each.name].single is not None]
    checks = [f"changed in half of the neurons, {sum(seen)} of {len(seen)} wires reached their partners only"]
    short = f"{len(x.wiring.one_to_one)} one-to-one" if evidence else "yes"
    return Finding("wiring", not evidence, short, tuple(evidence), tuple(checks * bool(seen)))


def symmetry(x):
    """Learning does not start from weights that are alike in two places."""
    evidence = []
    for each in x.wiring.weighted:
        if x.wiring.owner(each) is not each:
            evidence.append(f"{each.name} has the weights of {x.wiring.owner(each).name}: 0 degrees")
    for first, second, angle, transposed in x.alike:
        evidence.append(f"{first} and {second}{', transposed' * transposed}: {angle:.2g} degrees at the start")
    after = [f"{a} and {b}: {angle:.2g} degrees after learning" for a, b, angle, _ in x.alike_after]
    short = "yes" if not evidence else "same" if not x.alike else f"{min(a for *_, a, _ in x.alike):.2g} deg"
    checks = tuple(after) or ("the angles between all weights of one shape were measured",)
    return Finding("symmetry", not evidence, short, tuple(evidence), checks)
