"""春水: themed days across provinces — join, exact live count, check-in, reminders, report."""

from service.compiled import prefer

__version__ = "0.1.0"

prefer(__path__, __name__)
