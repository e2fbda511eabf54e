"""What each synapse of a model needs to know, read from its equations and wiring, and checked by experiment."""
