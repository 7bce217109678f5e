"""Errands: work on a whole table that the worker does for an organiser, of the roster or of the organisations.

A table that is sent in is compared first; it is applied once an organiser has seen the differences and says so. A table
that is asked for is made and fetched. What was sent and what was made lie sealed, and only for as long as needed.
"""
