"""Factors of large populations in one pass over their arrays, on numba's threads, where NumPy would make several."""

import sympy

from neurosim.plasticity.compile import compile_kernel
from neurosim.plasticity.emit import code
from neurosim.plasticity.plan import constant

FUSED_FROM = 1_000_000  # neurons in all lanes from which it pays; the numbers are the same as NumPy's but for constants
EXACT = {"Abs", "clip", "int_", "floor", "ceiling", "sign", "Mod", "Piecewise"}


class Fused:
    """An expression of state variables, evaluated neuron by neuron by a compiled kernel.

    Parameters
    ----------
    expr : sympy.Expr
        Of variables and constants only.
    scope : Scope
        Constants.
    reads : iterable of str
        The variables, in the order in which their arrays are given.
    precision : numpy dtype
        Of the result.
    """

    def __init__(self, expr, scope, reads, precision):
        self.constants = {}
        names = {name: sympy.Symbol(f"x{k}[s]", real=True) for k, name in enumerate(reads)}

        def leaves(part):
            if not any(symbol.name in names for symbol in part.free_symbols):
                value = precision.type(constant(part, scope))
                return sympy.Symbol(self.constants.setdefault(value, f"c{len(self.constants)}"), real=True)
            if part.is_Symbol:
                return names[part.name]
            if part.is_Pow and part.exp.is_Integer:
                return sympy.Pow(leaves(part.base), part.exp)
            if part.is_Mul:
                fixed = [a for a in part.args if not any(symbol.name in names for symbol in a.free_symbols)]
                if len(fixed) > 1:
                    rest = [leaves(a) for a in part.args if a not in fixed]
                    return sympy.Mul(leaves(sympy.Mul(*fixed)), *rest)
            return part.func(*map(leaves, part.args))

        text = code(leaves(expr))
        arguments = ["out", *(f"x{k}" for k in range(len(names))), *self.constants.values()]
        lines = [f"def serial(first, last, {', '.join(arguments)}):", "    one = out.dtype.type(1)"]
        lines += ["    for s in range(first, last):", f"        out[s] = {text}"]
        self.kernel = compile_kernel("\n".join(lines) + "\n", ", ".join(arguments))

    def __call__(self, arrays, out):
        """Write the values into ``out``; all arrays are contiguous and of one shape."""
        self.kernel(out.size, 0, out.size, out.ravel(), *(array.ravel() for array in arrays), *self.constants)


def fusible(expr, functions):
    """Say whether an expression consists of operations that give the same bits however they are carried out."""
    parts = list(sympy.preorder_traversal(expr))
    if any(part.is_Pow and not part.exp.is_Integer for part in parts):
        return False
    own = {part.func.__name__ for part in parts if part.is_Function}
    return own <= EXACT - {"Piecewise", "Mod"} and not own & set(functions)
