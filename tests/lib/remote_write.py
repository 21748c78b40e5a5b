"""Remote write 1.0 as a receiver reads it; independent of the product's codec."""
import struct

import snappy


def varint(b, i):
    v = shift = 0
    while True:
        c = b[i]
        i += 1
        v |= (c & 0x7F) << shift
        if c < 0x80:
            return v, i
        shift += 7


def fields(b):
    i = 0
    while i < len(b):
        tag, i = varint(b, i)
        kind = tag & 7
        if kind == 0:
            v, i = varint(b, i)
        elif kind == 1:
            v, i = b[i:i + 8], i + 8
        elif kind == 2:
            n, i = varint(b, i)
            v, i = b[i:i + n], i + n
            if len(v) != n:
                raise ValueError("cut off")
        elif kind == 5:
            v, i = b[i:i + 4], i + 4
        else:
            raise ValueError(f"wire type {kind}")
        yield tag >> 3, v


def signed(v):
    return v - (1 << 64) if v >> 63 else v


def decode(body, compressed=True):
    """[(labels as a tuple of pairs in order of arrival, [(timestamp ms, value)])]"""
    raw = snappy.uncompress(body) if compressed else body
    out = []
    for field, series in fields(raw):
        if field != 1:
            raise ValueError(f"field {field} in WriteRequest")
        labels, samples = [], []
        for f, v in fields(series):
            if f == 1:
                pair = dict(fields(v))
                labels.append((pair.get(1, b"").decode(), pair.get(2, b"").decode()))
            elif f == 2:
                s = dict(fields(v))
                samples.append((signed(s.get(2, 0)), struct.unpack("<d", s.get(1, bytes(8)))[0]))
        out.append((tuple(labels), samples))
    return out


def faults(decoded):
    """What a strict receiver would refuse in a decoded request: a list of sentences."""
    bad = []
    for labels, samples in decoded:
        names = [n for n, _ in labels]
        if names != sorted(names, key=str.encode):
            bad.append(f"labels not sorted: {names}")
        if len(set(names)) != len(names):
            bad.append(f"label repeated: {names}")
        if "__name__" not in names or "" in [v for _, v in labels]:
            bad.append(f"name missing or value empty: {labels}")
        if not samples or [t for t, _ in samples] != sorted({t for t, _ in samples}):
            bad.append(f"samples absent or not ascending: {labels} {samples}")
    return bad
