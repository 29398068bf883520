"""The receptionist: a narrow, menu-style agent on a CPU behind the duplex protocol.

A cascade (speech detection, small grammars, a dialog from the agent file, a synthetic voice), not
a duplex model: it decides every 0.4 s by rule. It proves the line and stands in for a GPU worker.
"""
