"""Architecture to graph: the model as it is defined, in floating point."""

from alula.ir.architecture import Architecture
from alula.ir.graph import FP32, Graph, Node, Value

LAYER = "layers.*"


class _Section:
    """Collects nodes and values of one section."""

    def __init__(self, architecture: Architecture, values: dict[str, Value]) -> None:
        self.architecture = architecture
        self.values = values
        self.nodes: list[Node] = []

    def value(self, name: str, width: int) -> str:
        self.values.setdefault(name, Value(name, FP32, width))
        return name

    def add(
        self,
        op: str,
        unit: str,
        inputs: tuple[str, ...],
        output: str,
        parameters: tuple[str, ...] = (),
        heads: int = 0,
    ) -> None:
        self.nodes.append(Node(op, unit, inputs, output, parameters, heads))

    def norm(self, unit: str, source: str, output: str) -> None:
        self.value(output, self.architecture.hidden_size)
        parts = ("weight", "bias") if self.architecture.norm == "layernorm" else ("weight",)
        self.add("norm", unit, (source,), output, tuple(f"{unit}.{part}" for part in parts))

    def linear(self, name: str, source: str, output: str) -> None:
        unit = f"{LAYER}.{name}"
        self.value(output, self.architecture.projections[name][0])
        self.add("linear", unit, (source,), output, (f"{unit}.weight",))
        if name in self.architecture.biases:
            self.add("bias", unit, (output,), output, (f"{unit}.bias",))

    def join(self, branch: str) -> None:
        """Add the output of attention or MLP to the hidden state."""
        if self.architecture.post_norms:
            self.norm(f"{LAYER}.{branch}_post_norm", "normed", "normed")
        self.add("add", f"{LAYER}.{branch}", ("hidden", "normed"), "hidden")

    def head_vectors(self, name: str, value: str, heads: int) -> None:
        unit = f"{LAYER}.{name}"
        if self.architecture.qk_norm:
            self.add("head_norm", unit, (value,), value, (f"{unit}_norm.weight",), heads)
        if self.architecture.position == "rope":
            self.add("rope", unit, (value,), value, ("rope",), heads)


def _layer(section: _Section) -> None:
    architecture = section.architecture
    section.norm(f"{LAYER}.attn_norm", "hidden", "normed")
    for name, heads in (("q", architecture.heads), ("k", architecture.kv_heads), ("v", 0)):
        section.linear(f"attn.{name}", "normed", name)
        if heads:
            section.head_vectors(f"attn.{name}", name, heads)
    section.value("attention", architecture.query_size)
    section.add("attention", f"{LAYER}.attn", ("q", "k", "v"), "attention")
    section.linear("attn.o", "attention", "normed")
    section.join("attn")

    section.norm(f"{LAYER}.mlp_norm", "hidden", "normed")
    function = (architecture.activation,)
    if architecture.gated_mlp:
        section.linear("mlp.gate", "normed", "gate")
        section.linear("mlp.up", "normed", "up")
        section.add("gated_activation", f"{LAYER}.mlp", ("gate", "up"), "gate", function)
    else:
        section.linear("mlp.up", "normed", "gate")
        section.add("activation", f"{LAYER}.mlp", ("gate",), "gate", function)
    section.linear("mlp.down", "gate", "normed")
    section.join("mlp")


def lower(architecture: Architecture) -> Graph:
    """The graph of a model at stage `lowered`."""
    values: dict[str, Value] = {}
    embed, layer, head = (_Section(architecture, values) for _ in range(3))
    embed.value("hidden", architecture.hidden_size)
    embed.add("embed", "embed", (), "hidden", ("embed.weight",))
    if architecture.position == "learned":
        embed.add("position", "embed", ("hidden",), "hidden", ("embed.position",))
    _layer(layer)
    head.norm("final_norm", "hidden", "normed")
    head.value("logits", architecture.vocab_size)
    head.add("linear", "lm_head", ("normed",), "logits", ("lm_head.weight",))
    head.add("argmax", "lm_head", ("logits",), "logits")
    sections = {"embed": tuple(embed.nodes), "layer": tuple(layer.nodes), "head": tuple(head.nodes)}
    return Graph(architecture, "lowered", values, sections)
