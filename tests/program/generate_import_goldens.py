"""Writes tests/program/golden/{trl,verl}_fields.json: every field of the peer's GRPO config, as [name, default, another value of
its kind]. TRL: GRPOConfig with all it inherits and the arguments of `trl grpo`; verl: the flat ppo_trainer.yaml it comes with.

Usage: python generate_import_goldens.py trl|verl [golden folder]      (trl 1.16.0 and transformers; verl 0.9.1)
"""
import dataclasses
import importlib.metadata
import importlib.util
import json
import pathlib
import sys


def another(default, annotation=""):
    """A value that the default is not; where that is None, one of the kind that the annotation names first."""
    if isinstance(default, bool):
        return not default
    if isinstance(default, (int, float)):
        return default + 1
    if isinstance(default, list):
        return ["other"]
    if isinstance(default, dict):
        return {"other": 1}
    kinds = {"bool": True, "int": 2, "float": 0.5, "list": ["other"], "dict": {"other": 1}}
    named = [kind for kind in kinds if default is None and kind in annotation]
    return kinds[min(named, key=annotation.find)] if named else "other"


def default_of(field):
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return None if default is dataclasses.MISSING else getattr(default, "value", default)


def trl_fields():
    from trl import GRPOConfig, ModelConfig
    from trl.scripts.grpo import GRPOScriptArguments
    from trl.scripts.utils import DatasetMixtureConfig

    fields = {f.name: (default_of(f), str(f.type)) for c in (GRPOConfig, ModelConfig, GRPOScriptArguments, DatasetMixtureConfig) for f in dataclasses.fields(c)}
    return [[name, default, another(default, annotation)] for name, (default, annotation) in fields.items()]


def leaves(value, name=""):
    if not isinstance(value, dict) or not value:
        yield [name, value, another(value)]
        return
    for key, inner in value.items():
        yield from leaves(inner, f"{name}.{key}" if name else key)


def verl_fields():
    import yaml

    package = pathlib.Path(importlib.util.find_spec("verl").origin).parent  # not imported: it takes seconds
    return list(leaves(yaml.safe_load((package / "trainer/config/_generated_ppo_trainer.yaml").read_text())))


peer = sys.argv[1]
packages = {"trl": ["trl", "transformers"], "verl": ["verl"]}[peer]
folder = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else pathlib.Path(__file__).parent / "golden")
content = {"source": {name: importlib.metadata.version(name) for name in packages}, "fields": {"trl": trl_fields, "verl": verl_fields}[peer]()}
(folder / f"{peer}_fields.json").write_text(json.dumps(content, allow_nan=False).replace("[[", "[\n[").replace("], [\"", "],\n[\"") + "\n")
