"""The live room: members' connections, who is online, and the history of their stays."""
