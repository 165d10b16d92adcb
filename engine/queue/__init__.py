"""From candidates to calculations and back: structures, inputs, results, and a list that learns from them."""
