"""Why a composition lies where it lies: which way its predicted stability improves, and how far one can be sure."""
