"""Read user-written YAML node by node, so that every error names file and line."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import yaml

from benchmarks.runs.errors import BadInput
from benchmarks.runs.plain_text import choose, one_line, whole_number
from benchmarks.runs.ranges import check_number
from benchmarks.runs.reading import MAX_DEPTH, is_a

MAX_YAML_BYTES = 2**20  # of one file
MAX_NODES = 100_000  # of one file, with aliases expanded


def compose(text: str, source: str) -> yaml.Node | None:
    """Return the root node of the text, or None if it is empty. `source` names the file.

    Raises BadInput, with the line, for invalid YAML, nesting deeper than MAX_DEPTH, an alias of an
    enclosing node, or more than MAX_NODES.
    """
    try:
        _check_depth(text, source)
        root = yaml.compose(text, yaml.SafeLoader)
        if root is not None:
            _count(root, source)
        return root
    except RecursionError as error:
        raise BadInput(f"{source}:1: nested too deeply") from error
    except BadInput:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise BadInput(
            f"{source}:{mark.line + 1 if mark else 1}: {error.problem or error.context}"
        ) from error
    except (ValueError, yaml.YAMLError) as error:
        raise BadInput(f"{source}:1: {one_line(str(error))}") from error


def document(text: str, source: str, needs: str) -> yaml.Node:
    """`compose` for a suite's file. Raises BadInput if it is empty, with what it needs."""
    node = compose(text, source)
    if node is None:
        raise BadInput(f"{source}:1: an empty file is not a suite; it needs {needs}")
    return node


def _check_depth(text: str, source: str) -> None:
    """Raise BadInput for nesting that is too deep; parsing events needs no recursion."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(
            event, yaml.CollectionEndEvent
        )
        if depth > MAX_DEPTH:
            raise BadInput(
                f"{source}:{event.start_mark.line + 1}: nested deeper than {MAX_DEPTH} levels"
            )


def _count(root: yaml.Node, source: str) -> None:
    """Raise BadInput if aliases make a file contain itself, or expand to more than MAX_NODES."""
    counts: dict[int, int] = {}
    under_way: set[int] = set()

    def count(node: yaml.Node) -> int:
        if id(node) in counts:
            return counts[id(node)]
        if id(node) in under_way:
            raise BadInput(
                f"{source}:{line_of(node)}: it contains itself (an alias of its own parent)"
            )
        under_way.add(id(node))
        parts = node.value if isinstance(node, yaml.CollectionNode) else []
        total = 1 + sum(
            count(part) for pair in parts for part in (pair if isinstance(pair, tuple) else (pair,))
        )
        if total > MAX_NODES:
            raise BadInput(
                f"{source}:{line_of(node)}: more than {MAX_NODES} values when its aliases are "
                "written out"
            )
        under_way.discard(id(node))
        counts[id(node)] = total
        return total

    count(root)


class Nodes:
    """Converts nodes of one file to values; `source` is its name."""

    def __init__(self, source: str) -> None:
        self.source = source

    def fields(self, node: yaml.Node, known: Sequence[str] | None) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            such = f" with {known[0]}, {known[1]}, ..." if known else ""
            self.wrong(node, f"expected settings as `name: value`{such}")
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                self.wrong(key, "<< is not supported: write the settings out")
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
        with self.at(node):
            return choose(kind, text, valid)

    def number(self, node: yaml.Node, what: str, least: int) -> int:
        value = self.value(node)
        with self.at(node, f"{what}: "):
            number = whole_number(str(value))
        if isinstance(value, bool) or number < least:
            self.wrong(node, f"{what}={value} must be a whole number of at least {least}")
        return number

    def positive(self, node: yaml.Node, what: str) -> float:
        value = self.value(node)
        try:
            number = float(value) if is_a(value, float | str) else math.nan
            check_number(what, number)
        except (ValueError, OverflowError) as error:
            no_number = f"{what}: {value!r:.60} is not a number"
            self.wrong(node, str(error) if isinstance(error, BadInput) else no_number, error)
        return number

    def text(self, node: yaml.Node, what: str) -> str:
        value = self.value(node)
        if not isinstance(value, str):
            self.wrong(
                node,
                f'{what}: {value!r} must be text: write it in quotes, "{node.value}" (in a shell '
                f"'\"{node.value}\"')",
            )
        return value

    def value(self, node: yaml.Node) -> Any:
        """A scalar as YAML reads it: text, number, true or false."""
        if not isinstance(node, yaml.ScalarNode):
            self.wrong(node, "expected one value, not a list or a mapping")
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_object(node)
        except (yaml.MarkedYAMLError, ValueError, OverflowError) as error:
            # the first for a tag of a Python object
            self.wrong(node, one_line(str(getattr(error, "problem", None) or error), 200), error)
        finally:
            loader.dispose()

    @contextlib.contextmanager
    def at(self, node: yaml.Node, what: str = "") -> Iterator[None]:
        """Turn a ValueError into one that names the line of the node."""
        try:
            yield
        except (ValueError, OverflowError) as error:
            self.wrong(node, f"{what}{error}", error)

    def wrong(self, node: yaml.Node, text: str, cause: BaseException | None = None) -> NoReturn:
        raise BadInput(f"{self.source}:{line_of(node)}: {text}") from cause


def line_of(node: yaml.Node) -> int:
    """The line that the node begins on, from 1."""
    return node.start_mark.line + 1
