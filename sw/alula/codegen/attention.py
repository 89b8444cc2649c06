"""Attention over the KV cache: appending a chunk, and attending to it."""

from alula.codegen.emitter import engine_of
from alula.codegen.scope import Count, Scope, pieces_of
from alula.design import GROUP
from alula.ir import Node
from alula.isa import Engine, Ref
from alula.mapper import BufferMap

CACHE = "memory.kv"
KEYS, VALUES = f"{CACHE}.keys", f"{CACHE}.values"
"""Parts of it, where K is read while V is still written."""


def constants(buffers: BufferMap, *, chunked: bool) -> list[tuple[str, int]]:
    """What the context changes: buffers behind the first V scales, rows of a prefill step."""
    places = {**buffers.vector, **buffers.activation}
    moving = ["scores0"]
    for copy in range(1, buffers.copies):
        moving += [f"scales{copy}", f"scores{copy}", f"probability{copy}"]
    constants = [(name, places[name]) for name in moving if name in places]
    if chunked and buffers.streams == 1:
        constants.append(("attention_rows", buffers.attention_rows))
    return constants


def measure(scope: Scope) -> None:
    """Registers for one token's attention: length, row blocks of K, groups of V."""
    emit = scope.emit
    emit.add("kv_len", "position", 1)
    emit.ceil_div("k_blocks", "kv_len", scope.design.rows)
    emit.ceil_div("v_groups", "kv_len", GROUP)


def quantise_rows(scope: Scope, node: Node, rows: Count) -> None:
    """K and V rows into staging, those of K first, heads of a token together."""
    for index in range(len(node.inputs)):
        quantise_heads(scope, node, index, rows, 0, scope.memory.kv.heads)


def quantise_heads(
    scope: Scope,
    node: Node,
    index: int,
    rows: Count,
    start: int,
    heads: int,
    piece: int | None = None,
) -> None:
    """Some heads' rows of K (index 0) or V (1) into staging, behind those of the heads before."""
    kv, name = scope.memory.kv, node.inputs[index]
    scope.emit.op(
        "QUANTKV",
        reads=scope.touch(name, piece=piece),
        writes=staging(name, piece),
        src=scope.vector(name) + start * scope.words(kv.head_dim),
        dst=(index * kv.heads + start) * scope.buffers.rows,
        rows=rows,
        heads=heads,
        dim=kv.head_dim,
        stride=scope.row_words(name),
    )


def staging(name: str, piece: int | None = None) -> set[str]:
    """Resources of a value's rows in staging."""
    return {f"staging.{one}" for one in pieces_of(name, piece)}


def append(scope: Scope, node: Node, rows: Count) -> None:
    """Quantise K and V rows and write them to the cache."""
    quantise_rows(scope, node, rows)
    store_keys(scope, node, rows, 0, scope.memory.kv.heads)
    store_values(scope, node, rows)


def store_keys(
    scope: Scope, node: Node, rows: Count, start: int, heads: int, piece: int | None = None
) -> None:
    """Write some heads' rows of K to the cache."""
    emit, name = scope.emit, node.inputs[0]
    with emit.scratch():
        place = "kv_base"
        if start:
            place = "k_address"
            emit.alu("SMUL", place, "k_stride", start)
            emit.add(place, place, emit.reg("kv_base"))
        emit.op(
            "ST.KEY",
            reads=staging(name, piece),
            writes=[KEYS if scope.stream else CACHE],
            src=start * scope.buffers.rows,
            addr=emit.reg(place),
            stride=emit.reg("k_stride"),
            heads=heads,
            rows=rows,
            groups=scope.memory.kv.head_dim // GROUP,
            position=emit.reg(scope.start),
        )


def store_values(scope: Scope, node: Node, rows: Count) -> None:
    """Write rows of V to the cache."""
    emit, kv = scope.emit, scope.memory.kv
    with emit.scratch():
        _values_base(scope)
        emit.alu("SMUL", "count", "v_pitch", kv.v_blocks)
        emit.op(
            "ST.VALUE",
            reads=staging(node.inputs[1]),
            writes=[VALUES if scope.stream else CACHE],
            src=scope.buffers.rows * kv.heads,
            addr=emit.reg("v_address"),
            stride=emit.reg("v_stride"),
            pitch=emit.reg("v_pitch"),
            scales=emit.reg("count"),
            heads=kv.heads,
            rows=rows,
            groups=kv.head_dim // GROUP,
            position=emit.reg(scope.start),
        )


def _values_base(scope: Scope) -> None:
    """`v_address`: V of the layer's first head."""
    emit = scope.emit
    emit.alu("SMUL", "v_address", "k_stride", scope.memory.kv.heads)
    emit.add("v_address", "v_address", emit.reg("kv_base"))


def _scales_address(scope: Scope) -> None:
    """`s_address`: the scales that belong to V at `v_address`."""
    emit = scope.emit
    emit.alu("SMUL", "s_address", "v_pitch", scope.memory.kv.v_blocks)
    emit.add("s_address", "s_address", emit.reg("v_address"))


def soft_cap(
    scope: Scope, name: str, src: Count, rows: Count, words: Count, stride: Count, cap: float
) -> None:
    """Cap rows of scores or logits."""
    emit = scope.emit
    with emit.scratch():
        emit.op(
            "SOFTCAP",
            reads=scope.touch(name),
            writes=scope.touch(name),
            src=src,
            rows=rows,
            words=words,
            stride=stride,
            inv=emit.real("inverse", 2 / cap),
            span=emit.real("span", 2 * cap),
        )


class Step:
    """One attention step: some query rows against one KV head, in one copy of the buffers.

    `many` rows are multiplied: at least one.
    """

    def __init__(
        self, scope: Scope, copy: int, rows: Count, engine: Engine, many: Count | None = None
    ) -> None:
        self.scope, self.rows, self.engine = scope, rows, engine
        self.many = rows if many is None else many
        self.query, self.probability = f"query{copy}", f"probability{copy}"
        self.scores, self.scales = f"scores{copy}", f"scales{copy}"

    def place(self, name: str) -> Count:
        """Address of a buffer: in a register if the context moves it."""
        scope = self.scope
        if name in scope.emit.registers:
            return scope.emit.reg(name)
        buffers = scope.buffers
        return (buffers.vector if name in buffers.vector else buffers.activation)[name]

    def score(
        self, source: Count, stride: int, length: Ref, positions: Ref, *, causal: bool
    ) -> None:
        """From query rows to quantised probabilities, against K at `k_address`.

        The first row sees `length` positions, the last all `positions`.
        """
        emit = self.scope.emit
        self.quantise(source, stride)
        self.load_keys(emit.reg("k_address"), emit.reg("k_blocks"))
        self.multiply(positions)
        emit.alu("SMUL", "count", "v_groups", GROUP)
        self.load_scales(emit.reg("s_address"), emit.reg("count"))
        self.normalise(length, emit.reg("count"), causal=causal)

    def quantise(self, source: Count, stride: int) -> None:
        """Query rows, `stride` words apart."""
        scope = self.scope
        scope.emit.op(
            "QUANT",
            reads=scope.touch("q"),
            writes=[self.query],
            src=source,
            dst=self.place(self.query),
            rows=self.rows,
            len=scope.memory.kv.head_dim,
            stride=stride,
        )

    def load_keys(self, addr: Ref, blocks: Ref, cache: str = CACHE) -> None:
        """Row blocks of K."""
        scope = self.scope
        scope.emit.op(
            "LD.W",
            reads=[cache],
            to=self.engine.name,
            fmt="W8",
            groups=scope.memory.kv.head_dim // GROUP,
            addr=addr,
            blocks=blocks,
        )

    def multiply(self, positions: Ref, place: Count | None = None) -> None:
        """Scores of all `positions` to a place in their buffer; None: to its start."""
        scope = self.scope
        scope.emit.op(
            self.engine.name,
            reads=[self.query],
            writes=scope.touch(self.scores),
            fmt="W8",
            groups=scope.memory.kv.head_dim // GROUP,
            src=self.place(self.query),
            outputs=positions,
            rows=self.many,
            dst=self.place(self.scores) if place is None else place,
            stride=scope.emit.reg("score_stride"),
        )

    def load_scales(
        self, addr: Ref, count: Ref, cache: str = CACHE, place: Count | None = None
    ) -> None:
        """Scales of V, of whole groups of positions."""
        scope = self.scope
        scope.emit.op(
            "LD.V",
            reads=[cache],
            writes=scope.touch(self.scales),
            type="bf16",
            addr=addr,
            dst=self.place(self.scales) if place is None else place,
            count=count,
        )

    def normalise(self, length: Ref, count: Ref, *, causal: bool) -> None:
        """Scores to quantised probabilities of `count` positions, V's scales in them."""
        scope, emit = self.scope, self.scope.emit
        if cap := scope.graph.architecture.attention_cap:
            emit.alu("SMUL", "count", "v_groups", scope.words(GROUP))
            self.cap(emit.reg("count"), cap)
            emit.alu("SMUL", "count", "v_groups", GROUP)
        self.soften(self.place(self.scores), self.place(self.scales), length, causal=causal)
        self.quantise_scores(self.place(self.scores), self.probability, count)

    def cap(self, words: Ref, cap: float) -> None:
        """Cap `words` of each row of scores."""
        place, stride = self.place(self.scores), self.scope.emit.reg("score_stride")
        soft_cap(self.scope, self.scores, place, self.rows, words, stride, cap)

    def soften(self, scores: Count, scales: Count, length: Ref, *, causal: bool) -> None:
        """Scores to probabilities, V's scales in them."""
        scope = self.scope
        scope.emit.op(
            "SOFTMAX",
            reads=scope.touch(self.scores, self.scales),
            writes=scope.touch(self.scores),
            src=scores,
            rows=self.rows,
            len=length,
            step=causal,
            stride=scope.emit.reg("score_stride"),
            scale=scales,
        )

    def quantise_scores(self, scores: Count, probability: str, count: Ref) -> None:
        """Probabilities of `count` positions to a place in the activation buffer."""
        scope = self.scope
        scope.emit.op(
            "QUANT",
            reads=scope.touch(self.scores),
            writes=[probability],
            src=scores,
            dst=self.place(probability),
            rows=self.rows,
            len=count,
            stride=scope.emit.reg("score_stride"),
        )

    def weigh(self, addr: Ref, destination: Count, stride: int) -> None:
        """Probabilities times V."""
        groups = self.scope.emit.reg("v_groups")
        self.weigh_part(addr, groups, self.probability, "attention", destination, stride)

    def weigh_part(
        self,
        addr: Ref,
        groups: Ref,
        probability: str,
        result: str,
        destination: Count,
        stride: int,
        cache: str = CACHE,
    ) -> None:
        """Probabilities of some positions times their V, to a place of a value."""
        scope, emit = self.scope, self.scope.emit
        shape = {"fmt": "V8", "groups": groups}
        emit.op(
            "LD.W",
            reads=[cache],
            to=self.engine.name,
            addr=addr,
            blocks=scope.memory.kv.v_blocks,
            stride=emit.reg("v_pitch"),
            **shape,
        )
        emit.op(
            self.engine.name,
            reads=[probability],
            writes=scope.touch(result),
            src=self.place(probability),
            outputs=scope.memory.kv.head_dim,
            rows=self.many,
            dst=destination,
            stride=stride,
            **shape,
        )


def attend_token(scope: Scope, node: Node) -> None:
    """One token: the query heads of a KV head are rows of one step; steps overlap as copies allow.

    `node.output` gets head after head. With two copies the order K0 K1 V0 K2 V1 ... keeps the
    weight stream busy while the SFU is at a head's softmax.
    """
    emit, kv = scope.emit, scope.memory.kv
    group = scope.graph.architecture.heads // kv.heads
    engine = engine_of(group > scope.design.mpe.tokens)
    words = scope.words(kv.head_dim)
    copies = scope.buffers.copies
    steps = [Step(scope, head % copies, group, engine) for head in range(kv.heads)]
    behind = copies - 1
    emit.add("k_address", "kv_base", 0)
    _values_base(scope)
    _scales_address(scope)
    for head in range(kv.heads + behind):
        if head < kv.heads:
            source, length = scope.vector("q") + head * group * words, emit.reg("kv_len")
            steps[head].score(source, words, length, length, causal=False)
            emit.add("k_address", "k_address", emit.reg("k_stride"))
            emit.add("s_address", "s_address", emit.reg("v_stride"))
        if head >= behind:
            place = scope.vector(node.output) + (head - behind) * group * words
            steps[head - behind].weigh(emit.reg("v_address"), place, words)
            emit.add("v_address", "v_address", emit.reg("v_stride"))


class _Heads:
    """Addresses of the query head at hand, `head`, each computed where it is needed.

    All are in register `address`, and some take `count` on the way.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope, self.kv = scope, scope.memory.kv
        self.shared = scope.graph.architecture.heads // self.kv.heads
        self.address, self.count = scope.emit.reg("address"), scope.emit.reg("count")

    def keys(self) -> Ref:
        """Its K."""
        return self._of("k_stride")

    def values(self) -> Ref:
        """Its V."""
        self._of("v_stride")
        self.scope.emit.alu("SMUL", "count", "k_stride", self.kv.heads)
        self.scope.emit.add("address", "address", self.count)
        return self.address

    def scales(self) -> Ref:
        """The scales of its V."""
        self.values()
        self.scope.emit.alu("SMUL", "count", "v_pitch", self.kv.v_blocks)
        self.scope.emit.add("address", "address", self.count)
        return self.address

    def _of(self, stride: str) -> Ref:
        emit = self.scope.emit
        emit.alu("SDIV", "address", "head", self.shared)
        emit.alu("SMUL", "address", "address", emit.reg(stride))
        emit.add("address", "address", emit.reg("kv_base"))
        return self.address


def attend_chunk(scope: Scope, node: Node) -> None:
    """A chunk of tokens: each step is some tokens of one query head, with a causal mask."""
    emit = scope.emit
    step = Step(scope, 0, emit.reg("step_rows"), Engine.MM)
    heads = _Heads(scope)
    emit.add("head", None, 0)
    with emit.loop(scope.graph.architecture.heads):
        emit.alu("SMUL", "word", "head", scope.words(scope.memory.kv.head_dim))
        emit.add("kv_len", "position", 1)
        emit.add("count", "rows", emit.reg("attention_rows"))
        emit.alu("SSUB", "count", "count", 1)
        emit.alu("SDIV", "count", "count", emit.reg("attention_rows"))
        with emit.loop(emit.reg("count")):
            _chunk_step(scope, step, heads, node.output)
        emit.add("head", "head", 1)


def _chunk_step(scope: Scope, step: Step, heads: _Heads, output: str) -> None:
    """Rows of one head from `word` on, the first of which sees `kv_len` positions."""
    emit, most, count = scope.emit, scope.emit.reg("attention_rows"), heads.count
    width, length = scope.row_words("q"), emit.reg("kv_len")

    def positions() -> None:
        emit.add("count", "kv_len", emit.reg("step_rows"))
        emit.alu("SSUB", "count", "count", 1)

    emit.add("step_rows", "position", emit.reg("rows"))
    emit.add("step_rows", "step_rows", 1)
    emit.alu("SSUB", "step_rows", "step_rows", length)
    emit.alu("SMIN", "step_rows", "step_rows", most)
    positions()
    emit.ceil_div("v_groups", "count", GROUP)
    step.quantise(emit.reg("word", scope.vector("q")), width)
    keys = heads.keys()
    emit.ceil_div("count", "count", scope.design.rows)
    step.load_keys(keys, count)
    positions()
    step.multiply(count)
    scales = heads.scales()
    emit.alu("SMUL", "count", "v_groups", GROUP)
    step.load_scales(scales, count)
    step.normalise(length, count, causal=True)
    step.weigh(heads.values(), emit.reg("word", scope.vector(output)), width)
    emit.alu("SMUL", "count", "attention_rows", width)
    emit.add("word", "word", count)
    emit.add("kv_len", "kv_len", most)
