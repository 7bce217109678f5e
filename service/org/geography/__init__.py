"""Divisions through time: lookups by name, changes entered by administrators, and dated sets of divisions."""
