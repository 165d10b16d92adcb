"""Electron backscatter diffraction: master patterns and maps in, orientations out."""
