"""The roll of a branch (点名册): who is on it, who has come and how, as its secretary sees and corrects it."""
