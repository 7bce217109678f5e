"""The ways out of this service. Nothing else in the room opens a connection to the outside world."""
