"""Load tests: open loop, judged against the schedule, from the caller's side."""
