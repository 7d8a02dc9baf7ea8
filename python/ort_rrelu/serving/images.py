"""One model from a file's bytes to its label: onnxruntime-extensions' processing around a network."""

from __future__ import annotations

import os
from collections.abc import Sequence

import onnx
from onnx import TensorProto, compose, helper

from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.file import new_model, read_model
from ort_rrelu.graph.nodes import fed_inputs, is_standard
from ort_rrelu.graph.opset import opset_of, raise_opset
from ort_rrelu.serving.model import import_extensions
from ort_rrelu.tensors import declared_shape, shape_text

_OPSET = 18  # from here on Resize smooths what it makes smaller


def image_classifier(
    network: onnx.ModelProto | str | os.PathLike[str],
    *,
    mean: Sequence[float] = (0.0,),
    std: Sequence[float] = (1.0,),
) -> onnx.ModelProto:
    """Join decoding, resizing and scaling before a network of images, and softmax and argmax behind it.

    The image is resized until it covers the network's height and width, and its middle is taken. Sessions
    need the libraries of ort_rrelu and of onnxruntime-extensions.

    DecodeImage, which is in the model, ends the process on some invalid bytes and hangs on a truncated JPEG:
    what strangers send must be decoded once before, as ort_rrelu.serving does for every model that begins
    with DecodeImage.

    Args:
        network: its first input is float [batch, channels, height, width], 1 channel (grey) or 3 (RGB), its
            only output float [batch, classes], scores. The image is a batch of one. Other inputs, as `step`,
            stay.
        mean, std: of the pixels that the network was trained on, where 0 is black and 1 white: one number, or
            one a channel.

    Returns:
        A model with the inputs `image` (uint8 [num_bytes], a JPEG or PNG file) and the network's others, and
        the outputs `label` (int64 [1]) and `probabilities` (float [1, classes]).

    Raises:
        ModelFileError, InvalidValueError: no model, or one that is not as above.
        MissingPackageError: onnxruntime-extensions is not installed.
    """
    model = new_model(
        network if isinstance(network, onnx.ModelProto) else read_model(network, external_data=True)
    )
    pixels, shape = _pixels(model)
    scores = _scores(model)
    if (opset_of(model) or 0) < _OPSET:
        raise_opset(model, _OPSET)
    _check_statistics(shape[0], mean, std)
    before = _like(model, _preprocessing(model, shape))
    scaled = _like(model, _scaling(shape, mean, std))
    after = _like(model, _postprocessing())
    try:
        joined = _merged(before, scaled, before.graph.output[0].name, "rgb")
        joined = _merged(joined, model, "pixels", pixels)
        joined = _merged(joined, after, scores, "scores")
        onnx.checker.check_model(joined)
    except (ValueError, onnx.checker.ValidationError) as error:
        raise InvalidValueError(f"the network cannot be joined with its processing: {error}") from error
    return joined


def _merged(first: onnx.ModelProto, second: onnx.ModelProto, output: str, taken: str) -> onnx.ModelProto:
    merged = compose.merge_models(first, second, io_map=[(output, taken)])
    versions = {entry.domain: entry.version for entry in merged.opset_import}  # it lists domains twice
    del merged.opset_import[:]
    merged.opset_import.extend(helper.make_opsetid(*entry) for entry in versions.items())
    return merged


def _pixels(model: onnx.ModelProto) -> tuple[str, tuple[int, int, int]]:
    """Name, and channels, height and width, of the input that is an image."""
    value = next(iter(fed_inputs(model)), None)
    tensor = value.type.tensor_type if value else TensorProto()
    dims = [d.dim_value for d in tensor.shape.dim] if value else []
    fits = len(dims) == 4 and dims[0] in (0, 1) and dims[1] in (1, 3) and dims[2] > 0 and dims[3] > 0
    if value is None or not fits or tensor.elem_type != TensorProto.FLOAT:
        raise InvalidValueError(
            "the network's first input must be float [batch, 1 or 3, height, width], with fixed sizes; "
            f"it is {_described(value) if value else 'missing'}"
        )
    return value.name, (dims[1], dims[2], dims[3])


def _described(value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    kind = TensorProto.DataType.Name(tensor.elem_type).lower()
    return f'"{value.name}", {kind} {shape_text(declared_shape(tensor))}'


def _scores(model: onnx.ModelProto) -> str:
    outputs = model.graph.output
    tensor = outputs[0].type.tensor_type if outputs else None
    if (
        tensor is None
        or len(outputs) != 1
        or tensor.elem_type != TensorProto.FLOAT
        or len(tensor.shape.dim) != 2
    ):
        found = ", ".join(map(_described, outputs)) or "none"
        raise InvalidValueError(f"the network must have one output, float [batch, classes]; it has {found}")
    return str(outputs[0].name)


def _check_statistics(channels: int, mean: Sequence[float], std: Sequence[float]) -> None:
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels):
            raise InvalidValueError(
                f"{name} has {len(values)} numbers: one, or one for each of {channels} channels"
            )
    if min(std) <= 0:
        raise InvalidValueError(f"std={tuple(std)}: it must be above 0")


def _preprocessing(model: onnx.ModelProto, shape: tuple[int, int, int]) -> onnx.ModelProto:
    """onnxruntime-extensions' own steps: bytes -> float [3, height, width] from 0 to 1."""
    steps = import_extensions("onnxruntime_extensions.tools.pre_post_processing")
    size = shape[1:]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["num_bytes"])
    pipeline = steps.PrePostProcessor([image], opset_of(model))
    pipeline.add_pre_processing(
        [
            steps.ConvertImageToBGR(),
            steps.ReverseAxis(axis=2, dim_value=3),
            steps.Resize(size),
            steps.CenterCrop(*size),
            steps.ChannelsLastToChannelsFirst(),
            steps.ImageBytesToFloat(),
        ]
    )
    opset = f'["": {opset_of(model)}]'
    nothing = f"<ir_version: 8, opset_import: {opset}> g (float[3,h,w] x) => (float[3,h,w] rgb_of_image) "
    processed: onnx.ModelProto = pipeline.run(
        onnx.parser.parse_model(nothing + "{ rgb_of_image = Identity(x) }")
    )
    return processed


def _scaling(shape: tuple[int, int, int], mean: Sequence[float], std: Sequence[float]) -> onnx.ModelProto:
    """Colours to the network's channels, and its statistics: [3, height, width] -> [1, channels, ...]."""
    channels, height, width = shape
    grey = "ReduceMean <keepdims = 1> (rgb, channel_axis)" if channels == 1 else "Identity (rgb)"
    return onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["": {_OPSET}]>
scaling (float[3,{height},{width}] rgb) => (float[1,{channels},{height},{width}] pixels)
<int64[1] channel_axis = {{0}}, float[{len(mean)},1,1] mean_of_pixels = {{{_numbers(mean)}}},
 float[{len(std)},1,1] std_of_pixels = {{{_numbers(std)}}}> {{
    colours = {grey}
    centred = Sub (colours, mean_of_pixels)
    scaled = Div (centred, std_of_pixels)
    pixels = Unsqueeze (scaled, channel_axis)
}}""")


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(repr(float(value)) for value in values)


def _postprocessing() -> onnx.ModelProto:
    return onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["": {_OPSET}]>
answer (float[1,classes] scores) => (int64[1] label, float[1,classes] probabilities) {{
    probabilities = Softmax <axis = 1> (scores)
    label = ArgMax <axis = 1, keepdims = 0> (scores)
}}""")


def _like(model: onnx.ModelProto, part: onnx.ModelProto) -> onnx.ModelProto:
    """With the model's IR version and opset, which parts of one model share."""
    part.ir_version = model.ir_version
    for entry in part.opset_import:
        if is_standard(entry.domain):
            entry.version = opset_of(model)
    return part
