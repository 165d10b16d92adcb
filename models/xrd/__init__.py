"""Networks that tell phase regions from raw diffraction images."""
