"""Notices: telling members something, once, on a channel that can reach them.

A notice is planned with a moment; when that comes the worker asks the room it is from for its audience, a SELECT, and
makes of it one delivery for each person's inbox and one for the first channel that reaches the person.
"""
