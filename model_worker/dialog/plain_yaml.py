"""YAML without what nobody needs in a file written by hand, and with a line for everything PyYAML makes of the rest."""

from typing import Any

import yaml

# PyYAML converts "!!bool foo", "!!float ''", "2026-13-45" or an integer of 5,000 digits without a check of its own.
_CONVERSION_ERRORS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)


class PlainYamlError(yaml.MarkedYAMLError):
    """It is YAML, but not of the plain kind. ``problem`` says what is wrong and ``problem_mark`` where."""


class PlainLoader(yaml.SafeLoader):
    """A ``SafeLoader`` that refuses aliases and values that are not what their form says.

    A few lines of aliases to aliases make a file of a million nodes, or one without end. Everything
    PyYAML raises here is a ``yaml.YAMLError``, but for RecursionError where brackets go too deep.
    """

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            alias: Any = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it out
            raise PlainYamlError(problem="an alias stands here; write out what it means", problem_mark=alias.start_mark)
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except _CONVERSION_ERRORS as error:
            written = f"{node.value[:40]!r}" if isinstance(node, yaml.ScalarNode) else "this"
            kind = node.tag.rpartition(":")[2]
            raise PlainYamlError(
                problem=f"{written} cannot be read as {kind}; write text in quotes", problem_mark=node.start_mark
            ) from error
