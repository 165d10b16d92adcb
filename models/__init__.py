"""The networks: what they are, how they are trained, and the weights that ship."""

from matscreen.models.catalogue import available, load
from matscreen.models.model import Model, ModelError

__all__ = ["Model", "ModelError", "available", "load"]
