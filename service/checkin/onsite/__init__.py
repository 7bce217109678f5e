"""Checking in on site: walls that show a code which changes every few seconds, and what a code proves."""
