"""The live room: members' connections, who is online, and the history of their stays."""

from service.compiled import prefer

prefer(__path__, __name__)
