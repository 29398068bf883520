"""What an agent may say and ask: its file, how phrases are understood, and the dialog as a table."""
