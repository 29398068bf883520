"""Browser calls without I/O: offers and answers, trickled candidates, tokens and credentials."""
