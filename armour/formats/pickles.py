"""Pickles as data: a stack machine of our own that builds plain values and calls nothing.

A pickle is a program for a stack machine, whose instructions can import and call anything. This machine knows
those that make numbers, text, lists, tuples and dicts. A name that a pickle imports is looked up in a table
given by the caller, whose entries are plain functions of plain values, and is refused with its name if it is
not there. Python's own unpickler is not used. Opcodes: https://docs.python.org/3/library/pickletools.html.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from armour.errors import CheckpointError

MAX_OPCODES = 2_000_000  # a state dict takes about 60 an array
_MAX_LINE = 512
_MAX_INTEGER = 64  # bytes

Maker = Callable[..., Any]
"""What stands for an imported name: a function of the arguments that the pickle gives it."""


class Imported:
    """An imported name on the stack. It can be called by the machine, or stand for itself (a dtype)."""

    __slots__ = ("make", "name")

    def __init__(self, name: str, make: Maker | None) -> None:
        self.name, self.make = name, make


class _Mark:
    __slots__ = ()


_MARK = _Mark()


def parse(
    raw: memoryview,
    names: Mapping[str, Maker | None],
    persistent: Callable[[Any], Any],
    at: int = 0,
) -> tuple[Any, int]:
    """(the value, the position after it) of the pickle that starts at `at`.

    names: "module.name" -> what it makes, or None for a name that only stands for itself. persistent: what a
    persistent id stands for. Raises CheckpointError for a damaged pickle, for an instruction that would run
    code, and for a name that is not in `names`: "holds code: module.name".
    """
    machine = _Machine(raw, names, persistent, at)
    try:
        return machine.run(), machine.at
    except (struct.error, IndexError) as error:
        raise CheckpointError("the pickle is damaged or cut short") from error
    except (UnicodeDecodeError, OverflowError) as error:
        raise CheckpointError("the pickle holds text or a number that cannot be read") from error


class _Machine:
    def __init__(
        self, raw: memoryview, names: Mapping[str, Maker | None], persistent: Callable[[Any], Any], at: int
    ) -> None:
        self.raw, self.names, self.persistent, self.at = raw, names, persistent, at
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        raw, table = self.raw, _OPCODES
        for _ in range(MAX_OPCODES):
            code = raw[self.at]
            self.at += 1
            if code == 0x2E:  # STOP
                value = self.pop()
                if self.stack:
                    raise CheckpointError("the pickle is damaged: it leaves values over")
                return value
            step = table.get(code)
            if step is None:
                raise CheckpointError(f"the pickle is damaged or of an unknown form (opcode {code:#04x})")
            step(self)
        raise CheckpointError(f"the pickle has more than {MAX_OPCODES:,} instructions")

    # -- the bytes that follow an opcode

    def take(self, length: int) -> memoryview:
        if length < 0 or length > len(self.raw) - self.at:
            raise CheckpointError(
                f"the pickle is cut short: {length:,} bytes stated, {len(self.raw) - self.at:,} left"
            )
        part = self.raw[self.at : self.at + length]
        self.at += length
        return part

    def number(self, form: struct.Struct) -> int:
        value: int = form.unpack(self.take(form.size))[0]
        return value

    def sized(self, form: struct.Struct) -> bytes:
        return bytes(self.take(self.number(form)))

    def line(self) -> str:
        part = bytes(self.raw[self.at : self.at + _MAX_LINE])
        end = part.find(b"\n")
        if end < 0:
            raise CheckpointError("the pickle is damaged: a line does not end")
        self.at += end + 1
        return part[:end].decode()

    # -- the stack

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise CheckpointError("the pickle is damaged: a value is missing")
        return value

    def top(self, kind: type) -> Any:
        value = self.stack[-1]
        if not isinstance(value, kind):
            raise CheckpointError(f"the pickle is damaged: a {kind.__name__} is missing")
        return value

    def since_mark(self) -> list[Any]:
        stack = self.stack
        for i in range(len(stack) - 1, -1, -1):
            if stack[i] is _MARK:
                items = stack[i + 1 :]
                del stack[i:]
                return items
        raise CheckpointError("the pickle is damaged: a mark is missing")

    def set_items(self, items: list[Any]) -> None:
        target = self.top(dict)
        if len(items) % 2:
            raise CheckpointError("the pickle is damaged: a key has no value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, (str, int, float, bytes, type(None))):
                # Tuples nested without end would crash the interpreter when they are hashed.
                raise CheckpointError(f"a key of a dict is a {type(key).__name__}, which is not read")
            target[key] = value

    # -- names

    def find(self, module: str, name: str) -> None:
        full = f"{module}.{name}"
        if full not in self.names:
            raise refuse_code(full)
        self.stack.append(Imported(full, self.names[full]))

    def call(self, function: Any, arguments: Any) -> None:
        if not isinstance(function, Imported) or not isinstance(arguments, tuple):
            raise CheckpointError("the pickle is damaged: it calls what is no name")
        if function.make is None:
            raise refuse_code(f"{function.name}()")
        try:
            self.stack.append(function.make(*arguments))
        except TypeError as error:
            raise CheckpointError(f"the pickle is damaged: wrong arguments for {function.name}") from error


def refuse_code(what: str) -> CheckpointError:
    """The error for a name that a pickle may not import."""
    shown = what if what.isprintable() and what.isascii() else ascii(what)
    return CheckpointError(
        f"holds code: {shown[:120]}; nothing of it was run. "
        "Save the state dict alone (model.state_dict()), or export the network as ONNX"
    )


_U1, _U2, _I4, _U4, _U8, _F8 = (struct.Struct(form) for form in ("B", "<H", "<i", "<I", "<Q", ">d"))
_OPCODES: dict[int, Callable[[_Machine], None]] = {}
Step = Callable[[_Machine], None]


def _opcode(code: str) -> Callable[[Step], Step]:
    def add(step: Step) -> Step:
        _OPCODES[ord(code)] = step
        return step

    return add


def _pushes(code: str, make: Callable[[_Machine], Any]) -> None:
    _OPCODES[ord(code)] = lambda m: m.stack.append(make(m))


def _text_number(line: str) -> Any:
    if line in ("00", "01"):  # how protocol 0 writes False and True
        return line == "01"
    digits = line.removesuffix("L")
    if not digits.removeprefix("-").isdecimal() or not digits.isascii() or len(digits) > 2 * _MAX_INTEGER:
        raise CheckpointError("the pickle is damaged: a number is none")
    return int(digits)


def _text_float(line: str) -> float:
    try:
        return float(line)
    except ValueError as error:
        raise CheckpointError("the pickle is damaged: a number is none") from error


def _long(m: _Machine, form: struct.Struct) -> int:
    length = m.number(form)
    if length > _MAX_INTEGER:
        raise CheckpointError(f"the pickle holds a number of {length:,} bytes")
    return int.from_bytes(m.take(length), "little", signed=True)


def _old_text(raw: bytes) -> str:
    """Text as Python 2 wrote it."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


for _code, _make in {
    "N": lambda m: None,
    "\x88": lambda m: True,
    "\x89": lambda m: False,
    "I": lambda m: _text_number(m.line()),
    "L": lambda m: _text_number(m.line()),
    "F": lambda m: _text_float(m.line()),
    "J": lambda m: m.number(_I4),
    "K": lambda m: m.number(_U1),
    "M": lambda m: m.number(_U2),
    "G": lambda m: m.number(_F8),
    "\x8a": lambda m: _long(m, _U1),
    "\x8b": lambda m: _long(m, _U4),
    "U": lambda m: _old_text(m.sized(_U1)),
    "T": lambda m: _old_text(m.sized(_U4)),
    "X": lambda m: m.sized(_U4).decode(errors="surrogatepass"),
    "\x8c": lambda m: m.sized(_U1).decode(errors="surrogatepass"),
    "\x8d": lambda m: m.sized(_U8).decode(errors="surrogatepass"),
    "C": lambda m: m.sized(_U1),
    "B": lambda m: m.sized(_U4),
    "\x8e": lambda m: m.sized(_U8),
    "\x96": lambda m: m.sized(_U8),
    "(": lambda m: _MARK,
    ")": lambda m: (),
    "]": lambda m: [],
    "}": lambda m: {},
    "l": lambda m: m.since_mark(),
    "t": lambda m: tuple(m.since_mark()),
    "\x85": lambda m: (m.pop(),),
    "\x86": lambda m: (m.pop(), m.pop())[::-1],
    "\x87": lambda m: (m.pop(), m.pop(), m.pop())[::-1],
    "2": lambda m: m.top(object),
    "h": lambda m: _recall(m, m.number(_U1)),
    "j": lambda m: _recall(m, m.number(_U4)),
    "g": lambda m: _recall(m, _text_number(m.line())),
    "Q": lambda m: m.persistent(m.pop()),
}.items():
    _pushes(_code, _make)


def _recall(m: _Machine, index: int) -> Any:
    if index not in m.memo:
        raise CheckpointError("the pickle is damaged: it refers to a value that is not there")
    return m.memo[index]


def _remember(m: _Machine, index: int) -> None:
    value = m.top(object)
    if value is _MARK:
        raise CheckpointError("the pickle is damaged: it remembers a mark")
    m.memo[index] = value


_OPCODES[ord("q")] = lambda m: _remember(m, m.number(_U1))
_OPCODES[ord("r")] = lambda m: _remember(m, m.number(_U4))
_OPCODES[ord("p")] = lambda m: _remember(m, _text_number(m.line()))
_OPCODES[0x94] = lambda m: _remember(m, len(m.memo))


@_opcode("\x80")
def _protocol(m: _Machine) -> None:
    version = m.number(_U1)
    if version > 5:
        raise CheckpointError(f"the pickle is of protocol {version}, which is not known")


@_opcode("\x95")
def _frame(m: _Machine) -> None:
    length = m.number(_U8)
    if length > len(m.raw) - m.at:
        raise CheckpointError(f"the pickle is cut short: {length:,} bytes stated")


@_opcode("0")
def _drop(m: _Machine) -> None:
    m.stack.pop()


@_opcode("1")
def _drop_marked(m: _Machine) -> None:
    m.since_mark()


@_opcode("d")
def _dict(m: _Machine) -> None:
    items = m.since_mark()
    m.stack.append({})
    m.set_items(items)


@_opcode("s")
def _set_item(m: _Machine) -> None:
    value, key = m.pop(), m.pop()
    m.set_items([key, value])


@_opcode("u")
def _set_items(m: _Machine) -> None:
    items = m.since_mark()
    m.set_items(items)


@_opcode("a")
def _append(m: _Machine) -> None:
    value = m.pop()
    m.top(list).append(value)


@_opcode("e")
def _extend(m: _Machine) -> None:
    items = m.since_mark()
    m.top(list).extend(items)


@_opcode("c")
def _global(m: _Machine) -> None:
    module = m.line()
    m.find(module, m.line())


@_opcode("\x93")
def _stack_global(m: _Machine) -> None:
    name, module = m.pop(), m.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise CheckpointError("the pickle is damaged: a name is no text")
    m.find(module, name)


@_opcode("R")
@_opcode("\x81")
def _reduce(m: _Machine) -> None:
    arguments, function = m.pop(), m.pop()
    m.call(function, arguments)


@_opcode("b")
def _build(m: _Machine) -> None:
    """Attributes for an object: state dicts have `_metadata`, which says nothing about the weights."""
    state = m.pop()
    if not isinstance(m.stack[-1], dict) or not isinstance(state, dict):
        what = m.stack[-1]
        raise refuse_code(f"attributes of {what.name if isinstance(what, Imported) else type(what).__name__}")


def _refused(code: str, what: Callable[[_Machine], str]) -> None:
    def step(m: _Machine) -> None:
        raise refuse_code(what(m))

    _OPCODES[ord(code)] = step


_refused("i", lambda m: f"{m.line()}.{m.line()}")
_refused("o", lambda m: "an object (opcode OBJ)")
_refused("\x92", lambda m: "an object (opcode NEWOBJ_EX)")
_refused("\x82", lambda m: f"the extension {m.number(_U1)}")
_refused("\x83", lambda m: f"the extension {m.number(_U2)}")
_refused("\x84", lambda m: f"the extension {m.number(_I4)}")
_refused("P", lambda m: "a persistent id of protocol 0")
