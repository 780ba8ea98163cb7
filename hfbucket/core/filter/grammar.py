"""Reads an expression of `--where` into a tree. Only what is spelled out here is understood; the rest is refused.

The grammar is the scalar part of SQL's: OR binds loosest, then AND, NOT, IS, comparisons, IN / BETWEEN / LIKE, `||`,
`+ -`, `* / %`, the sign, `::`.
"""

from __future__ import annotations

from typing import NoReturn

from hfbucket.core.filter.tokens import Token, number, tokens
from hfbucket.core.filter.tree import NULL, Apply, Literal, Name, Node, quoted
from hfbucket.core.filter.words import (
    ARITHMETIC,
    COMPARISONS,
    FUNCTIONS,
    MAX_DEPTH,
    QUERIES,
    RESERVED,
    TYPES,
)
from hfbucket.errors import ConfigError

_OR, _AND, _NOT, _COMPARE, _TEST, _JOIN, _SIGN, _CAST = 0, 1, 2, 3, 4, 4.5, 7, 8


def parse(expression: str) -> Node:
    """Return the tree of an expression.

    Raises:
        ConfigError: it is none, or says what it may not; the message names the place.
    """
    reader = _Reader(tokens(expression))
    node = reader.expression(_OR)
    if reader.here.kind != "end":
        reader.refuse("the end of the expression, or AND or OR")
    return node


class _Reader:
    """The tokens, how far they are read, and in how many expressions within each other."""

    def __init__(self, read: list[Token]) -> None:
        self._tokens, self._next, self._depth = read, 0, 0

    @property
    def here(self) -> Token:
        return self._tokens[self._next]

    def refuse(self, expected: str) -> NoReturn:
        """Say what was expected here."""
        is_query = self.here.kind == "word" and self.here.value in QUERIES
        hint = "; where is one condition on one image: no queries, no commands" if is_query else ""
        raise ConfigError(f"where, character {self.here.at}: expected {expected}, got {self.here.raw[:40]}{hint}")

    def take(self) -> Token:
        self._next += 1
        return self._tokens[self._next - 1]

    def got(self, *values: str) -> Token | None:
        """Take the token here if it is this word or sign, with those that must follow."""
        ahead = self._tokens[self._next : self._next + len(values)]
        if [token.value for token in ahead] != list(values) or any(t.kind not in ("word", "sign") for t in ahead):
            return None
        self._next += len(values)
        return ahead[0]

    def need(self, value: str) -> None:
        if not self.got(value):
            self.refuse(value.upper())

    def expression(self, least: float) -> Node:
        """Read an expression of operators that bind at least so tightly."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ConfigError(f"where, character {self.here.at}: must be nested at most {MAX_DEPTH} deep")
        node = self._prefix(least)
        while (further := self._infix(node, least)) is not None:
            node = further
        self._depth -= 1
        return node

    def _prefix(self, least: float) -> Node:
        token = self.here
        if token.kind == "number":
            return number(self.take())
        if token.kind == "text":
            return Literal(family="t", sql=quoted(self.take().value))
        if token.kind == "quoted" or (token.kind == "word" and token.value not in RESERVED | QUERIES):
            return self._name()
        if self.got("("):
            node = self.expression(_OR)
            self.need(")")
            return node
        if least <= _NOT and self.got("not"):
            return _apply("NOT", "b:b", "(NOT {})", (self.expression(_NOT),), token.at)
        if self.got("-"):
            return _apply("-", "n:n", "(- {})", (self.expression(_SIGN),), token.at)
        if self.got("+"):
            return _apply("+", "n:n", "(+ {})", (self.expression(_SIGN),), token.at)
        return self._keyword(token)

    def _keyword(self, token: Token) -> Node:
        for word in ("true", "false"):
            if self.got(word):
                return Literal(family="b", sql=word)
        if self.got("null"):
            return Literal(family=NULL, sql="NULL")
        if self.got("case"):
            return self._case(token.at)
        if self.got("cast", "(") or self.got("try_cast", "("):
            node = self.expression(_OR)
            self.need("as")
            node = self._cast(node, token.at)
            self.need(")")
            return node
        self.refuse("a column, a value or a function")

    def _infix(self, left: Node, least: float) -> Node | None:
        """Return what `left` becomes with the operator here, or None where there is none that binds so tightly."""
        token = self.here
        if token.kind not in ("word", "sign"):
            return None
        if token.value in ("or", "and"):
            binds = _OR if token.value == "or" else _AND
            return self._both(left, token, binds) if binds >= least else None
        if token.value in COMPARISONS and least <= _COMPARE:
            self.take()
            template = f"({{}} {COMPARISONS[token.value]} {{}})"
            node = _apply(token.value, "xx:b", template, (left, self.expression(_TEST)), token.at)
            if self.here.value in COMPARISONS:
                self.refuse("AND or OR, as comparisons are no chains")
            return node
        if token.value in ARITHMETIC and ARITHMETIC[token.value][0] >= least:
            self.take()
            binds, template = ARITHMETIC[token.value]
            return _apply(token.value, "nn:n", template, (left, self.expression(binds + 1)), token.at)
        if token.value == "||" and least <= _JOIN:
            self.take()
            return _apply("||", "tt:t", "({} || {})", (left, self.expression(5)), token.at)
        if token.value == "::" and least <= _CAST:
            self.take()
            return self._cast(left, token.at)
        if token.value == "is" and least <= _COMPARE:
            return self._is(left)
        return self._test(left) if least <= _TEST else None

    def _both(self, left: Node, token: Token, binds: float) -> Node:
        """Read the other side of AND or OR; a chain of them is one node, however long."""
        self.take()
        word = token.value.upper()
        right = self.expression(binds + 1)
        sides = left.arguments if isinstance(left, Apply) and left.word == word else (left,)
        sides = (*sides, right)
        return _apply(word, "b+:b", "(" + f" {word} ".join(["{}"] * len(sides)) + ")", sides, token.at)

    def _is(self, left: Node) -> Node:
        at = self.take().at
        negated = self.got("not") is not None
        for word, signature in (("null", "a:b"), ("true", "b:b"), ("false", "b:b")):
            if self.got(word):
                node = _apply(f"IS {word.upper()}", signature, f"({{}} IS {word.upper()})", (left,), at)
                return _negated(node, negated)
        if self.got("distinct", "from"):
            right = self.expression(_TEST)
            return _negated(_apply("IS DISTINCT FROM", "xx:b", "({} IS DISTINCT FROM {})", (left, right), at), negated)
        self.refuse("NULL, TRUE, FALSE or DISTINCT FROM")

    def _test(self, left: Node) -> Node | None:
        """Read [NOT] IN, BETWEEN, LIKE or ILIKE, where there is one."""
        token = self.here
        negated = self.got("not") is not None
        if self.got("in"):
            self.need("(")
            node = self._called("IN", "x+:b", (left, *self._list()), token.at)
        elif self.got("between"):
            low = self.expression(_JOIN)
            self.need("and")
            high = self.expression(_JOIN)
            node = _apply("BETWEEN", "xxx:b", "({} BETWEEN {} AND {})", (left, low, high), token.at)
        elif like := self.got("like") or self.got("ilike"):
            word = like.value.upper()
            pattern = self.expression(_JOIN)
            if self.got("escape"):
                sides = (left, pattern, self.expression(_JOIN))
                return _negated(_apply(word, "tll:b", f"({{}} {word} {{}} ESCAPE {{}})", sides, token.at), negated)
            node = _apply(word, "tl:b", f"({{}} {word} {{}})", (left, pattern), token.at)
        elif negated:
            self.refuse("IN, BETWEEN, LIKE or ILIKE after NOT")
        else:
            return None
        return _negated(node, negated)

    def _called(self, word: str, signature: str, arguments: tuple[Node, ...], at: int) -> Apply:
        places = ", ".join(["{}"] * len(arguments))
        template = f"({{}} IN ({places[4:]}))" if word == "IN" else f"{word}({places})"
        return _apply(word, signature, template, arguments, at)

    def _list(self) -> list[Node]:
        """Read expressions between commas up to the closing bracket; the opening one is read."""
        nodes = [self.expression(_OR)]
        while self.got(","):
            nodes.append(self.expression(_OR))
        self.need(")")
        return nodes

    def _name(self) -> Node:
        token = self.take()
        if token.kind == "word" and self.got("("):
            return self._function(token)
        parts, exact = [token.raw if token.kind == "word" else token.value], token.kind == "quoted"
        while self.got("."):
            if self.here.kind not in ("word", "quoted"):
                self.refuse("a name after the dot")
            exact |= self.here.kind == "quoted"
            part = self.take()
            parts.append(part.raw if part.kind == "word" else part.value)
        if self.got("["):
            if self.here.kind != "text":
                self.refuse("a key in single quotes")
            parts.append(self.take().value)
            exact = True
            self.need("]")
        return Name(parts=tuple(parts), quoted=exact, at=token.at)

    def _function(self, token: Token) -> Node:
        signature = FUNCTIONS.get(token.value)
        if signature is None:
            raise ConfigError(
                f"where, character {token.at}: no function is called {token.raw[:40]!r}; "
                f"there are {', '.join(FUNCTIONS)}"
            )
        arguments = [] if self.got(")") else self._list()
        letters = signature.partition(":")[0]
        least = len(letters) - 2 * letters.count("?") - letters.count("+")
        most = len(arguments) if letters.endswith("+") else len(letters) - letters.count("?")
        if not least <= len(arguments) <= most:
            wanted = f"{least}" if least == most else f"{least} or more" if "+" in letters else f"{least} to {most}"
            raise ConfigError(
                f"where, character {token.at}: {token.value} takes {wanted} arguments, got {len(arguments)}"
            )
        return self._called(token.value, signature, tuple(arguments), token.at)

    def _cast(self, node: Node, at: int) -> Node:
        named = TYPES.get(self.here.value) if self.here.kind == "word" else None
        if named is None:
            self.refuse("INT, FLOAT, TEXT or BOOL")
        if self.take().value == "double":
            self.got("precision")
        family, name = named
        return _apply("CAST", f"a:{family}", f"TRY_CAST({{}} AS {name})", (node,), at)

    def _case(self, at: int) -> Node:
        subject = None if self.here.value == "when" else self.expression(_OR)
        sides: list[Node] = []
        template = "(CASE"
        while found := self.got("when"):
            when = self.expression(_OR)
            if subject is not None:
                when = _apply("CASE", "xx:b", "({} = {})", (subject, when), found.at)
            self.need("then")
            sides += [when, self.expression(_OR)]
            template += " WHEN {} THEN {}"
        if not sides:
            self.refuse("WHEN")
        signature = "bx" * (len(sides) // 2)
        if self.got("else"):
            sides.append(self.expression(_OR))
            signature += "x"
            template += " ELSE {}"
        self.need("end")
        return _apply("CASE", signature + ":x", template + " END)", tuple(sides), at)


def _apply(word: str, signature: str, template: str, arguments: tuple[Node, ...], at: int) -> Apply:
    depth = 1 + max(argument.depth if isinstance(argument, Apply) else 0 for argument in arguments)
    if depth > MAX_DEPTH:
        raise ConfigError(f"where, character {at}: must be nested at most {MAX_DEPTH} deep")
    return Apply(word=word, signature=signature, template=template, arguments=arguments, at=at, depth=depth)


def _negated(node: Apply, negated: bool) -> Apply:
    return _apply("NOT", "b:b", "(NOT {})", (node,), node.at) if negated else node
