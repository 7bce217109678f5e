"""春水: themed days across provinces — join, exact live count, check-in, reminders, report."""

__version__ = "0.1.0"
