"""The networks: what they are, how they are trained, and the weights that ship."""

from matscreen.models.model import Model, ModelError, available, load

__all__ = ["Model", "ModelError", "available", "load"]
