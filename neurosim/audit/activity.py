"""What neurons would have to send and to tell apart: signs, spikes, feedback, several signals at a time."""

import sympy
from brian2.parsing.sympytools import str_to_sympy

from neurosim.audit.finding import NO_WAY, Finding, defined, is_read
from neurosim.audit.wiring import TARGETS

MANY = 2  # signals that a soma and one dendrite keep apart


def signed(x):
    """No neuron sends a signal of both signs, neither forward nor as an error."""
    path = {edge.by.name for p in x.wiring.plastic for edge in x.wiring.learning_path(p)}
    forward = {edge.by.name for edge in x.wiring.forward}
    problems, evidence, strange = {}, {}, []
    for projection in x.wiring.projections.values():
        for name, (least, most) in x.seen[projection.name].ranges.items():
            variable = name.removesuffix("_pre")
            low, high = x.borders.of(projection.source, variable)
            if least < low - 1e-6 - 1e-6 * abs(low) or most > high + 1e-6 + 1e-6 * abs(high):
                strange.append(f"{variable} of {projection.source.name}: {least:.3g} to {most:.3g}")
            role = (
                "errors" if projection.name in path - forward else "rates" if projection.name in forward else "others"
            )
            line = defined(projection.source, variable)
            within = f"{variable} of {projection.source.name} was {least:.3g} to {most:.3g}"
            if least < 0 < most:
                problems.setdefault(f"signed {role}", []).append(f"{role}: {within}; {line}")
            elif low < 0 < high:
                evidence[within] = f"{within}; it may lie within {low:.3g} to {high:.3g}: {line}"
            else:
                evidence[within] = f"{within}, and by its equation cannot change its sign: {line}"
    told = list(dict.fromkeys(line for lines in problems.values() for line in lines))
    outside = "within the borders that their equations give"
    if strange:
        outside = f"OUTSIDE of the borders that their equations give: {', '.join(strange)}"
    checks = (f"what was sent in {x.presentations} presentations lay {outside}",)
    short = ", ".join(sorted(problems)) or "yes"
    return Finding("signed", not problems, short, (*told, *([] if told else evidence.values())), checks)


def dale(x):
    """Each neuron's outgoing weights have one sign, and learning does not change it."""
    wiring = x.wiring
    kept = [each.name for each in wiring.plastic if each.name in x.fixed_signs]
    free = [each.name for each in wiring.plastic if each.name not in x.fixed_signs]
    evidence = [f"{100 * x.mixed:.3g} % of the neurons have outgoing weights of both signs, at the start"]
    if kept:
        evidence.append(f"bounds or Dale's signs keep the signs of {', '.join(kept)}")
    if free:
        evidence.append(f"nothing keeps the signs of {', '.join(free)}")
    checks = (
        f"after {x.presentations} presentations {100 * x.mixed_after:.3g} % are mixed, and {100 * x.turned:.3g} % of "
        "the weights that learn have changed their sign",
    )
    holds = x.mixed == 0 and x.mixed_after == 0 and x.turned == 0
    short = "yes" if holds else "signs change" if x.mixed == 0 else "both signs"
    return Finding("dale", holds, short, tuple(evidence), checks)


def spikes(x):
    """What travels along weights are spikes."""
    path = {edge.by.name for p in x.wiring.plastic for edge in x.wiring.learning_path(p)}
    forward = {edge.by.name for edge in x.wiring.forward}
    sent, wrong = {}, []
    for each in x.wiring.weighted:
        if each.source.n == 1:
            continue
        role = "forward" if each.name in forward or each.name not in path else "back"
        names = x.seen[each.name].ranges
        called = bool(names) and set(names) == {f"{each.source.model.spike}_pre"}
        spiking = called and all(x.seen[each.name].spikes[name] for name in names)
        sent.setdefault((role, spiking), []).append(each.name)
        wrong += [each.name] * (called and not spiking)
    if not sent:
        return Finding("spikes", None, "no weights")
    evidence = [
        f"{'spikes' if s else 'rates'}, {role}: {', '.join(names)}" for (role, s), names in sorted(sent.items())
    ]
    holds = all(spiking for _, spiking in sent)
    some = any(spiking for _, spiking in sent)
    short = "spikes" if holds else "spikes and rates" if some else "rates"
    checks = ["what is called a spike was 0 or 1 in every step"] * some
    checks += [f"called spikes, but not 0 or 1 in every step: {', '.join(wrong)}"] * bool(wrong)
    return Finding("spikes", holds, short, tuple(evidence), tuple(checks))


def feedback(x):
    """What teaches also changes the activity that is sent forward, as feedback does in cortex."""
    if x.answered is None:
        if not x.wiring.targets:
            return Finding("feedback", None, "no targets")
        return Finding("feedback", None, NO_WAY, ("no way from the inputs to what the readout reads is in the texts",))
    taught = x.wiring.after([TARGETS])
    reached = [e for e in x.wiring.forward if e.source in taught]
    evidence = [f"targets reach {e.source[1]} of {e.source[0]}, sent by {e.by.name}: {e.line}" for e in reached[:3]]
    if not reached:
        evidence = ["no variable on the forward path depends on a target"]
    checks = (
        "the same presentation with frozen weights and other targets: what is sent forward "
        + ("differs" if x.answered else "is the same to the bit"),
    )
    return Finding("feedback", x.answered, "changes it" if x.answered else "kept apart", tuple(evidence), checks)


def signals(x):
    """No neuron that learns has to keep more than two signals apart, as a soma and one dendrite could."""
    found = {}
    for projection in x.wiring.plastic:
        population = projection.target
        for each in x.wiring.projections.values():
            if each.target is population:
                for statement in each.transmit_statements:
                    variable = _added_up(x.wiring, population, statement.target.removesuffix("_post"))
                    if is_read(x, (population.name, variable)):
                        by = found.setdefault(population.name, {}).setdefault(variable, {})
                        by[each.name] = x.seen[each.name].arrived.get(statement.target.removesuffix("_post"), False)
    if not found:
        return Finding("signals", None, "no rule")
    most = max(map(len, found.values()))
    evidence = []
    for name, variables in found.items():
        told = [f"{variable} (from {', '.join(by)})" for variable, by in variables.items()]
        evidence.append(f"{name}: {', '.join(told)}")
    arrived = [any(by.values()) for variables in found.values() for by in variables.values()]
    checks = (f"{sum(arrived)} of these {len(arrived)} signals arrived while the network was watched",)
    return Finding("signals", most <= MANY, f"{most}", tuple(evidence), checks)


def _added_up(wiring, population, variable):
    """Return the sum of which a variable is only a term, and read nowhere else; or the variable itself."""
    used = {edge.source for edge in wiring.edges}
    readers = {edge.target for edge in wiring.edges if edge.source == (population.name, variable)} & used
    if len(readers) != 1:
        return variable
    owner, total = readers.pop()
    if owner != population.name or total not in population.expressions:
        return variable
    expr = str_to_sympy(population.expressions[total])
    terms = [term for term in sympy.Add.make_args(expr) if variable in {s.name for s in term.free_symbols}]
    alone = len(terms) == 1 and expr.is_Add and len(terms[0].free_symbols) == 1 and terms[0].is_polynomial()
    return _added_up(wiring, population, total) if alone and sympy.degree(terms[0]) == 1 else variable
