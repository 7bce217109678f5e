"""The org room: divisions, the tree of organisations, members, their log-in, and organisers' accounts."""
