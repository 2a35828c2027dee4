"""Networks as data: the graph, from a module to it and back, and folding batch normalisation away."""

from __future__ import annotations

from armour.tensor.fold import fold as fold
from armour.tensor.graph import Constant as Constant
from armour.tensor.graph import Graph as Graph
from armour.tensor.graph import Input as Input
from armour.tensor.graph import Node as Node
from armour.tensor.graph import Weight as Weight
from armour.tensor.graph import parse_json as parse_json
from armour.tensor.graph_module import GraphModule as GraphModule
from armour.tensor.tracing import trace as trace
