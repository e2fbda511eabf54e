"""Published models, one paper a file; each file lists its experiments in ``EXPERIMENTS``."""
