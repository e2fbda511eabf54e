"""The rules of ``rule_cases.py`` in PyTorch on the CPU, written for speed: in place, products that add, no temporaries.

One lane can go through ``torch.compile`` as well where that works as it comes; the caller takes the quicker.
"""

import torch


def candidates(v):
    """Return the candidates for these values: (function for a step, weights as a NumPy array)."""
    pre, post, signal = _tensors(v)
    found = []
    for make in _one_lane(v) if v.lanes == 1 else _lanes(v):
        w = torch.from_numpy(v.new_weights())
        found.append((torch.no_grad()(make(w, pre, post, signal)), w.numpy()))
    return found


def _tensors(v):
    return ({name: torch.from_numpy(a) for name, a in side.items()} for side in (v.pre, v.post, v.signal))


def _one_lane(v):
    c, name = v.constants, v.case.name
    eta = c.get("eta", 0) * v.dt

    def row(x):
        return x[0]

    def three_factor(w, pre, post, signal):
        r, psi, m = row(pre["r"]), row(post["psi"]), row(post["m"])
        return lambda: w.addr_(r, psi * m, alpha=eta)

    def three_factor_on_spikes(w, pre, post, signal):
        rows, psi, m = row(pre["s"]).nonzero()[:, 0], row(post["psi"]), row(post["m"])
        return lambda: w.index_add_(0, rows, (psi * m).expand(len(rows), -1), alpha=c["rate"])

    def three_factor_dense(w, pre, post, signal):
        s, psi, m = row(pre["s"]), row(post["psi"]), row(post["m"])
        return lambda: w.addr_(s, psi * m, alpha=c["rate"])

    def oja(w, pre, post, signal):
        r_pre, r_post = row(pre["r"]), row(post["r"])
        return lambda: w.mul_(1 - eta * r_post**2).addr_(r_pre, r_post, alpha=eta)

    def bcm(w, pre, post, signal):
        r_pre, r, theta = row(pre["r"]), row(post["r"]), row(post["theta"])
        return lambda: w.addr_(r_pre, r * (r - theta), alpha=eta)

    def contrastive(w, pre, post, signal):
        rho, free, rho_post, free_post = row(pre["rho"]), row(pre["free"]), row(post["rho"]), row(post["free"])
        return lambda: w.addr_(rho, rho_post, alpha=eta).addr_(free, free_post, alpha=-eta)

    def contrastive_as_product(w, pre, post, signal):
        def step():
            both = torch.stack((pre["rho"][0], pre["free"][0]), 1)
            w.addmm_(both, torch.stack((post["rho"][0], -post["free"][0])), alpha=eta)

        return step

    def competitive(w, pre, post, signal):
        x, g, current = row(pre["v"]), row(post["g"]), row(post["I"])
        return lambda: w.mul_(1 - eta * g * current).addr_(x, g, alpha=eta * c["R"])

    def eligibility(w, pre, post, signal):
        e, share = torch.zeros_like(w), v.dt / c["tau"]
        x, psi, reward = row(pre["x"]), row(post["psi"]), float(signal["reward"][0, 0])

        def step():
            w.add_(e, alpha=eta * reward)
            e.addr_(x, psi, beta=1 - share, alpha=share)

        return step

    def stdp_by_index(w, pre, post, signal):
        rows, columns = row(pre["s"]).nonzero()[:, 0], row(post["s"]).nonzero()[:, 0]
        x, y = row(pre["x"]), row(post["y"])

        def step():
            w[rows] = w[rows].sub_(c["a_minus"] * y).clamp_(0, c["w_max"])
            w[:, columns] = w[:, columns].add_((c["a_plus"] * x)[:, None]).clamp_(0, c["w_max"])

        return step

    def stdp_dense(w, pre, post, signal):
        s, x, s_post, y = row(pre["s"]), row(pre["x"]), row(post["s"]), row(post["y"])

        def step():
            w.addr_(s, y, alpha=-c["a_minus"]).clamp_(0, c["w_max"])
            w.addr_(x, s_post, alpha=c["a_plus"]).clamp_(0, c["w_max"])

        return step

    return {
        "three-factor": [three_factor],
        "three-factor on spikes": [three_factor_on_spikes, three_factor_dense],
        "Oja": [oja],
        "BCM": [bcm],
        "pair STDP": [stdp_by_index, stdp_dense],
        "contrastive": [contrastive, contrastive_as_product],
        "competitive": [competitive],
        "eligibility": [eligibility],
    }[name]


def _lanes(v):
    c, name = v.constants, v.case.name
    eta = c.get("eta", 0) * v.dt

    def three_factor(w, pre, post, signal):
        return lambda: w.addmm_(pre["r"].T, post["psi"] * post["m"], alpha=eta)

    def three_factor_on_spikes(w, pre, post, signal):
        return lambda: w.addmm_(pre["s"].T, post["psi"] * post["m"], alpha=c["rate"])

    def oja(w, pre, post, signal):
        r = post["r"]
        return lambda: w.mul_(1 - eta * (r * r).sum(0)).addmm_(pre["r"].T, r, alpha=eta)

    def bcm(w, pre, post, signal):
        return lambda: w.addmm_(pre["r"].T, post["r"] * (post["r"] - post["theta"]), alpha=eta)

    def contrastive(w, pre, post, signal):
        def step():
            both = torch.cat((pre["rho"], pre["free"]))
            w.addmm_(both.T, torch.cat((post["rho"], -post["free"])), alpha=eta)

        return step

    def competitive(w, pre, post, signal):
        g = post["g"]
        return lambda: w.mul_(1 - eta * (g * post["I"]).sum(0)).addmm_(pre["v"].T, g, alpha=eta * c["R"])

    def eligibility(w, pre, post, signal):
        e, share = torch.zeros(v.lanes, *w.shape), v.dt / c["tau"]
        x, psi, reward = pre["x"], post["psi"], signal["reward"][:, 0]

        def step():
            w.view(-1).addmv_(e.view(v.lanes, -1).T, reward, alpha=eta)
            e.baddbmm_(x[:, :, None], psi[:, None, :], beta=1 - share, alpha=share)

        return step

    def stdp(w, pre, post, signal):
        def step():
            w.addmm_(pre["s"].T, post["y"], alpha=-c["a_minus"]).clamp_(0, c["w_max"])
            w.addmm_(pre["x"].T, post["s"], alpha=c["a_plus"]).clamp_(0, c["w_max"])

        return step

    return {
        "three-factor": [three_factor],
        "three-factor on spikes": [three_factor_on_spikes],
        "Oja": [oja],
        "BCM": [bcm],
        "pair STDP": [stdp],
        "contrastive": [contrastive],
        "competitive": [competitive],
        "eligibility": [eligibility],
    }[name]


def compiled(v):
    """Return a candidate for one lane: the step as one expression, fused by ``torch.compile`` as it comes."""
    pre, post, signal = _tensors(v)
    c, name, w = v.constants, v.case.name, torch.from_numpy(v.new_weights())
    eta = c["eta"] * v.dt
    p, q = ({k: a[0] for k, a in side.items()} for side in (pre, post))
    if name == "eligibility":
        e, share = torch.zeros_like(w), v.dt / c["tau"]

        def both(w, e, x, psi, reward):
            w.add_(eta * reward * e)
            e.mul_(1 - share).add_(share * x[:, None] * psi)

        step = torch.compile(both, dynamic=False)
        call = torch.no_grad()(lambda: step(w, e, p["x"], q["psi"], signal["reward"][0, 0]))
        call()
        e.zero_()
    else:
        change = {
            "three-factor": lambda w, p, q: eta * p["r"][:, None] * (q["psi"] * q["m"]),
            "Oja": lambda w, p, q: eta * q["r"] * (p["r"][:, None] - q["r"] * w),
            "BCM": lambda w, p, q: eta * p["r"][:, None] * (q["r"] * (q["r"] - q["theta"])),
            "contrastive": lambda w, p, q: eta * (p["rho"][:, None] * q["rho"] - p["free"][:, None] * q["free"]),
            "competitive": lambda w, p, q: eta * q["g"] * (c["R"] * p["v"][:, None] - q["I"] * w),
        }[name]
        step = torch.compile(lambda w, p, q: w.add_(change(w, p, q)), dynamic=False)
        call = torch.no_grad()(lambda: step(w, p, q))
        call()
    w.copy_(torch.from_numpy(v.weights))
    return call, w.numpy()
