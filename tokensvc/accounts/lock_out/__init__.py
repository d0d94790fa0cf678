"""How fast the password of one account can be guessed: the rules (pure), and their counters."""
