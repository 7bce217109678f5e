"""Logging in through an identity provider (OpenID Connect): for accounts that were linked to a subject there."""
