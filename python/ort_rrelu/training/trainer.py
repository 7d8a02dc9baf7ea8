"""Trainer: runs a step model in ONNX Runtime, with the weights in the runtime's memory."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import ArrayLike

from ort_rrelu.arguments import Array, as_ndarray
from ort_rrelu.errors import DivergedError, InvalidTypeError, InvalidValueError
from ort_rrelu.files import check_target
from ort_rrelu.graph.file import read_model, write_model
from ort_rrelu.graph.portable import portable
from ort_rrelu.runtime import InferenceSession, register
from ort_rrelu.tensors import declared_shape, fits
from ort_rrelu.training import checkpoint, sample_numbers
from ort_rrelu.training.step_model import (
    FINITE,
    LOSS,
    OUTPUT,
    SAMPLE_STEPS,
    STEP,
    StepModel,
    X,
    Y,
    as_next,
    evaluation_model,
    inference_model,
)

if TYPE_CHECKING:
    import onnxruntime


_PROVIDERS = ["CPUExecutionProvider"]


class Trainer:
    """Trains a step model of `export_step`, on the CPU.

    Parameters, buffers and optimizer state are OrtValues that never leave the runtime. There are two sets
    of them: a step reads one and writes the other, then they change places. So a step that fails changes
    nothing, and the state takes twice its size.

    Args:
        step_model: a model of export_step, or its path.
        sess_options: for the session; the library is registered with them. None makes new ones.

    Raises:
        ModelFileError, InvalidValueError: no such file, or not a step model.
    """

    def __init__(
        self,
        step_model: onnx.ModelProto | str | os.PathLike[str],
        sess_options: onnxruntime.SessionOptions | None = None,
    ) -> None:
        model = step_model if isinstance(step_model, onnx.ModelProto) else _read(step_model)
        self._model = StepModel.of(model)
        self._options = register(sess_options)
        self._session = self._new_session(self._model.graph)
        self._evaluation: Any = None
        self._prediction: Any = None
        self._batch = _BatchCheck(self._model.graph.graph)
        self._scalars = {name: _scalar(value) for name, value in self._model.defaults.items()}
        self._number = _scalar(0)
        self._begin()
        self._hold(self._model.initial)

    def _begin(self) -> None:
        self._steps = 0
        self._next_sample = 0 if self._model.by_sample else None

    def _new_session(self, model: onnx.ModelProto) -> Any:
        return InferenceSession(model.SerializeToString(), self._options, _PROVIDERS)

    def _hold(self, values: Mapping[str, Array]) -> None:
        """Put the values into the runtime's memory: twice what a step changes, the rest once."""
        now = {name: _ort_value(value) for name, value in values.items()}
        after = {name: _ort_value(now[name].numpy()) for name in self._model.changed}
        self._now, self._after = now, {**now, **after}
        # A new value must never go where the old one still is read: the runtime would not notice.
        self._bindings = [self._bind(self._now, self._after), self._bind(self._after, self._now)]

    def _bind(self, read: Mapping[str, Any], write: Mapping[str, Any]) -> Any:
        used = {value.name for value in self._session.get_inputs()}
        binding = self._session.io_binding()
        for name, value in {**read, **self._scalars, STEP: self._number}.items():
            if name in used:
                binding.bind_ortvalue_input(name, value)
        for name in self._model.changed:
            binding.bind_ortvalue_output(as_next(name), write[name])
        binding.bind_output(LOSS, "cpu")
        binding.bind_output(FINITE, "cpu")
        return binding

    @property
    def steps(self) -> int:
        """How many steps the state has behind it: the number of the next step, whose slopes RRelu draws."""
        return self._steps

    @property
    def next_sample(self) -> int | None:
        """The step of the next sample that is not given one: above those of all samples so far.

        It is the number of samples so far, if none were given. None where the model takes one step for the
        whole batch, `steps`.
        """
        return self._next_sample

    @property
    def hyperparameters(self) -> dict[str, float]:
        """What `step` can be given, with the values that it takes otherwise."""
        return dict(self._model.defaults)

    def step(
        self, x: ArrayLike, y: ArrayLike, *, step: ArrayLike | None = None, **hyperparameters: float
    ) -> float:
        """One training step.

        Args:
            x, y: a batch, in dtype and shape of the example batch of export_step.
            step: for a model of export_step(step_input="rows"): int64, a number for each row of x, with which
                its slopes and dropout masks are drawn. Equal numbers draw the same. None counts on from
                `next_sample`.
            **hyperparameters: lr, and eps of Adam, for this step instead of the model's default.

        Returns:
            The loss of the batch before the update.

        Raises:
            InvalidValueError, InvalidTypeError: a dtype, shape, hyperparameter, label or other index is not
                allowed.
            DivergedError: the loss, or an updated parameter or buffer, is infinite or NaN. The state is
                the one before the step.
        """
        batch = self._batch.check(x, y)
        steps = None
        if step is not None or self._model.by_sample:
            steps = batch[SAMPLE_STEPS] = self._steps_of(step, len(batch[X]))
        for name, value in self._checked({**self._model.defaults, **hyperparameters}).items():
            self._scalars[name].update_inplace(np.array(value, np.float64))
        self._number.update_inplace(np.array(self._steps))
        binding = self._bindings[0]
        for name, array in batch.items():
            binding.bind_cpu_input(name, array)
        _run_bound(self._session, binding)
        *_, loss, finite = binding.get_outputs()
        number = float(loss.numpy())
        if not finite.numpy():
            raise DivergedError(
                f"step {self._steps}: the loss is {number:g}, and it or the updated state is not finite; "
                "the state is the one before this step"
            )
        self._now, self._after = self._after, self._now
        self._bindings.reverse()
        self._steps += 1
        if steps is not None and self._next_sample is not None:
            self._next_sample = sample_numbers.next_after(self._next_sample, steps)
        return number

    def _steps_of(self, step: ArrayLike | None, rows: int) -> Array:
        """Those of the batch's samples, counted if they are not given."""
        if self._next_sample is None:
            raise InvalidTypeError(
                "step: this model takes one step for the whole batch, which the trainer counts: "
                'export_step(step_input="rows") writes one that takes a step for each sample'
            )
        if step is None:
            return sample_numbers.counted(self._next_sample, rows)
        return sample_numbers.given(step, rows)

    def _checked(self, hyperparameters: Mapping[str, float]) -> Mapping[str, float]:
        for name, value in hyperparameters.items():
            if name not in self._scalars:
                raise InvalidTypeError(
                    f"{name}: this model takes no such hyperparameter, but {', '.join(self._scalars)}"
                )
            if not isinstance(value, int | float | np.floating) or isinstance(value, bool):
                raise InvalidTypeError(f"{name}={value!r}: it must be a number")
            if not 0 <= value < np.inf:
                raise InvalidValueError(f"{name}={value!r}: it must be 0 or more, and finite")
        return hyperparameters

    def evaluate(self, x: ArrayLike, y: ArrayLike) -> float:
        """The loss of a batch in eval mode; nothing changes."""
        if self._evaluation is None:
            self._evaluation = self._new_session(evaluation_model(self._model.graph))
        return float(self._run(self._evaluation, LOSS, self._batch.check(x, y)))

    def predict(self, x: ArrayLike) -> Array:
        """The model's output in eval mode."""
        if self._prediction is None:
            self._prediction = self._new_session(inference_model(self._model.graph, {}))
        return self._run(self._prediction, OUTPUT, self._batch.check(x))

    def _run(self, session: Any, output: str, batch: Mapping[str, Array]) -> Array:
        binding = session.io_binding()
        for value in session.get_inputs():
            if value.name in self._now:
                binding.bind_ortvalue_input(value.name, self._now[value.name])
            else:
                binding.bind_cpu_input(value.name, batch[value.name])
        binding.bind_output(output, "cpu")
        _run_bound(session, binding)
        result: Array = binding.get_outputs()[0].numpy()
        return result

    def state_dict(self) -> dict[str, Array]:
        """Copies of parameters and buffers under the names of torch's state_dict.

        `{name: torch.from_numpy(value)}` of it is what load_state_dict of the torch module takes.
        """
        return {n: _copy(self._now[state]) for n, state in self._model.description.state_dict.items()}

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike]) -> None:
        """Start from these parameters and buffers, with a new optimizer, at step 0 and sample 0.

        Raises InvalidValueError when a name is missing or unknown, or has another dtype or shape;
        InvalidTypeError when it is not a mapping.
        """
        if not isinstance(state_dict, Mapping):
            kind = type(state_dict).__name__
            raise InvalidTypeError(f"state_dict is a {kind}: it must be a mapping of names to arrays")
        known = self._model.description.state_dict
        if different := set(known) ^ set(state_dict):
            name = min(different)
            raise InvalidValueError(f"state_dict: {name!r} is {'missing' if name in known else 'unknown'}")
        values = dict(self._model.initial)
        for name, given in state_dict.items():
            array, wanted = as_ndarray(given, f"state_dict: {name!r}"), values[known[name]]
            if (array.dtype, array.shape) != (wanted.dtype, wanted.shape):
                raise InvalidValueError(
                    f"state_dict: {name!r} has dtype {array.dtype} and shape {list(array.shape)}: they must "
                    f"be {wanted.dtype} and {list(wanted.shape)}"
                )
            values[known[name]] = array
        self._hold(values)
        self._begin()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint: state and numbers of steps, in the safetensors format, all of it or nothing.

        Raises OSError when it cannot be written, MissingPackageError without safetensors.
        """
        values = {name: value.numpy() for name, value in self._now.items()}
        saved = checkpoint.Checkpoint(self._steps, values, self._model.identity(), self._next_sample)
        checkpoint.write(path, saved)

    def resume(self, path: str | os.PathLike[str]) -> None:
        """Continue from a checkpoint of this step model, bit for bit as if there had been no stop.

        Raises:
            ModelFileError: there is no such file.
            InvalidValueError: it is damaged, or of another model; the state stays as it was.
        """
        loaded = checkpoint.read(path)
        checkpoint.check_steps(path, loaded, by_sample=self._model.by_sample)
        checkpoint.check_identity(path, loaded.identity, self._model.identity())
        self._hold({name: loaded.tensors[name] for name in self._model.initial})
        self._steps, self._next_sample = loaded.steps, loaded.next_sample

    def export_inference(self, f: str | os.PathLike[str] | None = None) -> onnx.ModelProto:
        """The trained model, x -> output in eval mode, as `ort_rrelu.graph.portable` makes it.

        Args:
            f: where it goes, written all or nothing; None only returns it.
        """
        if f is not None:
            check_target(f)
        weights = {name: _copy(self._now[name]) for name in self._model.model_state}
        model = portable(inference_model(self._model.graph, weights))
        if f is not None:
            write_model(model, f)
        return model


class _BatchCheck:
    """What the inputs x and y of a graph may be: dtypes, and shapes with names for what is free."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        inputs = {value.name: value.type.tensor_type for value in graph.input if value.name in {X, Y}}
        self._dtypes = {n: onnx.helper.tensor_dtype_to_np_dtype(t.elem_type) for n, t in inputs.items()}
        self._shapes = {name: declared_shape(kind) for name, kind in inputs.items()}

    def check(self, x: ArrayLike, y: ArrayLike | None = None) -> dict[str, Array]:
        """The batch as arrays by name; dtypes are never converted."""
        given = {X: x} if y is None else {X: x, Y: y}
        wanted = {name: value for name, value in given.items() if name in self._dtypes}
        batch = {name: np.ascontiguousarray(as_ndarray(value, name)) for name, value in wanted.items()}
        sizes: dict[str, int] = {}
        for name, array in batch.items():
            if array.dtype != self._dtypes[name]:
                raise InvalidTypeError(f"{name} has dtype {array.dtype}: it must be {self._dtypes[name]}")
            self._check_shape(name, array, sizes)
        return batch

    def _check_shape(self, name: str, array: Array, sizes: dict[str, int]) -> None:
        """sizes: of the free dimensions that were met so far."""
        wanted = self._shapes[name]
        for size, dimension in zip(array.shape, wanted, strict=False):
            if isinstance(dimension, str):
                sizes.setdefault(dimension, size)
        empty = any(sizes.get(str(dimension)) == 0 for dimension in wanted)
        if empty or not fits(array.shape, wanted, sizes):
            shape = ", ".join(f"{d}={sizes[d]}" if sizes.get(str(d)) else str(d) for d in map(str, wanted))
            raise InvalidValueError(f"{name} has shape {list(array.shape)}: it must be [{shape}]")


def _run_bound(session: Any, binding: Any) -> None:
    try:
        session.run_with_iobinding(binding)
    except RuntimeError as error:
        if not re.search("Gather|Scatter", str(error)):
            raise
        raise InvalidValueError(
            f"a label or another index of the batch is below 0 or too large; the state is as it was ({error})"
        ) from error


def _read(path: str | os.PathLike[str]) -> onnx.ModelProto:
    return read_model(Path(path), external_data=True)


def _ort_value(value: Array) -> Any:
    """In memory of the runtime's own: ortvalue_from_numpy may keep NumPy's."""
    from onnxruntime import OrtValue  # ort_rrelu.runtime has said so where it is missing

    owned = OrtValue.ortvalue_from_shape_and_type(value.shape, value.dtype)
    owned.update_inplace(np.ascontiguousarray(value).reshape(value.shape))
    return owned


def _scalar(value: float) -> Any:
    return _ort_value(np.asarray(value, np.int64 if isinstance(value, int) else np.float64))


def _copy(value: Any) -> Array:
    array: Array = np.array(value.numpy())
    return array
