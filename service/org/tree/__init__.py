"""The tree of organisations through time: who stood below whom on which day, and every change of it.

Affiliations are the record; dated paths are drawn from them and can be drawn again at any time. Today's path of an
organisation stays in `organisations.path`, which tokens carry and streams count by.
"""
