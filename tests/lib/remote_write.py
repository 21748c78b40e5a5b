"""Remote write 1.0 and 2.0 as a receiver reads them; independent of the product's codec."""
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


def packed(v):
    out, i = [], 0
    while i < len(v):
        n, i = varint(v, i)
        out.append(n)
    return out


def decode2(body):
    """[(labels, samples, (type, help, unit) or None)] of a 2.0 request; the first two as in decode. Raises at what breaks its rules."""
    symbols, series, out = [], [], []
    for field, v in fields(snappy.uncompress(body)):
        if field not in (4, 5):
            raise ValueError(f"field {field} in Request")
        (symbols if field == 4 else series).append(v.decode() if field == 4 else v)
    if symbols[0] != "" or len(set(symbols)) != len(symbols):
        raise ValueError("a symbol twice, or the first is not empty")
    for one in series:
        refs, samples, metadata = [], [], None
        for f, v in fields(one):
            if f == 1:
                refs += packed(v)
            elif f == 2:
                s = dict(fields(v))
                if set(s) - {1, 2}:
                    raise ValueError(f"fields {set(s)} in Sample")
                samples.append((signed(s.get(2, 0)), struct.unpack("<d", s.get(1, bytes(8)))[0]))
            elif f == 5 and metadata is None:
                m = dict(fields(v))
                metadata = (m.get(1, 0), symbols[m.get(3, 0)], symbols[m.get(4, 0)])
            else:
                raise ValueError(f"field {f} in TimeSeries")
        texts = [symbols[r] for r in refs]
        out.append((tuple(zip(texts[::2], texts[1::2], strict=True)), samples, metadata))
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
