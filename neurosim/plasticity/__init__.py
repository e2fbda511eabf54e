"""Rules and transmits as equations: read (parse), plan (plan), carry out (execute, kernels)."""
