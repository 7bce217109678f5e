"""Notify: tells other systems what happened, from an outbox written in the caller's transaction.

The leftmost room: it delivers payloads that it does not understand, and imports no other room. Each delivery
is made at least once, under one `webhook-id` however often it is tried.
"""
