"""One experiment with many settings, on all cores or on a cluster."""
