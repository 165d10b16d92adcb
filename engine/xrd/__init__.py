"""Two-dimensional X-ray diffraction: detector images in, images without their background out."""
