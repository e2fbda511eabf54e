"""Random texts of transmits and rules, as hypothesis strategies over the grammar that a projection reads.

They name m, v, s, psi and gain of both sides; what was delivered, drive_post; the signal reward; the constants below.
Thresholds lie beside a grid of eighths, from which values are taken: single precision turns no condition over.
"""

from brian2 import Hz, check_units, ms, mV
from hypothesis import strategies as st


@check_units(x=1, result=1)
def squash(x):
    """A function of the user's own."""
    return x / (1 + abs(x))


CONSTANTS = {"eta": 0.2, "k": -0.75, "u": 2 * mV, "rate": 800 * Hz, "tau": 1 * ms}
NAMESPACE = CONSTANTS | {"squash": squash}
SPIKES = ("pre", "post")
PHASES = ("free", "nudged")  # whose ends may be events

# Factors. {x} is a variable of one side, {w} the weight as a number.
OF_ONE_SIDE = (
    "{x}", "{x}", "s{s}", "s{s}", "psi{s}", "{x}**2", "abs({x})", "({x} - 2*psi{s})", "exp(-abs({x}))", "tanh(2*{x})",
    "sign({x} - 0.3)", "clip({x}, -0.4, 0.6)", "clip({x}, 0, inf)", "sqrt(abs({x}))", "int({x} > 0.3)",
    "int({x} < 0.2 and s{s} > 0.5)", "int({x} > 0.3 or s{s} > 0.5)", "int(not {x} >= 0.05)", "gain{s}*{x}", "{x}/3",
    "log(1.5 + {x})", "1/(1 + {x}**2)", "sin(pi*{x})", "(1 - s{s})", "cos({x})", "floor(2*{x} + 0.1)",
    "ceil(3*{x} - 0.1)", "expm1({x})", "log1p(abs({x}))", "exprel({x})", "arctan({x})", "squash({x})",
)  # fmt: skip
OF_WEIGHT = (
    "{w}", "{w}", "{w}**2", "abs({w})", "tanh({w})", "(1 - {w})", "exp(-abs({w}))", "sqrt(abs({w}) + 0.25)",
    "sign({w} - 0.0123)", "clip({w}, -0.31, 0.43)", "int({w} > 0.0617)", "({w} - 0.2)*(0.9 - {w})",
    "sign({w} - 0.0123)*abs({w})**1.5",
)  # fmt: skip
OF_ALL = (
    "tanh(m_pre - v_post)", "exp(-(m_pre - m_post)**2)", "int(m_pre > v_post + 0.05)", "abs({w} - m_post)",
    "clip({w}*v_pre, -0.2, 0.3)", "(m_post - {w}*m_pre)", "(m_pre + m_post)", "tanh({w} + m_post)",
    "1/(1 + abs(m_pre*v_post))", "sign(m_pre - m_post + 0.05)", "(m_pre - v_post)**2", "exp(-abs({w}*m_pre))",
    "clip(m_pre*m_post, 0.03, inf)", "sqrt(1 + m_pre*v_post)", "squash({w} - v_pre)",
    "int(s_pre > 0.5 and s_post > 0.5)",
)  # fmt: skip
OF_PLAIN = ("s_pre", "s_pre", "m_pre", "s_post", "m_post", "psi_post", "reward")
OF_NONE = ("0.5", "k", "eta", "(eta + 3*k)/4", "k**2", "1/lanes", "(-0.25)", "exp(k)")
OF_SIGNAL = ("reward", "reward", "(reward - 0.1)", "tanh(reward)", "int(reward > 0.3)")
OF_DELIVERED = ("drive_post", "tanh(drive_post)", "int(drive_post > 0.0717)", "(drive_post - m_pre)")
OF_VARIABLE = (
    "{e}", "{e}", "tanh({e})", "({e} - 0.3)", "{e}*m_post", "{e}*s_pre", "exp(-abs({e} - m_pre))", "abs({e})",
)  # fmt: skip


def factors(weight, variables=(), learns=True, mixed=True, plain=False):
    """One factor of a product, as text; ``mixed`` ones depend on both sides at once, ``plain`` rules have few."""
    if plain:
        return st.sampled_from([*OF_PLAIN, weight] if learns else [*OF_PLAIN[:3], weight])
    sides = [("_pre", ("m_pre", "v_pre")), ("_post", ("m_post", "v_post"))]
    one_side = st.sampled_from(sides).flatmap(
        lambda side: st.builds(
            lambda form, x: form.format(s=side[0], x=x), st.sampled_from(OF_ONE_SIDE), st.sampled_from(side[1])
        )
    )
    groups = [one_side, one_side, st.sampled_from(OF_WEIGHT), st.sampled_from(OF_NONE)]
    groups += [st.sampled_from(OF_ALL)] * mixed
    if learns:
        groups += [st.sampled_from(OF_SIGNAL), st.sampled_from(OF_DELIVERED)]
    if variables:
        own = st.builds(
            lambda form, e: form.replace("{e}", e), st.sampled_from(OF_VARIABLE), st.sampled_from(variables)
        )
        groups += [own, own]
    return st.one_of(groups).map(lambda text: text.replace("{w}", weight))


def sums(factor, most=3):
    """A sum of products, each with a moderate number in front."""
    front = st.sampled_from(("0.25", "eta", "0.3", "0.5*eta", "0.1*k", "eta/lanes"))
    product = st.builds(lambda c, fs: "*".join([c, *fs]), front, st.lists(factor, min_size=1, max_size=3))
    return st.builds(
        lambda terms, signs: (
            terms[0] + "".join(f" {sign} {term}" for sign, term in zip(signs, terms[1:], strict=False))
        ),
        st.lists(product, min_size=1, max_size=most),
        st.lists(st.sampled_from("+-"), min_size=most, max_size=most),
    )


@st.composite
def transmits(draw, weight, variables=(), needs_weight=True, mixed=True, plain=False):
    """One or two lines, the first with the weight in it where there must be weights; sometimes a subexpression."""
    factor = factors(weight, variables, learns=False, mixed=mixed, plain=plain)
    lines = []
    if not plain and draw(st.booleans()):
        lines.append(f"mixed = {draw(sums(factor, 2))} : 1")
        factor = st.one_of(factor, st.just("mixed"))
    first = draw(sums(factor))
    if needs_weight and weight not in first:
        forms = "{w}*s_pre", "{w}*m_pre", "{w}*m_pre + {first}", "{w}*({first})"
        first = draw(st.sampled_from(forms)).format(w=weight, first=first)
    lines.append(f"drive_post = {first}")
    if draw(st.booleans()):
        lines.append(f"also_post = {draw(sums(factor, 2))}")
    return "\n".join(lines)


@st.composite
def rules(draw, weight, of_weight, shared, lanes, events=("step", *SPIKES, *SPIKES, *PHASES), plain=False):
    """A text and its event, or texts by event and the default event.

    ``shared`` says of every declared variable whether it is; ``of_weight`` is the unit that a number becomes a
    weight with, as ``weight`` is the weight as a number.
    """
    factor = factors(weight, tuple(shared), plain=plain)
    declared, texts = [], {}
    if not plain and draw(st.booleans()):
        declared.append(f"part = {draw(sums(factor, 2))} : 1  # a subexpression")
        factor = st.one_of(factor, factor, st.just("part"))
    total = sums(factor)
    chosen = draw(st.lists(st.sampled_from(events), min_size=1, max_size=3 - 2 * plain, unique=True))
    for variable, is_shared in shared.items():
        unit = ": 1 (shared)" if is_shared else ": 1"
        rate = draw(st.sampled_from((None, None, "-{v}/tau", "-{v}/tau + rate*({x})")))
        name = f"d{variable}/dt = {rate.format(v=variable, x=draw(total))}" if rate else variable
        declared.append(f"{name} {unit}")
        if not rate or draw(st.booleans()):
            event = draw(st.sampled_from(chosen))
            others = sums(factors(weight, tuple(set(shared) - {variable})))
            forms = [total.map("+= {}".format), total.map("-= {}".format), st.sampled_from(("+= 0.3", "-= eta*m_post"))]
            if not is_shared or lanes == 1:
                forms.append(total.map("= {}".format))
                forms.append(st.sampled_from(("= 1", "*= 0.5", "/= 1.5", "*= m_post", "*= exp(k)")))
            elif event not in SPIKES:
                forms.append(others.map("= {}".format))
            texts.setdefault(event, []).append(f"{variable} {draw(st.one_of(forms))}")
    rate = draw(st.sampled_from((True, False, False)))
    low, high = f"{of_weight}(-0.45)", f"{of_weight}0.65"
    more = draw(st.lists(st.sampled_from(chosen), max_size=2))
    for event in more if rate else [*chosen, *more[1:]]:
        others = sums(factors("eta", tuple(shared)))
        forms = [total.map(lambda x: f"+= {of_weight}({x})"), total.map(lambda x: f"-= {of_weight}({x})")]
        if plain:
            forms.append(st.just("-= eta*w/3"))
        elif lanes == 1:
            forms.append(total.map(lambda x: f"*= (1 + 0.1*({x}))"))
            forms.append(total.map(lambda x: f"= 0.5*w + {of_weight}({x})"))
            forms.append(total.map(lambda x: f"= clip(w - {of_weight}({x}), {low}, {high})"))
        elif event not in SPIKES:
            forms.append(others.map(lambda x: f"= {of_weight}({x})"))
            forms.append(others.map(lambda x: f"= clip(w + {of_weight}({x}), {low}, {high})"))
        texts.setdefault(event, []).append(f"w {draw(st.one_of(forms))}")
    if rate:
        declared.append(f"dw/dt = {of_weight}rate*({draw(total)})")
    declared = draw(st.permutations(declared))
    if len(texts) <= 1:
        ((event, lines),) = texts.items() or [("step", [])]
        return "\n".join([*declared, *lines]), event
    first = next(iter(texts))
    texts[first] = [*declared, *texts[first]] if draw(st.booleans()) else [*texts[first], *declared]
    return {event: "\n".join(lines) for event, lines in texts.items()}, "step"
