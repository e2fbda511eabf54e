"""What areas do without their inhibition: clean images that they have not learned, and make some from a class.

Measured with the weights of a network that learns, in a copy that does not: first with inhibition, until at rest;
then inhibition is removed, with several shares of the basal conductance, until at rest again.
"""

import brian2
import numpy as np

from neurosim_models.sacramento_2018.disinhibition_network import OTHERS, SHOWN, Areas, basal, potential, rate

NOISE = (  # kinds and levels: deviation (pixels 0 .. 1), fraction of pixels turned black or white, of rows hidden
    *(("gaussian", level) for level in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
    *(("salt and pepper", level) for level in (0.1, 0.2, 0.4)),
    *(("hidden rows", level) for level in (0.25, 0.5)),
)
IMAGES = 100  # test images
SETTLING, LASTING = 30, 100  # time steps with inhibition, and after it
EXAMPLES = 8  # images that are kept
INHIBITED = "inhibited"


def spoil(images, kind, level, generator):
    """Return images with noise of a kind.

    Parameters
    ----------
    images : array of shape (images, pixels)
        Pixels 0 .. 1.
    kind : {"gaussian", "salt and pepper", "hidden rows"}
        Which noise.
    level : float
        Standard deviation; fraction of the pixels that become 0 or 1; fraction of the rows, from below, that become 0.
    generator : numpy.random.Generator
        Draws it.
    """
    if kind == "gaussian":
        return images + level * generator.standard_normal(images.shape)
    if kind == "salt and pepper":
        changed, white = generator.random((2, *images.shape))
        return np.where(changed < level, np.round(white), images)
    side = int(np.sqrt(images.shape[1]))
    hidden = np.repeat(np.arange(side) >= round(side * (1 - level)), images.shape[1] // side)
    return np.where(hidden, 0, images)


def correlation(a, b):
    """Return Pearson's correlation over the last axis; 0 where one of the two is constant."""
    a, b = (each - each.mean(axis=-1, keepdims=True) for each in (np.asarray(a, float), np.asarray(b, float)))
    size = np.sqrt((a * a).sum(axis=-1) * (b * b).sum(axis=-1))
    return np.divide((a * b).sum(axis=-1), size, out=np.zeros(np.shape(size)), where=size > 1e-12)


def linear_cleaning(train, images, deviation):
    """Return the best linear estimate of images from ones with white noise, given the mean and covariance of others."""
    mean, covariance = train.mean(axis=0), np.cov(train.T)
    gain = np.linalg.solve(covariance + (deviation**2 + 1e-9) * np.eye(len(mean)), covariance)  # some pixels never vary
    return mean + (images - mean) @ gain


class Cleaning:
    """Measures of a network that learns, after every ``clean_every`` epochs and the last; zeros after the others.

    Parameters
    ----------
    learner : Areas
        Whose weights are used.
    data : DataSet
        Test images are cleaned, means of training images compared with.
    seed : int
        Decides the noise.
    """

    def __init__(self, learner, data, seed):
        self.learner, self.values = learner, learner.values
        self.count = min(IMAGES, len(data.test_labels))
        self.images, self.labels = data.test_images[: self.count].astype(float), data.test_labels[: self.count]
        self.classes = data.n_classes
        self.means = np.array([data.train_images[data.train_labels == k].mean(axis=0) for k in range(self.classes)])
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(99,)))
        self.noisy = np.array([spoil(self.images, *each, generator) for each in NOISE])
        self.best = np.array([
            linear_cleaning(data.train_images.astype(float), images, level) if kind == "gaussian" else images
            for (kind, level), images in zip(NOISE, self.noisy, strict=True)
        ])  # fmt: skip
        self.areas, self.network = self._copy(len(NOISE) * self.count)
        self.makers, self.making = self._copy(self.classes)
        self.course = None
        watch = brian2.NetworkOperation(self._watch, clock=self.areas.clock, when="end", name="watch")
        self.network.add(watch)
        self.epoch, self.found, self.found_at = 0, {}, None

    def _copy(self, lanes):
        values = {**self.values, "lanes": lanes}
        areas = Areas(values, self.learner.v.n, self.classes, 0, learns=False)
        return areas, brian2.Network(*areas.objects)

    def begin(self, epoch):
        """An epoch begins."""
        self.epoch = epoch

    @property
    def shapes(self):
        """Shape of every measure, by name."""
        r, p, n = self.values["replicas"], len(self.values["shares"]), len(NOISE)
        k, pixels = self.classes, self.images.shape[1]
        return {
            "correlation": (r, p + 1, n), "correlation_apical": (r, p, n), "correlation_once": (r, p, n),
            "correlation_noisy": (r, n), "correlation_linear": (r, n), "named_wrongly": (r, p + 1, n),
            "unsettled": (r, p + 1), "course": (r, p, n, SETTLING + LASTING),
            "generated": (r, p, k, pixels), "generated_correlation": (r, p, k, k), "generated_named": (r, p, k),
            "class_means": (1, k, pixels), "examples": (p + 3, n, min(EXAMPLES, self.count), pixels),
        }  # fmt: skip

    def measures(self):
        """Return the measures by name, each a function, with its unit."""
        return {name: (lambda name=name: self._measured()[name], "1") for name in self.shapes}

    def _measured(self):
        if self.found_at != self.epoch:
            due = self.epoch % self.values["clean_every"] == 0 or self.epoch == self.values["epochs"]
            self.found = self.cleaned() | self.generated() if due else {k: np.zeros(s) for k, s in self.shapes.items()}
            self.found_at = self.epoch
        return self.found

    def _run(self, network, areas, steps):
        network.run(steps * areas.clock.dt, namespace={})

    def _watch(self):
        if self.course is not None:
            self.course.append(self._to_clean(self.areas.v.view("r")))

    def _to_clean(self, rates):
        """Return the mean correlation of visible rates with the clean images, (replicas, kinds of noise)."""
        return correlation(rates.reshape(len(rates), len(NOISE), self.count, -1), self.images).mean(axis=-1)

    def cleaned(self):
        """Clean the test images; return the measures of it."""
        areas, values = self.areas, self.values
        replicas, n = values["replicas"], len(NOISE)
        areas.rest()
        areas.take(self.learner)
        areas.y.view("nudged")[...] = 0
        areas.v.view("v_B")[...] = basal(self.noisy, values).reshape(n * self.count, -1)
        self.course = []
        self._run(self.network, areas, SETTLING)
        before, self.course = self.course, None
        rates, wrong, unsettled = [areas.v.view("r").copy()], [self._wrong()], [self._moves()]
        states = {p: p.view("u").copy() for p in areas.populations}
        top_down = areas.v.view("v_TD").copy()
        apical, once, courses = [], [], []
        for share in values["shares"]:
            areas.take(self.learner, inhibited=False, share=share)
            for population, state in states.items():
                population.view("u")[...] = state
            once.append(self._to_clean(rate(self._mix(share, top_down), values)))
            self.course = []
            self._run(self.network, areas, LASTING)
            courses.append(np.stack(before + self.course, axis=-1))
            self.course = None
            rates.append(areas.v.view("r").copy())
            apical.append(self._to_clean(rate(areas.v.view("v_TD"), values)))
            wrong.append(self._wrong())
            unsettled.append(self._moves())
        clean, few = np.broadcast_to(self.images, self.noisy.shape), min(EXAMPLES, self.count)
        kept = [clean, self.noisy, *(each[0].reshape(self.noisy.shape) for each in rates)]
        alike = {"correlation_noisy": self.noisy, "correlation_linear": self.best}
        return {
            "correlation": np.stack([self._to_clean(each) for each in rates], axis=1),
            "correlation_apical": np.stack(apical, axis=1),
            "correlation_once": np.stack(once, axis=1),
            "named_wrongly": np.stack(wrong, axis=1),
            "unsettled": np.stack(unsettled, axis=1),
            "course": np.stack(courses, axis=1),
            "examples": np.array([each[:, :few] for each in kept]),
        } | {k: np.tile(correlation(v, self.images).mean(axis=1), (replicas, 1)) for k, v in alike.items()}  # fmt: skip

    def _mix(self, share, v_TD):
        """Return the somatic potential of the visible area with these apical potentials, at rest."""
        g_lk, g_B, g_A = (float(self.values[name]) for name in ("g_lk", "g_B", "g_A"))
        v_B = self.areas.v.view("v_B")
        return (share * g_B * v_B + g_A * v_TD) / (g_lk + share * g_B + g_A)

    def _wrong(self):
        """Return the fraction of images that the network names wrongly, (replicas, kinds of noise)."""
        guess = self.areas.y.view("v_B").argmax(axis=-1).reshape(-1, len(NOISE), self.count)
        return (guess != self.labels).mean(axis=-1)

    def _moves(self):
        """Return how far the visible cells are from where they are drawn to: the largest difference, (replicas,)."""
        v, values = self.areas.v, self.values
        g_lk, g_B, g_A = (float(v.namespace[name]) for name in ("g_lk", "g_B", "g_A"))
        drawn = (g_B * v.view("v_B") + g_A * (v.view("v_TD") + v.view("v_PI"))) / (g_lk + g_B + g_A)
        return np.abs(rate(drawn, values) - v.view("r")).max(axis=(1, 2))

    def generated(self):
        """Let every class make an image, without any input; return the measures of it."""
        areas, values = self.makers, self.values
        made, named = [], []
        target = np.where(np.eye(self.classes, dtype=bool), potential(SHOWN, values), potential(OTHERS, values))
        whole = float(values["g_lk"] + values["g_B"] + values["g_A"]) / float(values["g_B"])
        for share in values["shares"]:
            areas.rest()
            areas.take(self.learner, inhibited=False, share=share)
            areas.v.view("v_B")[...] = 0
            areas.y.view("nudged")[...], areas.y.view("target")[...] = 1, target
            self._run(self.making, areas, LASTING)
            made.append(areas.v.view("r").copy())
            seen = whole * areas.v.view("u")  # the basal potentials that bring the somas there, with inhibition
            areas.rest()
            areas.take(self.learner)
            areas.v.view("v_B")[...] = seen
            areas.y.view("nudged")[...] = 0
            self._run(self.making, areas, SETTLING)
            named.append(areas.y.view("v_B").argmax(axis=-1))
        made = np.stack(made, axis=1)
        return {
            "generated": made,
            "class_means": self.means[None],
            "generated_correlation": correlation(made[:, :, :, None], self.means),
            "generated_named": np.stack(named, axis=1).astype(float),
        }
