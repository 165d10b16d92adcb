"""Search: which point of a space to look at next, so that a wanted property is found in few looks."""
