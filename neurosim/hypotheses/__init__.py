"""Claims that are stated in a file before the runs, put to the test, and judged."""
