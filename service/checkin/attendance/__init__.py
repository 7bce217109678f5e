"""Who was expected, and who came: the frozen roster, leave, exemptions, guests, make-ups, and the figures of them."""
