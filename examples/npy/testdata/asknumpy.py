"""What the tests ask NumPy.

asknumpy.py make FOLDER   makes files, and prints what NumPy knows of each
asknumpy.py load         loads the files whose names it reads, and prints what is in them
asknumpy.py accept        prints whether NumPy accepts each header that it reads
"""

import io
import json
import sys
import warnings

try:
    import numpy as np
    from numpy.lib import format
except ImportError as e:
    sys.exit(f"no NumPy: {e}")

warnings.simplefilter("ignore")


def statistics(part):
    good = part[~np.isnan(part)] if part.dtype.kind == "f" else part
    result = {"count": str(part.size), "NaN": str(part.size - good.size)}
    if good.size:
        exact = float if part.dtype.kind == "f" else int
        wide = good.astype(np.float64)
        result |= {
            "min": str(exact(good.min())),
            "max": str(exact(good.max())),
            "mean": str(float(wide.mean())),
            "std": str(float(wide.std())),
        }
    return result


def facts(name):
    a = np.load(name)
    order = "F" if a.flags.f_contiguous and not a.flags.c_contiguous else "C"
    flat = a.ravel(order=order)
    if a.dtype.kind == "c":
        parts = [flat.real, flat.imag]
    else:
        parts = [flat.view(np.uint8) if a.dtype.kind == "b" else flat]
    return {
        "name": name,
        "shape": str(a.shape),
        "descr": a.dtype.str,
        "order": order,
        "parts": [statistics(part) for part in parts],
        "bytes": flat.astype(a.dtype.newbyteorder("<")).tobytes().hex() if a.size < 1000 else "",
        "strides": [s // a.itemsize for s in a.strides],
    }


def values(rng, dtype, shape):
    count = int(np.prod(shape))
    raw = rng.bytes(count * np.dtype(dtype).itemsize)
    if dtype[1] == "b":
        return np.frombuffer(raw, dtype="u1").reshape(shape) > 127
    if dtype[1] in "iu":
        return np.frombuffer(raw, dtype=dtype).reshape(shape)
    a = rng.standard_normal(shape) * 100
    if dtype[1] == "c":
        a = a + 1j * rng.standard_normal(shape)
    return a.astype(dtype)


def make(folder):
    rng = np.random.default_rng(1)
    shapes = [(), (0,), (1,), (7,), (3, 4), (3, 1, 5), (2, 0, 3), (2, 3, 4, 5)]
    large = [(40001,), (3, 33000)]
    types = ["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"]
    n = 0

    def save(a, version):
        nonlocal n
        name = f"{folder}/{n}.npy"
        n += 1
        with open(name, "wb") as f:
            format.write_array(f, a, version=version)
        print(json.dumps(facts(name)))

    for type in types:
        for order in "<>":
            for i, shape in enumerate(shapes + large * (type in ["i2", "f4", "c16"])):
                a = values(rng, order + type, shape)
                save(a, [(1, 0), (2, 0), (3, 0)][i % 3])
                if len(shape) > 1:
                    save(np.asfortranarray(a), (1, 0))
    for order in "<>":
        for type in ["f2", "f4", "f8"]:
            bits = np.arange(65536, dtype="u8") << (8 * int(type[1]) - 16)
            save(bits.astype(f"{order}u{type[1]}").view(order + type), (1, 0))  # every kind of float
            save(np.array([np.nan, 1, np.nan, -np.inf, np.inf], dtype=order + type), (1, 0))
            save(np.array([np.nan, np.nan], dtype=order + type), (1, 0))
            save(np.array([np.nan] * 40000 + [2, 4], dtype=order + type), (1, 0))


def accepts(header):
    """As np.load, for a file of the header and enough bytes after it."""
    text = header.encode("latin1")
    f = io.BytesIO(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(1000))
    try:
        format.read_array(f, allow_pickle=False)
    except Exception:
        return False
    return True


if sys.argv[1] == "make":
    make(sys.argv[2])
elif sys.argv[1] == "load":
    for name in json.load(sys.stdin):
        mapped = np.load(name, mmap_mode="r")
        assert np.array_equal(mapped, np.load(name), equal_nan=mapped.dtype.kind == "f")
        print(json.dumps(facts(name)))
elif sys.argv[1] == "accept":
    for header in json.load(sys.stdin):
        print(json.dumps(accepts(header)))
