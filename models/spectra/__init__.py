"""Properties from a spectrum and a composition together (Umehara et al.)."""
