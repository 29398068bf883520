"""Who speaks when: chunks, turns, playout with its ledger, overlap. All of it pure."""
