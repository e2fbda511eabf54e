"""Rules and transmits as equations: read (parse), planned (plan), carried out (learn, deliver)."""
