"""What each operator does to the rows of a batch: the operators that are known to keep them apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ort_rrelu.graph.rows import layout, products
from ort_rrelu.graph.rows.layout import depends_on_rows
from ort_rrelu.graph.rows.values import Call, MixingError, Rows, Value, aligned

# Operators may mean something else before and after.
OLDEST_OPSET, NEWEST_OPSET = 7, 28

# Where the rows are in each output, or why they are not known to be apart; one for all outputs.
Kept = Rows | Sequence[Rows | MixingError]


def _elementwise(call: Call) -> Kept:
    return aligned([value for value in call.inputs if value is not None])


def _items(call: Call, *indices: int) -> Kept:
    """Each row of these inputs by itself, on their first axis; the other inputs are the same for all."""
    call.only(*indices)
    found = {call.need(index).rows for index in indices if call.given(index)}
    (rows, *more) = found
    if more or rows is None or rows.axis:
        raise MixingError("takes the batch elsewhere than on the first axis of its data")
    return rows


def _pool(call: Call) -> Kept:
    """Places of maxima are counted through the whole tensor, batch and all."""
    rows = _items(call, 0)
    assert isinstance(rows, Rows)
    return [rows, MixingError("gives the places of maxima, which depend on the place in the batch")]


def _not_along(call: Call, *axes: int) -> Kept:
    call.only(0)
    if call.rows().axis in [axis % call.rank() for axis in axes]:
        raise depends_on_rows()
    return call.rows()


def _mean_variance(call: Call) -> Kept:
    return _not_along(call, *call.attribute("axes", (0, 2, 3)))


def _softmax(call: Call) -> Kept:
    """Before opset 13 over all axes from one on."""
    if call.opset >= 13:
        return layout.along(call)
    if call.rows().axis >= call.axis(1):
        raise depends_on_rows()
    return call.rows()


def _from_axis(call: Call) -> Kept:
    """A normalization over all axes from one on, then scaled."""
    call.only(0)
    if call.rows().axis >= call.axis(-1):
        raise depends_on_rows()
    return _elementwise(call)


def _batch_normalization(call: Call) -> Kept:
    if call.attribute("training_mode", 0) or (call.opset < 14 and call.outputs > 1):
        raise MixingError("is in train mode: it mixes the requests of a batch")
    return _not_along(call, 1)


def _dropout(call: Call) -> Kept:
    if call.given(2) and (call.need(2).numbers is None or call.need(2).sized or any(call.numbers(2))):
        raise MixingError("may be in train mode")
    call.only(0)
    return call.rows()


def _cumulative(call: Call) -> Kept:
    return _not_along(call, *map(int, call.numbers(1)))


def _arg(call: Call) -> Kept:
    call.only(0)
    return layout.without(call.rows(), [call.axis(0)], keep=bool(call.attribute("keepdims", 1)))


def _together(call: Call, *, default: int = 0) -> Kept:
    """All inputs with the same rows, along another axis."""
    (rows, *more) = {value.rows for value in call.inputs if value is not None}
    if more or rows is None:
        raise MixingError("combines values that carry the batch differently")
    if rows.axis == call.axis(default):
        raise depends_on_rows()
    return rows


def _alike(call: Call) -> Kept:
    """All inputs with the same rows and shape."""
    (rows, *more) = {value.rows for value in call.inputs if value is not None}
    ranks = {len(value.known_shape()) for value in call.inputs if value is not None}
    if more or rows is None or len(ranks) > 1:
        raise MixingError("combines values that carry the batch differently")
    return rows


def _recurrent(call: Call) -> Kept:
    """LSTM, GRU, RNN; layout: the batch is on axis 0 of everything instead of 1 or 2."""
    first = bool(call.attribute("layout", 0))
    call.only(0, 4, 5, 6)
    rows = call.rows()
    expected = {0: 0 if first else 1, 4: 0, 5: 0 if first else 1, 6: 0 if first else 1}
    for index, axis in expected.items():
        if call.given(index) and call.need(index).rows != rows.at(axis):
            raise MixingError(f"does not take the batch on axis {axis} of its input {index}")
    return [rows.at(0)] * 3 if first else [rows.at(2), rows.at(1), rows.at(1)]


def _reverse_sequence(call: Call) -> Kept:
    rows = call.rows()
    if rows.axis != call.attribute("batch_axis", 1) or call.rows(1) != rows.at(0):
        raise depends_on_rows()
    return rows


def _rotary(call: Call) -> Kept:
    return _items(call, 0, 3) if call.given(3) else _items(call, 0, 1, 2)


def _quantize(call: Call) -> Kept:
    """Scales: one, or some along another axis."""
    call.only(0)
    scale = call.need(1).known_shape()
    several = any(size != 1 for size in scale)
    if several and (len(scale) != 1 or call.rows().axis == call.axis(1)):
        raise MixingError("has scales along the batch")
    return call.rows()


def _gather_nd(call: Call) -> Kept:
    data, indices = call.need(0), call.need(1)
    if data.rows is None and indices.rows is not None:
        if call.attribute("batch_dims", 0) or indices.rows.axis == call.rank(1) - 1:
            raise MixingError("takes elements by indices that lie along the batch")
        return indices.rows
    if data.rows != indices.rows or call.rows().axis >= call.attribute("batch_dims", 0):
        raise depends_on_rows()
    return call.rows()


def has_step_of_each_row(inputs: Sequence[Value | None]) -> bool:
    """Does the batch give these inputs of an RRelu their step? Its rule judges whether it fits X."""
    return len(inputs) > 1 and inputs[1] is not None and inputs[1].rows is not None


def _rrelu(call: Call) -> Kept:
    """A draw belongs to a row where the row brings its step, in train mode; eval mode checks it too."""
    if call.given(1):
        _check_step(call.need(1), call.need(0).rows)
    return [call.rows(), call.rows(), MixingError("gives a reserve, in which rows have no place")]


def _check_step(step: Value, rows: Rows | None) -> None:
    shape = step.known_shape()
    if step.rows is None:
        if any(size != 1 for size in shape):
            raise MixingError("takes steps that fit one number of rows only")
        return
    if rows is None:
        raise MixingError("has an X that is the same for every batch: it has no rows")
    if len(shape) != 1 or step.rows != rows or rows.axis:
        raise MixingError("takes steps that are not one for each row of its X, on the first axis")
    if not step.exact:
        raise MixingError("computes its steps from numbers that a runtime may round differently in a batch")


_ELEMENTWISE = """
    Abs Acos Acosh Add And Asin Asinh Atan Atanh BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor
    Cast CastLike Ceil Celu Clip Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid
    HardSwish Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu
    Pow Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt StringConcat Sub Sum
    Swish Tan Tanh ThresholdedRelu Where Xor
"""
_IMAGES = """
    AveragePool Col2Im Conv ConvInteger ConvTranspose DepthToSpace GlobalAveragePool GlobalLpPool
    GlobalMaxPool GroupNormalization InstanceNormalization LpPool QLinearConv SpaceToDepth
"""
# Reductions that no order of their elements changes, and the opset from which the axes are an input.
REDUCTIONS = {
    f"Reduce{name}": 18
    for name in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
} | {"ReduceSum": 13}

ELEMENTWISE = frozenset(_ELEMENTWISE.split())

_Rule = Callable[[Call], Kept]

RULES: dict[str, _Rule] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(_IMAGES.split(), lambda call: _items(call, 0)),
    **{name: partial(layout.reduced, since=opset) for name, opset in REDUCTIONS.items()},
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), _softmax),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), _from_axis),
    **dict.fromkeys(("ArgMax", "ArgMin"), _arg),
    **dict.fromkeys(("CumSum", "CumProd"), _cumulative),
    **dict.fromkeys(("GatherElements", "ScatterElements", "Scatter"), _together),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
    **dict.fromkeys(("Resize", "Upsample"), layout.resize),
    **dict.fromkeys(("Expand", "ConstantOfShape"), layout.expand),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), _quantize),
    "Attention": products.attention,
    "BatchNormalization": _batch_normalization,
    "Concat": layout.concat,
    "DeformConv": lambda call: _items(call, 0, 2, 4),
    "Dropout": _dropout,
    "Einsum": products.einsum,
    "Flatten": layout.flatten,
    "Gather": layout.gather,
    "GatherND": _gather_nd,
    "Gemm": products.gemm,
    "GridSample": lambda call: _items(call, 0, 1),
    "LpNormalization": layout.along,
    "LRN": lambda call: _not_along(call, 1),
    "MatMul": products.matmul,
    "MatMulInteger": products.matmul_integer,
    "MaxPool": _pool,
    "MeanVarianceNormalization": _mean_variance,
    "OneHot": layout.one_hot,
    "Pad": layout.pad,
    "QLinearMatMul": products.qlinear_matmul,
    "Reshape": layout.reshape,
    "ReverseSequence": _reverse_sequence,
    "RotaryEmbedding": _rotary,
    "Slice": layout.slices,
    "Split": lambda call: layout.along(call, default=0),
    "Squeeze": layout.squeeze,
    "SwiGLU": _alike,
    "Tile": layout.tile,
    "TopK": layout.along,
    "Transpose": layout.transpose,
    "Trilu": lambda call: _not_along(call, -1, -2),
    "Unsqueeze": layout.unsqueeze,
}

# Those of our own domain; train nodes have a step for each row.
OUR_RULES: dict[str, _Rule] = {"RRelu": _rrelu, "RReluGrad": _alike}

# Why others do not, where there is more to say than that they are not known to.
REASONS = {"DynamicQuantizeLinear": "works along the batch: its scale is that of all rows together"}

# Inputs that may be computed from the number of rows.
TAKES_SIZES = {"Reshape": 1, "Expand": 1, "ConstantOfShape": 0, "Slice": 2, "Resize": 3}

# Operators that pass the type of their first input on, which shape inference does not say of them.
LIKE_FIRST = {"GroupNormalization", "MeanVarianceNormalization"}

# Inputs of which the type alone counts.
TYPE_ONLY = {"CastLike": 1}
