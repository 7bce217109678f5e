"""A person's rights over what is held of him: see, take along, correct, have erased, withdraw."""
