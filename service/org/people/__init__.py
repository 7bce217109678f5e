"""Members as people: their numbers under seal, where they stay, which offices they hold, how they prove it."""
