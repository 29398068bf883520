"""What becomes of calls when something breaks: faults put into real processes, and what callers hear of them."""
