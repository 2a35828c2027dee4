"""Hostile graphs: whatever the JSON says, one CheckpointError line or a well-formed graph, and no memory."""

import copy
import json
import math
import os
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from armour.errors import ArmourError, CheckpointError, InvalidArgument
from armour.tensor import ir, nn, no_grad


class Small(nn.Module):
    """A network whose graph has a node, weight, constant and attribute of every kind."""

    def __init__(self):
        self.conv = nn.Conv2d(2, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.relu = nn.ReLU()
        self.gain = nn.Parameter(np.ones((3, 1, 1), np.float32))
        self.table = nn.Buffer(np.arange(3))
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        y = self.relu(self.norm(self.conv(x))) * self.gain
        y = (y + self.table.reshape(3, 1, 1) * 0.5).clip(-3.0, float("inf"))[:, ::-1, ...]
        y = y.reshape(len(x), 3, 2, 8).max(axis=3)[:, np.array([2, 0, 1])]
        return self.head(y.reshape(len(x), 6) + np.array([0, np.inf, 1, 2, 3, 4], np.float32).clip(0, 9))


MODULE = Small().eval()
GRAPH = ir.trace(MODULE, (2, 4, 4))
TREE = GRAPH.to_dict()
STATE = MODULE.state_dict()
X = np.random.default_rng(0).standard_normal((2, 2, 4, 4)).astype(np.float32)


def test_the_seed_is_valid():
    again = ir.GraphModule(ir.Graph.loads(GRAPH.dumps()))
    again.load_state_dict(STATE)
    with no_grad():
        assert (again.eval()(X).numpy() == MODULE(X).numpy()).all()


# -- mutations ----------------

NUMBERS = st.one_of(
    st.sampled_from([0, -1, 1, 2, 3, 7, 2**31, -(2**31), 2**63, 2**64, 10**30, True, 1e308, -1e-320, 0.5]),
    st.integers(),
)
TEXTS = st.one_of(
    st.sampled_from(
        ["", "x", "conv", "input", "Linear", "Module", "exec", "../../x", "\x00", "a" * 400, "object", "O"]
    ),
    st.sampled_from([n["name"] for n in TREE["nodes"]]),
    st.text(max_size=8),
)
JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.floats(), TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(["slice", "array", "ellipsis", "float", "shape", "dtype", "x"]), inner, max_size=3
        ),
    ),
    max_leaves=6,
)


def places(tree, path=()):
    """Paths of all values in a JSON tree."""
    yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


PLACES = [p for p in places(TREE) if p]


@st.composite
def mutants(draw, replacements):
    """The seed with one to three changes: a value replaced, removed, doubled or moved."""
    tree = copy.deepcopy(TREE)
    for _ in range(draw(st.integers(1, 3))):
        *path, key = draw(st.sampled_from(PLACES))
        holder = tree
        try:
            for step in path:
                holder = holder[step]
            action = draw(st.sampled_from(["replace", "replace", "remove", "double", "swap"]))
            if action == "replace":
                holder[key] = draw(replacements)
            elif action == "remove":
                del holder[key]
            elif action == "double" and isinstance(holder, list):
                holder.insert(key, copy.deepcopy(holder[key]))
            elif isinstance(holder, list):
                other = draw(st.integers(0, len(holder) - 1))
                holder[key], holder[other] = holder[other], holder[key]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    return tree


def build(tree):
    """The module of a tree, or None if it is refused in the one way that is allowed."""
    try:
        return ir.GraphModule(ir.Graph.from_dict(tree))
    except CheckpointError as error:
        assert "\n" not in str(error) and len(str(error)) < 1000
        return None


CHECKS = settings(
    max_examples=int(os.environ.get("GRAPH_EXAMPLES", "300")), suppress_health_check=list(HealthCheck)
)


@CHECKS
@given(mutants(JUNK))
def test_mutants_are_refused_or_well_formed_and_take_no_memory(tree):
    tracemalloc.start()
    try:
        module = build(tree)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()
    if module is not None:
        text = module.graph.dumps()  # what was accepted can be written and read again
        assert ir.Graph.loads(text) == module.graph


SMALL_JUNK = st.one_of(
    st.integers(-3, 9),
    st.sampled_from(["relu", "exp", "ReLU", "sum", "float64"]),
    st.lists(st.integers(-2, 4), max_size=4),
    st.sampled_from([n["name"] for n in TREE["nodes"]]),
    st.none(),
    st.booleans(),
)


@CHECKS
@given(mutants(SMALL_JUNK))
def test_mutants_run_or_say_why_not(tree):
    module = build(tree)
    if module is None:
        return
    try:
        module.load_state_dict(STATE)
        with no_grad(), np.errstate(all="ignore"):
            module.eval()(X)
    except ArmourError as error:
        assert "\n" not in str(error).split(": ", 1)[0]


@CHECKS
@given(st.binary(max_size=200))
def test_any_bytes(data):
    with pytest.raises(CheckpointError):
        ir.Graph.loads(data)


@CHECKS
@given(st.integers(0, len(GRAPH.dumps()) - 1), st.integers(0, 60), st.binary(max_size=4))
def test_damaged_text(start, length, patch):
    text = GRAPH.dumps().encode()
    damaged = text[:start] + patch + text[start + length :]
    try:
        ir.GraphModule(ir.Graph.loads(damaged))
    except CheckpointError:
        pass


# -- named dangers ----------------


def change(**parts):
    return {**copy.deepcopy(TREE), **parts}


def nodes(*changes):
    return change(
        nodes=[{"name": f"n{i}", "op": "relu", "inputs": ["input"], **c} for i, c in enumerate(changes)]
    )


DANGERS = {
    "no object": ([], "as an object"),
    "version": (change(version=2), "expected graph version 1, got 2"),
    "version true": (change(version=True), "version"),
    "missing": ({k: v for k, v in TREE.items() if k != "nodes"}, "needs 'nodes'"),
    "unknown key": (change(code="import os"), "'code', which is not known"),
    "forward reference": (nodes({"inputs": ["n1"]}, {}), "its input 'n1' is not"),
    "cycle": (nodes({"inputs": ["n0"]}), "its input 'n0' is not"),
    "same name twice": (nodes({"name": "a"}, {"name": "a"}), "'a': the name is there twice"),
    "name of a weight": (nodes({"name": "gain"}), "'gain': the name is there twice"),
    "unknown op": (nodes({"op": "exec"}), "unknown op 'exec'; did you mean exp"),
    "unknown layer": (
        change(nodes=[{"name": "a", "layer": "Popen", "inputs": ["input"]}]),
        "unknown layer 'Popen'",
    ),
    "layer by a loose name": (
        change(nodes=[{"name": "a", "layer": "relu", "inputs": ["input"]}]),
        "unknown layer 'relu'",
    ),
    "unknown attribute": (nodes({"attrs": {"out": 1}}), "op relu cannot be called"),
    "input as attribute": (nodes({"attrs": {"x": 1}}), "op relu cannot be called"),
    "namespace as attribute": (nodes({"op": "sum", "attrs": {"xp": 1}}), "op sum cannot be called"),
    "too few inputs": (nodes({"op": "add"}), "op add cannot be called"),
    "no inputs": (nodes({"inputs": []}), "at least one named value"),
    "numbers only": (nodes({"op": "add", "inputs": [1, 2]}), "at least one named value"),
    "infinite input": (nodes({"op": "add", "inputs": ["input", math.inf]}), "finite numbers"),
    "object dtype": (nodes({"op": "cast", "attrs": {"dtype": "object"}}), "unknown dtype 'object'"),
    "code in a marker": (nodes({"attrs": {"shape": {"eval": "1"}}}), "an object with 'eval'"),
    "bad slice": (
        nodes({"op": "getitem", "attrs": {"index": {"slice": [0, "a", None]}}}),
        "whole numbers or None",
    ),
    "array that lies": (
        nodes({"op": "getitem", "attrs": {"index": {"array": [1], "shape": [10**9], "dtype": "int64"}}}),
        "expected 1000000000 values for shape",
    ),
    "wide weight": (
        change(weights=[{"name": "w", "shape": [2**30, 2**30], "dtype": "float32", "trainable": True}]),
        r"fewer than 2\^48",
    ),
    "integer parameter": (
        change(weights=[{"name": "w", "shape": [2], "dtype": "int64", "trainable": True}]),
        "unknown dtype 'int64'",
    ),
    "constant beyond float32": (
        change(constants=[{"name": "c", "shape": [1], "dtype": "float32", "values": [1e300]}]),
        "range of float32",
    ),
    "constant out of range": (
        change(constants=[{"name": "c", "shape": [1], "dtype": "int8", "values": [300]}]),
        "range of int8",
    ),
    "outputs nothing": (change(outputs=[]), "at least one"),
    "outputs a stranger": (change(outputs=["nobody"]), "'nobody' is not the name of a value"),
    "unprintable name": (nodes({"name": "a\x1b[2J"}), "printable name"),
    "layer with numbers": (change(nodes=[{"name": "a", "layer": "ReLU", "inputs": [1]}]), "names of values"),
    "path of an op": (nodes({"path": "x"}), "'path', which is not known"),
    "wide layer": (
        change(
            nodes=[
                {
                    "name": "a",
                    "layer": "Linear",
                    "inputs": ["input"],
                    "attrs": {"in_features": 2**31, "out_features": 1},
                }
            ]
        ),
        "in_features",
    ),
    "one path, two layers": (
        change(
            nodes=[
                {"name": "a", "layer": "ReLU", "inputs": ["input"], "path": "p"},
                {"name": "b", "layer": "Tanh", "inputs": ["a"], "path": "p"},
            ]
        ),
        "described in two ways",
    ),
    "weight inside a layer": (
        change(
            weights=[
                *TREE["weights"],
                {"name": "head.bias", "shape": [2], "dtype": "float32", "trainable": True},
            ]
        ),
        "two weights have one name",
    ),
}


@pytest.mark.parametrize("case", DANGERS)
def test_dangers(case):
    tree, message = DANGERS[case]
    with pytest.raises(CheckpointError, match=message):
        ir.GraphModule(ir.Graph.from_dict(tree))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "JSON|deep"),
        ('{"version": 1, "version": 1}', "twice"),
        ('{"version": NaN}', "NaN"),
        (b"\xff\xfe", "JSON"),
        ('{"version": ' + "9" * 5000 + "}", "JSON"),
        ("", "JSON"),
    ],
)
def test_hostile_text(text, message):
    with pytest.raises(CheckpointError, match=message):
        ir.Graph.loads(text)


def test_limits(monkeypatch):
    node = {"name": "n0", "op": "relu", "inputs": ["input"]}
    many = change(nodes=[{**node, "name": f"n{i}"} for i in range(100_001)], outputs=["n0"])
    with pytest.raises(CheckpointError, match="at most 20000 nodes"):
        ir.Graph.from_dict(many)
    with pytest.raises(CheckpointError, match="at most 10 characters"):
        ir.parse_json("[1, 2, 3, 4]", limit=10)
    deep = 1
    for _ in range(20):
        deep = [deep]
    with pytest.raises(CheckpointError, match="expected an attribute, got list"):
        ir.Graph.from_dict(nodes({"attrs": {"shape": deep}}))
    deeper = json.loads("[" * 900 + "]" * 900)
    with pytest.raises(CheckpointError):
        ir.Graph.from_dict(nodes({"name": deeper, "attrs": {"shape": deeper}}))


def test_graphs_made_in_the_program_are_checked_too():
    with pytest.raises(InvalidArgument, match=r"node 'a'.*'y' is not an input"):
        ir.Graph(
            inputs=(ir.Input(name="x", shape=(None, 4)),),
            nodes=(ir.Node(name="a", kind="op", type="relu", inputs=("y",)),),
            outputs=("a",),
        )


def test_attributes_round_trip():
    index = (slice(None, 3), ..., None, -1, np.array([[1, 2]]), np.array([True, False]), slice(4, None, -2))
    node = ir.Node(name="a", kind="op", type="getitem", inputs=("x",), attrs={"index": index})
    clip = ir.Node(
        name="b", kind="op", type="clip", inputs=("a",), attrs={"low": -math.inf, "high": math.nan}
    )
    graph = ir.Graph(inputs=(ir.Input(name="x", shape=(None,)),), nodes=(node, clip), outputs=("b",))
    again = ir.Graph.loads(graph.dumps())
    assert again == graph
    back = again.nodes[0].attrs["index"]
    assert back[:4] == index[:4] and back[6] == index[6]
    assert back[4].dtype == np.int64 and back[5].dtype == bool and (back[4] == index[4]).all()
    assert again.nodes[1].attrs["low"] == -math.inf and math.isnan(again.nodes[1].attrs["high"])
