"""The activity room: what is held, when, by whom, for whom, and through which streams."""
