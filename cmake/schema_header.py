"""Writes schema.h from schema.json, so that C++ and Python read the op's signature from one place.

usage: schema_header.py schema.json schema.h
"""

import json
import sys
from pathlib import Path

# ONNX's TensorProto.DataType, which ONNXTensorElementDataType repeats.
ELEMENT = {"float": 1, "uint8": 2, "int64": 7, "float16": 10, "double": 11, "bfloat16": 16}


def element(kind: str) -> str:
    """A type of its own as its number; a variable as its place among the variables, which a kernel binds."""
    return f"{{{ELEMENT[kind]}, kNoVariable}}" if kind in ELEMENT else f"{{0, k{kind}}}"


def values(name: str, items: list[dict]) -> str:
    rows = ", ".join(
        f'{{"{i["name"]}", {element(i["type"])}, {str(i.get("optional", False)).lower()}}}' for i in items
    )
    return f"  static constexpr Value {name}[] = {{{rows}}};"


def default(attribute: dict) -> str:
    name = attribute["name"].capitalize()
    if attribute["type"] == "float":
        return f"  static constexpr float kDefault{name} = {float(attribute['default'])!r}f;"
    return f"  static constexpr int64_t kDefault{name} = {attribute['default']};"


def op(name: str, spec: dict) -> str:
    lines = [f"struct {name} {{", f'  static constexpr const char* kName = "{name}";']
    lines += [values("kInputs", spec["inputs"]), values("kOutputs", spec["outputs"])]
    lines += [default(a) for a in spec["attributes"]]
    return "\n".join([*lines, "};"])


def header(schema: dict) -> str:
    variables = ", ".join(f"k{variable}" for variable in schema["types"])
    element_types = ", ".join(str(ELEMENT[t]) for t in schema["types"]["T"])
    return "\n".join(
        [
            "// Generated from schema.json by cmake/schema_header.py.",
            "#pragma once",
            "#include <cstdint>",
            "namespace ort_rrelu::schema {",
            f"enum Variable {{ {variables}, kVariables, kNoVariable = kVariables }};",
            "struct Type { int element; Variable variable; };",
            "struct Value { const char* name; Type type; bool optional; };",
            f'inline constexpr const char* kDomain = "{schema["domain"]}";',
            f"inline constexpr int kVersion = {schema['version']};",
            f"inline constexpr int kElementTypes[] = {{{element_types}}};",
            *(op(name, spec) for name, spec in schema["ops"].items()),
            "}  // namespace ort_rrelu::schema",
            "",
        ]
    )


if __name__ == "__main__":
    source, target = sys.argv[1:]
    Path(target).write_text(header(json.loads(Path(source).read_text("utf-8"))), "utf-8")
