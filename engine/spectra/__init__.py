"""A spectrum, a composition and a property of the same samples: what a model of them has learnt (Umehara et al.)."""
