"""Write the kernel of a rule or a transmit as text for numba.

One pass over the synapses does all that happens at a moment: it reads the weight and the variables of a synapse,
carries out the statements in their order, keeps the bounds, and writes back. Names are given in the order in which
things are met, and constants are arguments, so that texts of one structure have one kernel.
"""

import sympy

from neurosim.plasticity.parse import FUNCTIONS, WEIGHT
from neurosim.plasticity.plan import LANEWISE, ONE, constant, scalar, side

USER = "user_"  # before the names of the user's own functions, so that they mean nothing else in a kernel
NAMES = {"Abs": "abs", "ceiling": "ceil", "atan": "arctan", "asin": "arcsin", "acos": "arccos"}
RELATIONS = {
    sympy.StrictLessThan: "<", sympy.LessThan: "<=", sympy.StrictGreaterThan: ">", sympy.GreaterThan: ">=",
    sympy.Equality: "==", sympy.Unequality: "!=",
}  # fmt: skip


def code(expr):
    """Return an expression, in which all numbers but whole exponents are names, as Python."""
    if expr.is_Symbol:
        return expr.name
    if expr.is_Add:
        return f"({' + '.join(code(a) for a in expr.args)})"
    if expr.is_Mul:
        over = [a for a in expr.args if a.is_Pow and a.exp.is_Integer and a.exp < 0]
        up = " * ".join(code(a) for a in expr.args if a not in over)
        under = [code(sympy.Pow(a.base, -a.exp)) for a in over]
        return f"({up or 'one'}{''.join(f' / {u}' for u in under)})"
    if expr.is_Pow:
        base, exponent = expr.args
        if not exponent.is_Integer:
            return f"({code(base)} ** {code(exponent)})"
        factors = " * ".join([code(base)] * min(abs(int(exponent)), 4))
        factors = f"({factors})" if abs(exponent) <= 4 else f"({code(base)} ** {abs(int(exponent))})"
        return factors if exponent > 0 else f"(one / {factors})"
    for relation, sign in RELATIONS.items():
        if isinstance(expr, relation):
            return f"({code(expr.args[0])} {sign} {code(expr.args[1])})"
    if isinstance(expr, (sympy.And, sympy.Or)):
        word = " and " if isinstance(expr, sympy.And) else " or "
        return f"({word.join(f'({code(a)} != 0)' if a.is_Symbol else code(a) for a in expr.args)})"
    if isinstance(expr, sympy.Not):
        return f"(not {code(expr.args[0])})"
    name = expr.func.__name__
    arguments = ", ".join(code(a) for a in expr.args)
    if name == "int_":
        return f"int_(one * {arguments})"
    if isinstance(expr, sympy.Mod):
        return f"({code(expr.args[0])} % {code(expr.args[1])})"
    return f"{NAMES.get(name, name) if NAMES.get(name, name) in FUNCTIONS else USER + name}({arguments})"


def user_functions(scope, text):
    """Return the user's own scalar functions that a kernel's text calls, under the names that it has for them."""
    return {USER + name: scalar(f) for name, f in scope.functions.items() if f"{USER}{name}(" in text}


class Arguments:
    """What a kernel is given: factors of both sides, products over lanes, constants; each named when first met."""

    def __init__(self, scope, variables, form="rows"):
        self.scope = scope
        self.variables = variables  # name -> where it is kept
        self.form = form
        self.met = {kind: {} for kind in ("a", "h", "A", "H", "P", "c")}
        self.used = {}

    def name(self, kind, key):
        """Return the name of a thing of this kind: a, h in a lane; A, H, P summed over lanes; c a constant."""
        known = self.met[kind]
        if key not in known:
            known[key] = f"{kind}{len(known)}"
        return known[key]

    def local(self, variable):
        """Return the symbol of a variable of the synapse, in a register."""
        if variable not in self.used:
            self.used[variable] = len(self.used)
        return sympy.Symbol(f"x{self.used[variable]}", real=True)

    def constant(self, expr):
        """Return the symbol of a constant."""
        return sympy.Symbol(self.name("c", expr), real=True)

    def hoist(self, expr, lane):
        """Return an expression whose parts that depend on one side only are names of arrays evaluated before.

        ``lane`` says whether it is evaluated in each lane (a, h) or once (A, H).
        """
        sides = side(expr, self.scope)
        if not sides:
            return self.constant(expr)
        if len(sides) == 1 and "w" not in sides and expr.is_Mul:
            fixed = [a for a in expr.args if not side(a, self.scope)]
            if fixed:
                rest = sympy.Mul(*(a for a in expr.args if a not in fixed))
                return self.constant(sympy.Mul(*fixed)) * self.hoist(rest, lane)
        pre, post = ("a", "h") if lane else ("A", "H")
        if sides == {"pre"}:
            return sympy.Symbol(f"{self.name(pre, expr)}_", real=True)
        if sides == {"post"}:
            return sympy.Symbol(f"{self.name(post, expr)}_[j]", real=True)
        if expr.is_Symbol:
            return self.local(expr.name)
        if expr.is_Add or expr.is_Mul:
            groups = {}
            for argument in expr.args:
                key = frozenset(side(argument, self.scope))
                groups.setdefault(key if len(key) < 2 and key != {"w"} else argument, []).append(argument)
            if len(groups) > 1:
                return expr.func(*(self.hoist(expr.func(*members), lane) for members in groups.values()))
            return expr.func(*(self.hoist(a, lane) for a in expr.args))
        if expr.is_Pow and not side(expr.exp, self.scope):
            exponent = constant(expr.exp, self.scope)
            if exponent == int(exponent) and abs(exponent) <= 64:
                return sympy.Pow(self.hoist(expr.base, lane), sympy.Integer(int(exponent)))
        return expr.func(*(self.hoist(a, lane) for a in expr.args))

    def reduced(self, term, times):
        """Return a separable term summed over lanes; ``times`` counts it where it is the same in all lanes."""
        factor = self.hoist(term.weight, lane=False) if term.weight != ONE else ONE
        coefficient = term.coefficient
        if term.pre != ONE and term.post != ONE:
            name = self.name("P", (term.pre, term.post))
            factor *= sympy.Symbol(f"{name}_" if self.form == "list" else f"{name}_[s]", real=True)
        elif term.pre != ONE:
            factor *= sympy.Symbol(f"{self.name('A', term.pre)}_", real=True)
        elif term.post != ONE:
            factor *= sympy.Symbol(f"{self.name('H', term.post)}_[j]", real=True)
        else:
            coefficient = coefficient * times
        return factor * self.constant(coefficient) if coefficient != ONE else factor


class Update:
    """One statement in a kernel: what is added in every lane, and what once."""

    def __init__(self, target, operator, in_lanes, once):
        self.target, self.operator, self.in_lanes, self.once = target, operator, in_lanes, once

    def symbols(self):
        """Return the names that the update reads."""
        parts = [part for part in (self.in_lanes, self.once) if part is not None]
        return {s.name for part in parts for s in part.free_symbols}


class RuleKernel:
    """The text of a kernel that learns.

    Parameters
    ----------
    arguments : Arguments
        Names; filled while updates are made.
    groups : list of (list of Update, bool)
        What is carried out, group after group: together from the values before (True), or one after another.
    form : str
        "rows" of a matrix, "columns" chosen of a matrix, or a "list" of synapses.
    lanes : int
        How many.
    masked, bounded : bool
        Whether some pairs have no synapse; whether the weight has bounds.
    gate : tuple, optional
        ("a" or "A", name) of the source's factor without which nothing happens in a row.
    """

    def __init__(self, arguments, groups, form, lanes, masked, bounded, gate=None, column_gate=None):
        self.arguments, self.form, self.lanes = arguments, form, lanes
        self.masked, self.bounded = masked, bounded
        self.sums = arguments.form == "list"  # whether products over lanes are made here, synapse by synapse
        self.gate, self.column_gate = gate, column_gate
        self.lines = []
        for updates, _ in groups:
            for update in updates:
                arguments.local(update.target)
        self.accumulated = sorted(
            {u.target for updates, _ in groups for u in updates if u.in_lanes is not None and not self._own(u.target)}
        )
        pending = []  # (updates, together, whether to keep the bounds after them), to be done in one loop
        for updates, together in groups:
            blocks = self._blocks(updates, together)
            for k, block in enumerate(blocks):
                if any(u.in_lanes is not None for u in block):
                    self._once(pending)
                    pending = []
                    self._in_lanes(block, together)
                clips = bounded and k == len(blocks) - 1 and any(u.target == WEIGHT for u in updates)
                pending.append(([u for u in block if not self._own(u.target)], together, clips))
        self._once(pending)

    def _own(self, target):
        return self.arguments.variables[target] == LANEWISE

    def _x(self, target):
        return self.arguments.local(target).name

    def _blocks(self, updates, together):
        """Cut statements that follow one another where one reads in every lane what one before adds up over lanes."""
        if together:
            return [updates]
        blocks, block, changed = [], [], set()
        for update in updates:
            if update.in_lanes is not None and (update.symbols() | {self._x(update.target)}) & changed:
                blocks.append(block)
                block, changed = [], set()
            block.append(update)
            if not self._own(update.target):
                changed.add(self._x(update.target))
        return [*blocks, block]

    def _arrays(self, names):
        """Return the used variables among these names of registers: (number, name of the variable)."""
        return [(k, v) for v, k in self.arguments.used.items() if f"x{k}" in names]

    def _loop(self, depth):
        pad = "    " * depth
        if self.form == "rows":
            return [f"{pad}for s in range(n_post):", f"{pad}    j = s"]
        if self.form == "columns":
            return [f"{pad}for k in range(starts[r], starts[r + 1]):", f"{pad}    s = columns[k]", f"{pad}    j = s"]
        lines = [f"{pad}for s in range(indptr[ip], indptr[ip + 1]):", f"{pad}    j = index[s]"]
        if self.column_gate:
            lines += [f"{pad}    if {self.column_gate}_[j] == 0:", f"{pad}        continue"]
        return lines

    @property
    def _start(self):
        return "s - indptr[ip]" if self.form == "list" else "s"

    def _in_lanes(self, block, together):
        updates = [u for u in block if u.in_lanes is not None]
        names = set().union(*(u.symbols() for u in updates)) | {self._x(u.target) for u in updates}
        add = self.lines.append
        for target in sorted({u.target for u in updates if not self._own(u.target)}):
            add(f"        sum{self.arguments.used[target]}[:] = 0")
        add("        for b in range(lanes):")
        add("            rb = r * lanes + b")
        factors = {s.name for u in updates for s in u.in_lanes.free_symbols}
        for kind in ("a", "h"):
            for name in self.arguments.met[kind].values():
                if f"{name}_" in factors or f"{name}_[j]" in factors:
                    add(f"            {name}_ = {name}[rb, ip]" if kind == "a" else f"            {name}_ = {name}[rb]")
        arrays = self._arrays(names)
        for k, variable in arrays:
            if self._own(variable):
                add(f"            z{k} = v{k}[rb{', ip' if self.form != 'list' else ''}]")
        self.lines += self._loop(3)
        for k, variable in arrays:
            add(f"                x{k} = {'z' if self._own(variable) else 'y'}{k}[s]")
        later = []
        for n, u in enumerate(updates):
            k = self.arguments.used[u.target]
            if self._own(u.target):
                value = code(u.in_lanes) if u.operator == "=" else f"x{k} + {code(u.in_lanes)}"
                if together:
                    add(f"                d{n} = {value}")
                    later.append(f"                x{k} = d{n}")
                else:
                    add(f"                x{k} = {value}")
            else:
                add(f"                sum{k}[{self._start}] += {code(u.in_lanes)}")
        self.lines += later
        for target in dict.fromkeys(u.target for u in updates if self._own(u.target)):
            add(f"                z{self.arguments.used[target]}[s] = x{self.arguments.used[target]}")

    def _once(self, pending):
        """One loop over a row for all that happens once: groups of updates, one after another."""
        updates = [u for group, _, _ in pending for u in group]
        clips = any(clip for _, _, clip in pending)
        if not updates and not clips:
            return
        add = self.lines.append
        changed = list(dict.fromkeys([u.target for u in updates] + [WEIGHT] * clips))
        names = {s.name for u in updates if u.once is not None for s in u.once.free_symbols}
        names |= {self._x(target) for target in changed}
        self.lines += self._loop(2)
        for k, _ in self._arrays(names):
            add(f"            x{k} = y{k}[s]")
        if self.sums:
            for name in self.arguments.met["P"].values():
                if f"{name}_" in names:
                    add(f"            {name}_ = dot({name}r, {name}c[j])")
        for group, together, clip in pending:
            later = []
            for n, u in enumerate(group):
                k = self.arguments.used[u.target]
                parts = [f"sum{k}[{self._start}]"] if u.in_lanes is not None else []
                parts += [code(u.once)] if u.once is not None else []
                parts += [f"x{k}"] if u.operator == "+=" else []
                if together:
                    add(f"            d{n} = {' + '.join(parts)}")
                    later.append(f"            x{k} = d{n}")
                else:
                    add(f"            x{k} = {' + '.join(parts)}")
            self.lines += later
            if clip:
                weight = self._x(WEIGHT)
                add(f"            {weight} = clip({weight}, lowest, highest)")
        for target in changed:
            k = self.arguments.used[target]
            add(f"            y{k}[s] = {f'x{k} if there[s] else zero' if self.masked else f'x{k}'}")

    def text(self):
        """Return (text of ``serial``, its arguments after ``first, last`` as text, their names)."""
        met, used = self.arguments.met, self.arguments.used
        names = ["offset", "n_pre", "lanes"]
        names += {"rows": [], "columns": ["starts", "columns"], "list": ["indptr", "index"]}[self.form]
        names += ["mask"] if self.masked else []
        names += ["low", "high"] if self.bounded else []
        names += [f"v{k}" for k in used.values()]
        products = list(met["P"].values())
        if self.sums:
            products = [f"{name}{side}" for name in products for side in ("a", "h")]
        names += [name for kind in met if kind != "P" for name in met[kind].values()] + products
        head = [f"def serial(first, last, {', '.join(names)}):"]
        head += [f"    one = v{0}.dtype.type(1)", "    zero = v0.dtype.type(0)"]
        some = next(iter(used))
        if self.form == "list":
            head.append("    width = (indptr[1:] - indptr[:-1]).max()")
        else:
            head.append(f"    width = n_post = v{used[some]}.shape[{2 if self._own(some) else 1}]")
        head += [f"    sum{used[target]} = np.empty(width, v0.dtype)" for target in self.accumulated]
        head += ["    for q in range(first, last):", "        i = offset + q", "        r = i // n_pre"]
        head += ["        ip = i - r * n_pre"]
        if self.gate:
            head += [f"        if {self.gate}[r, ip] == 0:", "            continue"]
        for variable, k in used.items():
            if not self._own(variable):
                head.append(f"        y{k} = v{k}[{'r' if self.form == 'list' else 'i'}]")
        head += ["        lowest, highest = low[ip], high[ip]"] if self.bounded else []
        head += [f"        {name}_ = {name}[r, ip]" for name in met["A"].values()]
        head += [f"        {name}_ = {name}[r]" for name in met["H"].values()]
        if self.sums:
            head += [f"        {name}r, {name}c = {name}a[r, ip], {name}h[r]" for name in met["P"].values()]
        else:
            head += [f"        {name}_ = {name}[{'r' if self.form == 'list' else 'q'}]" for name in met["P"].values()]
        head += ["        there = mask[i % mask.shape[0]]"] if self.masked else []
        return "\n".join(head + self.lines) + "\n", ", ".join(names), names


def transmit_kernel(arguments, expr, form, masked, gate=None, largest=False):
    """Return (text of ``serial``, arguments after ``first, last`` as text, their names) of a kernel that delivers.

    It adds ``expr`` of every synapse, or takes the ``largest``, into ``out`` of shape (replicas x lanes, n_post). The
    range cut among threads is one of columns for a matrix and one of replicas x lanes for a list and for windows.
    """
    met, used = arguments.met, arguments.used
    value = code(expr)
    if form == "windows":
        return _windows_kernel(met, value, largest)
    names = ["n_pre", "lanes"] + (["indptr", "index"] if form == "list" else []) + (["mask"] if masked else [])
    names += [f"v{k}" for k in used.values()] + [name for kind in ("a", "h", "c") for name in met[kind].values()]
    names += ["out"]
    lines = [f"def serial(first, last, {', '.join(names)}):", "    one = out.dtype.type(1)"]
    lines += ["    for rb in range(first, last):" if form == "list" else "    for rb in range(out.shape[0]):"]
    lines += ["        r = rb // lanes", "        sums = out[rb]"]
    lines += [f"        {name}_ = {name}[rb]" for name in met["h"].values()]
    lines += ["        for ip in range(n_pre):"]
    if gate:
        lines += [f"            if {gate}[rb, ip] == 0:", "                continue"]
    lines += [f"            {name}_ = {name}[rb, ip]" for name in met["a"].values()]
    for variable, k in used.items():
        own = arguments.variables[variable] == LANEWISE
        where = ("rb" if own else "r") if form == "list" else ("rb, ip" if own else "r * n_pre + ip")
        lines += [f"            y{k} = v{k}[{where}]"]
    lines += ["            there = mask[(r * n_pre + ip) % mask.shape[0]]"] if masked else []
    if form == "list":
        lines += ["            for s in range(indptr[ip], indptr[ip + 1]):", "                j = index[s]"]
    else:
        lines += ["            for s in range(first, last):", "                j = s"]
    lines += [f"                x{k} = y{k}[s]" for k in used.values()]
    if largest:
        lines += [f"                value = {value}", "                if value > sums[j] or value != value:"]
        lines += ["                    sums[j] = value"]
    elif masked:
        lines += ["                if there[s]:", f"                    sums[j] += {value}"]
    else:
        lines += [f"                sums[j] += {value}"]
    return "\n".join(lines) + "\n", ", ".join(names), names


def _windows_kernel(met, value, largest):
    """As transmit_kernel, for windows of an image without weights: the channels of a pixel side by side."""
    names = ["starts", "pixels", "channels", "backwards"]
    names += [name for kind in ("a", "h", "c") for name in met[kind].values()] + ["out"]
    lines = [f"def serial(first, last, {', '.join(names)}):", "    one = out.dtype.type(1)"]
    lines += ["    for rb in range(first, last):", "        for p in range(starts.size - 1):"]
    lines += ["            for k in range(starts[p], starts[p + 1]):"]
    lines += ["                image, window = pixels[k] * channels, p * channels"]
    lines += ["                i, j = (window, image) if backwards else (image, window)"]
    lines += [f"                {name}r = {name}[rb, i : i + channels]" for name in met["a"].values()]
    lines += [f"                {name}_ = {name}[rb, j : j + channels]" for name in met["h"].values()]
    lines += ["                sums = out[rb, j : j + channels]", "                for j in range(channels):"]
    lines += [f"                    {name}_ = {name}r[j]" for name in met["a"].values()]
    if largest:
        lines += [f"                    value = {value}", "                    before = sums[j]"]
        lines += ["                    sums[j] = value if value > before or value != value else before"]
    else:
        lines += [f"                    sums[j] += {value}"]
    return "\n".join(lines) + "\n", ", ".join(names), names


def transform_kernel(arguments, expr, masked):
    """Return (text of ``serial``, ..., names) of a kernel that writes f(w) of some rows into ``out``."""
    met, used = arguments.met, arguments.used
    names = ["offset"] + (["mask"] if masked else []) + [f"v{k}" for k in used.values()]
    names += [*met["c"].values(), "out"]
    lines = [f"def serial(first, last, {', '.join(names)}):", "    one = out.dtype.type(1)", "    zero = one - one"]
    lines += ["    for q in range(first, last):", "        row = out[q]"]
    lines += [f"        y{k} = v{k}[offset + q]" for k in used.values()]
    lines += ["        there = mask[(offset + q) % mask.shape[0]]"] if masked else []
    lines += ["        for s in range(row.size):"]
    lines += [f"            x{k} = y{k}[s]" for k in used.values()]
    value = code(expr)
    lines += [f"            row[s] = {f'({value} if there[s] else zero)' if masked else value}"]
    return "\n".join(lines) + "\n", ", ".join(names), names
