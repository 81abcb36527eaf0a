"""YAML that people write, read node by node, so that every error names file and line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import yaml

from benchmarks.runs.spec import BadInput, choose, whole_number


def compose(text: str, source: str) -> yaml.Node | None:
    """The text's root node, None where it is empty.

    Raises BadInput with the line of what is no YAML; `source` names the file.
    """
    try:
        return yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise BadInput(
            f"{source}:{mark.line + 1 if mark else 1}: {error.problem or error.context}"
        ) from error
    except yaml.YAMLError as error:
        raise BadInput(f"{source}: {error}") from error


class Nodes:
    """Nodes of one file into values; `source` is its name."""

    def __init__(self, source: str) -> None:
        self.source = source

    def fields(self, node: yaml.Node, known: Sequence[str] | None) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            self.wrong(
                node,
                "expected settings as `name: "
                f"value`{f' with {known[0]}, {known[1]}, ...' if known else ''}",
            )
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = self.text(key, "a name")
            if known is not None:
                self.chosen("key", key, known)
            if name in found:
                self.wrong(key, f"{name} is given twice")
            found[name] = value
        return found

    def items(self, node: yaml.Node, what: str) -> list[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            self.wrong(node, f"{what} must be a list with at least one item, such as [a, b]")
        return node.value

    def distinct(self, node: yaml.Node, what: str, read: Any) -> tuple[Any, ...]:
        values: list[Any] = []
        for item in self.items(node, what):
            value = read(item)
            if value in values:
                self.wrong(item, f"{what}: {value} is given twice")
            values.append(value)
        return tuple(values)

    def chosen(self, kind: str, node: yaml.Node, valid: Any) -> Any:
        text = self.text(node, kind)
        try:
            return choose(kind, text, valid)
        except BadInput as error:
            self.wrong(node, str(error), error)

    def number(self, node: yaml.Node, what: str, least: int) -> int:
        value = self.value(node)
        try:
            number = whole_number(str(value))
        except (ValueError, OverflowError) as error:
            self.wrong(node, f"{what}: {error}", error)
        if isinstance(value, bool) or number < least:
            self.wrong(node, f"{what}={value} must be a whole number of at least {least}")
        return number

    def text(self, node: yaml.Node, what: str) -> str:
        value = self.value(node)
        if not isinstance(value, str):
            self.wrong(node, f"{what}: {value!r} must be text")
        return value

    def value(self, node: yaml.Node) -> Any:
        """A scalar as YAML reads it: text, number, true or false."""
        if not isinstance(node, yaml.ScalarNode):
            self.wrong(node, "expected one value, not a list or a mapping")
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_object(node)
        except ValueError as error:
            self.wrong(node, str(error), error)
        finally:
            loader.dispose()

    def wrong(self, node: yaml.Node, text: str, cause: BaseException | None = None) -> NoReturn:
        raise BadInput(f"{self.source}:{line_of(node)}: {text}") from cause


def line_of(node: yaml.Node) -> int:
    """The line that the node begins on, from 1."""
    return node.start_mark.line + 1
