"""Accounts of those who organise and administer: how they log in, what they are granted, who helps them back in."""
