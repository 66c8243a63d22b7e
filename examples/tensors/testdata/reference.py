# What the format's own implementation (in Rust) makes of files. It is called by the
# script "reference" beside it:
#
#     reference write DIR     writes files, and beside each one what Python reads from it
#     reference read FILE...  prints as JSON what is in each file, or that it is refused
import json, math, struct, sys
import safetensors

def pack(code, values):
    return struct.pack("<%d%s" % (len(values), code), *values)

def bfloat16(values):
    return b"".join(struct.pack("<f", x)[2:] for x in values)

SETS = {
    "every": {
        "f64": ("float64", [2, 2], pack("d", [1.5, -2.25, math.pi, 1e300])),
        "f32": ("float32", [3], pack("f", [0.1, 1e-40, -3.4e38])),
        "f16": ("float16", [2, 3], pack("e", [1, -2, 65504, 2**-24, 2**-14, 0.333251953125])),
        "bf16": ("bfloat16", [1, 4], bfloat16([1, -2, 3.140625, 2.0**100])),
        "i64": ("int64", [2], pack("q", [-(2**63), 5])),
        "i32": ("int32", [2], pack("i", [-(2**31), 5])),
        "i16": ("int16", [2], pack("h", [-(2**15), 5])),
        "i8": ("int8", [3], pack("b", [-128, 127, 5])),
        "u64": ("uint64", [2], pack("Q", [2**64 - 1, 5])),
        "u32": ("uint32", [2], pack("I", [2**32 - 1, 5])),
        "u16": ("uint16", [2], pack("H", [2**16 - 1, 5])),
        "u8": ("uint8", [3], pack("B", [255, 254, 5])),
        "bool": ("bool", [5], b"\1\0\1\1\0"),
        "f8": ("float8_e4m3fn", [2], b"\x38\x40"),
        "one": ("float32", [], pack("f", [7])),
        "none": ("float32", [3, 0, 2], b""),
        "ünï \"cöde\"\n\u202e\U0001f600": ("uint8", [1], b"\1"),
    },
    "empty": {},
}
CODES = {"float64": "d", "float32": "f", "float16": "e", "int64": "q", "int32": "i", "int16": "h", "int8": "b",
         "uint64": "Q", "uint32": "I", "uint16": "H", "uint8": "B", "bool": "B"}

def total(dtype, data):
    if dtype == "bfloat16":
        data, dtype = b"".join(b"\0\0" + data[i:i + 2] for i in range(0, len(data), 2)), "float32"
    if dtype not in CODES:
        return None
    return float(sum(map(float, (x for x, in struct.iter_unpack("<" + CODES[dtype], data)))))

def write(directory):
    for name, tensors in SETS.items():
        base = directory + "/" + name
        data = {k: {"dtype": d, "shape": s, "data": b} for k, (d, s, b) in tensors.items()}
        safetensors.serialize_file(data, base + ".safetensors", {"format": "pt"})
        sums = {k: total(d, b) for k, (d, s, b) in tensors.items()}
        with open(base + ".json", "w") as f:
            json.dump(dict(read(base + ".safetensors"), sums=sums), f, indent=1)
            f.write("\n")

def read(name):
    with open(name, "rb") as f:
        data = f.read()
    try:
        tensors = safetensors.deserialize(data)
    except safetensors.SafetensorError as e:
        return {"refused": str(e)}
    return {"tensors": {k: {"type": t["dtype"], "shape": list(t["shape"]), "hex": bytes(t["data"]).hex()} for k, t in sorted(tensors)}}

if sys.argv[1] == "write":
    write(sys.argv[2])
else:
    for name in sys.argv[2:]:
        print(json.dumps(read(name)))
