"""Makes the golden files of tests/files: what the packages safetensors 0.8, gguf 0.19 and torch 2.11 write and read.

    python make_goldens.py [SmolLM2-135M-Instruct.Q4_1.gguf]

all_types.safetensors    every plain type, written by safetensors.torch
all_types.gguf           every ggml type that is read, every metadata type, written by gguf.GGUFWriter
all_types_f32.safetensors  the same tensors, dequantised by gguf.quants.dequantize
random_blocks.json       checksums of thousands of random blocks of each quantised type, dequantised likewise
quantised.gguf           fp32 values, and what gguf.quants.quantize makes of them in each type that is written
conversions.safetensors  fp32 values, and their fp16, bf16, fp8 and block-scaled forms by torch
smollm2_checksums.json   of each dequantised tensor of the real file, with the argument only
"""
import json
import pathlib
import sys

import gguf
import numpy as np
import safetensors.numpy
import safetensors.torch
import torch

HERE = pathlib.Path(__file__).parent
QUANTISED = {  # type: bytes of a block, where its fp16 scales stand
    "Q4_0": (18, [0]), "Q4_1": (20, [0, 2]), "Q8_0": (34, [0]), "Q4_K": (144, [0, 2]), "Q6_K": (210, [208]),
}


def plain_types():
    """Tensors of every type; the sizes are odd so that offsets are worth checking."""
    raw = np.random.default_rng(1).integers(0, 256, 15 * 8, dtype=np.uint8)
    kinds = [torch.uint8, torch.int8, torch.float8_e5m2, torch.float8_e4m3fn, torch.int16, torch.uint16, torch.float16,
             torch.bfloat16, torch.int32, torch.uint32, torch.float32, torch.float64, torch.int64, torch.uint64]
    tensors = {"layer.bool": torch.from_numpy(raw[:15] & 1).bool().reshape(3, 5)}
    for kind in kinds:
        name = "layer." + str(kind).removeprefix("torch.")
        tensors[name] = torch.from_numpy(raw[: 15 * kind.itemsize].copy()).view(kind).reshape(3, 5)
    tensors |= {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 7), 'quote " and é': torch.ones(1, dtype=torch.uint8)}
    safetensors.torch.save_file(tensors, HERE / "all_types.safetensors", {"format": "pt"})


def random_blocks(kind, num_blocks, rng):
    width, scales = QUANTISED[kind]
    blocks = rng.integers(0, 256, (num_blocks, width), dtype=np.uint8)
    for at in scales:
        halves = rng.normal(0, 0.05, num_blocks).astype(np.float16)
        blocks[:, at : at + 2] = halves.view(np.uint8).reshape(-1, 2)
    return blocks


def gguf_types():
    rng = np.random.default_rng(2)
    writer = gguf.GGUFWriter(HERE / "all_types.gguf", "llama")
    for bits in (8, 16, 32, 64):
        getattr(writer, f"add_uint{bits}")(f"test.u{bits}", 2**bits - 1)
        getattr(writer, f"add_int{bits}")(f"test.i{bits}", -(2 ** (bits - 1)))
    writer.add_float32("test.f32", 1e-5)
    writer.add_float64("test.f64", 0.1)
    writer.add_bool("test.yes", True)
    writer.add_bool("test.no", False)
    writer.add_string("test.text", "naïve “text”\n")
    writer.add_array("test.texts", ["a", "", "ü"])
    writer.add_array("test.numbers", [1, -2, 3])
    writer.add_array("test.nested", [[1, 2], [3]])
    expected = {}
    values = rng.normal(0, 1, (3, 8)).astype(np.float32)
    values[0, :4] = [0.0, -0.0, np.inf, 6e-8]
    for name, data, raw in [
        ("F32", values, None),
        ("F16", values.astype(np.float16), None),
        ("BF16", gguf.quants.quantize(values, gguf.GGMLQuantizationType.BF16), gguf.GGMLQuantizationType.BF16),
    ]:
        writer.add_tensor(name, data, raw_dtype=raw)
        expected[name] = gguf.quants.dequantize(data, raw) if raw else data.astype(np.float32)
    for name in QUANTISED:
        kind = gguf.GGMLQuantizationType[name]
        data = random_blocks(name, 6, rng).reshape(2, -1)
        writer.add_tensor(name, data, raw_dtype=kind)
        expected[name] = gguf.quants.dequantize(data, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    safetensors.numpy.save_file(expected, HERE / "all_types_f32.safetensors")


def random_bytes(seed, count):
    """Byte i is the top byte of splitmix64's i-th number."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(56)).astype(np.uint8)


def many_blocks():
    """Of any bits, but for scales that are no numbers: their second highest bit is cleared."""
    sums = {}
    for seed, (name, (width, scales)) in enumerate(QUANTISED.items()):
        blocks = random_bytes(seed, 5000 * width).reshape(5000, width)
        for at in scales:
            blocks[:, at + 1] &= 0xBF
        sums[name] = f"{checksum(gguf.quants.dequantize(blocks.reshape(-1), gguf.GGMLQuantizationType[name])):016x}"
    (HERE / "random_blocks.json").write_text(json.dumps(sums, indent=0) + "\n")


def quantised():
    rng = np.random.default_rng(4)
    values = (rng.normal(0, 1, (48, 64)) * np.exp2(rng.integers(-30, 12, (48, 1)))).astype(np.float32)
    values[0], values[1, :32], values[2, 5] = 0, np.arange(-16, 16), -300.0
    values[3] = np.arange(64) + 0.5  # halves, once divided by the scale or not
    values[4, 0], values[4, 1:] = 127.0, np.arange(63) - 31.5
    writer = gguf.GGUFWriter(HERE / "quantised.gguf", "llama")
    for name in ("F32", "F16", "BF16", "Q8_0"):
        kind = gguf.GGMLQuantizationType[name]
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def conversions():
    torch.manual_seed(3)
    bits = torch.randint(-(2**31), 2**31, (1000,), dtype=torch.int64).to(torch.int32)
    halves = torch.randint(-(2**15), 2**15, (300,), dtype=torch.int32).to(torch.int16).view(torch.float16).float()
    next_halves = (halves.half().view(torch.int16) + 1).view(torch.float16).float()
    ties = (halves + next_halves) / 2
    scaled = torch.randn(1000) * torch.exp2(torch.randint(-28, 18, (1000,)).float())
    edges = torch.tensor([0.0, -0.0, 65504.0, 65519.99, 65520.0, 2.0**-24, 2.0**-25, 3 * 2.0**-25, 2.0**-14,
                          2.0**-14 - 2.0**-25, 1 + 2.0**-11, 1 + 3 * 2.0**-11, 1 + 2.0**-8, 1 + 3 * 2.0**-8,
                          3.4e38, float("inf"), -float("inf")])
    values = torch.cat([bits.view(torch.float32), ties, scaled, edges])
    values = values[~torch.isnan(values)].contiguous()
    fp8 = torch.arange(256, dtype=torch.int32).to(torch.uint8)
    tensors = {"f32": values, "f16": values.half(), "bf16": values.bfloat16(),
               "f16_f32": torch.arange(-(2**15), 2**15, 31, dtype=torch.int32).to(torch.int16).view(torch.float16),
               "e4m3": fp8.view(torch.float8_e4m3fn), "e4m3_f32": fp8.view(torch.float8_e4m3fn).float(),
               "e5m2": fp8.view(torch.float8_e5m2), "e5m2_f32": fp8.view(torch.float8_e5m2).float()}
    tensors["f16_f32_expected"] = tensors["f16_f32"].float()
    for name, shape in {"tall": (130, 3), "wide": (2, 257), "exact": (128, 2)}.items():
        weight = (torch.randn(shape) * 50).to(torch.float8_e4m3fn)
        scale = torch.rand([(size + 127) // 128 for size in shape])
        whole = scale.repeat_interleave(128, 0).repeat_interleave(128, 1)[: shape[0], : shape[1]]
        tensors |= {f"{name}.weight": weight, f"{name}.weight_scale_inv": scale, f"{name}.expected": weight.float() * whole}
    safetensors.torch.save_file({k: v.clone() for k, v in tensors.items()}, HERE / "conversions.safetensors")


def checksum(values):
    """Sum of (i + 1) * bits_i modulo 2^64."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).reshape(-1).astype(np.uint64)
    return int((bits * np.arange(1, bits.size + 1, dtype=np.uint64)).sum(dtype=np.uint64))


def smollm2(path):
    reader = gguf.GGUFReader(path)
    sums = {t.name: f"{checksum(gguf.quants.dequantize(t.data, t.tensor_type)):016x}" for t in reader.tensors}
    (HERE / "smollm2_checksums.json").write_text(json.dumps(sums, indent=0, sort_keys=True) + "\n")


if __name__ == "__main__":
    plain_types()
    gguf_types()
    many_blocks()
    quantised()
    conversions()
    if len(sys.argv) > 1:
        smollm2(sys.argv[1])
