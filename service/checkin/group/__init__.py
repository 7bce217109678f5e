"""Collective viewing (集体收看): a branch before one screen, ticked by name; heads without names are another figure."""
