"""Latent spaces of compositions and of powder patterns: variational autoencoders (Korolev et al., supplement)."""
