"""Deterministic record contents for the ArrayRecord golden files.

records(recipe) -> list[bytes].  A recipe is a dict with a "kind" and integer
parameters, exactly as stored in manifest.json.  Pure standard library.

Pseudo-random source: a 64-bit LCG
    x <- (x * 6364136223846793005 + 1442695040888963407) mod 2**64
started from x = seed; next byte = x >> 56; next bounded integer below n =
(x >> 33) % n.
"""

M = (1 << 64) - 1


class Lcg:
    def __init__(self, seed):
        self.x = seed & M

    def step(self):
        self.x = (self.x * 6364136223846793005 + 1442695040888963407) & M
        return self.x

    def below(self, n):
        return (self.step() >> 33) % n

    def bytes(self, n):
        return bytes(self.step() >> 56 for _ in range(n))


def varint(v):
    out = bytearray()
    while v >= 0x80:
        out.append((v & 0x7F) | 0x80)
        v >>= 7
    out.append(v)
    return bytes(out)


def f_varint(num, v):
    return varint(num << 3) + varint(v)


def f_bytes(num, b):
    return varint(num << 3 | 2) + varint(len(b)) + b


def f_fixed32(num, b):
    return varint(num << 3 | 5) + b


def f_fixed64(num, b):
    return varint(num << 3 | 1) + b


def f_group(num, body):
    return varint(num << 3 | 3) + body + varint(num << 3 | 4)


WORDS = (
    b"lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod "
    b"tempor incididunt ut labore et dolore magna aliqua enim minim veniam"
).split()


def text(rng, nwords):
    return b" ".join(WORDS[rng.below(len(WORDS))] for _ in range(nwords))


def proto(rng, depth, fields, wide):
    """One random message in canonical protobuf wire format."""
    out = b""
    for _ in range(rng.below(fields) + 1):
        num = rng.below(wide) + 1
        kind = rng.below(8)
        if kind == 0:
            out += f_varint(num, rng.below(6))
        elif kind == 1:
            out += f_varint(num, rng.step() >> (rng.below(9) * 7))
        elif kind == 2:
            out += f_fixed32(num, rng.bytes(4))
        elif kind == 3:
            out += f_fixed64(num, rng.bytes(8))
        elif kind == 4:
            out += f_bytes(num, text(rng, rng.below(4) + 1))
        elif kind == 5:
            out += f_bytes(num, rng.bytes(rng.below(10)))
        elif kind == 6 and depth > 0:
            out += f_bytes(num, proto(rng, depth - 1, fields, wide))
        elif kind == 7 and depth > 0:
            out += f_group(num, proto(rng, depth - 1, fields, wide))
    return out


def example(rng):
    """A message shaped like tf.train.Example (map of named feature lists)."""
    feats = b""
    ints = b"".join(varint(rng.below(70000)) for _ in range(rng.below(12) + 1))
    feats += f_bytes(1, f_bytes(1, b"label") + f_bytes(2, f_bytes(3, f_bytes(1, ints))))
    flts = rng.bytes(4 * (rng.below(6) + 1))
    feats += f_bytes(1, f_bytes(1, b"weights") + f_bytes(2, f_bytes(2, f_bytes(1, flts))))
    feats += f_bytes(1, f_bytes(1, b"text") + f_bytes(2, f_bytes(1, f_bytes(1, text(rng, rng.below(20) + 1)))))
    return f_bytes(1, feats)


def records(r):
    k = r["kind"]
    n = r.get("n", 0)
    rng = Lcg(r.get("seed", 0))
    if k == "none":
        return []
    if k == "empty":  # n empty records
        return [b""] * n
    if k == "counter":  # b"record-000000", b"record-000001", ...
        return [b"record-%06d" % i for i in range(n)]
    if k == "decimal":  # b"0", b"1", ...
        return [b"%d" % i for i in range(n)]
    if k == "text":  # words, 1..max words each
        return [text(rng, rng.below(r["max"]) + 1) for _ in range(n)]
    if k == "random":  # incompressible, length 0..max-1
        return [rng.bytes(rng.below(r["max"])) for _ in range(n)]
    if k == "fill":  # explicit lengths, all bytes equal to (seed + i) & 255
        return [bytes([(r.get("seed", 0) + i) & 255]) * s for i, s in enumerate(r["sizes"])]
    if k == "random_sizes":  # explicit lengths, incompressible
        return [rng.bytes(s) for s in r["sizes"]]
    if k == "tile":  # explicit lengths, a repeated 1000-byte random tile (compressible)
        tile = rng.bytes(1000)
        return [(tile * (s // 1000 + 1))[:s] for s in r["sizes"]]
    if k == "far_repeat":  # one record: random head, filler, same head again (long-distance match)
        head = rng.bytes(r["head"])
        return [head + b"." * r["gap"] + head]
    if k == "every_byte":  # 256 one-byte records
        return [bytes([i]) for i in range(256)]
    if k == "growing":  # lengths 0,1,2,..,n-1 of letters
        return [bytes(97 + (j % 26) for j in range(i)) for i in range(n)]
    if k == "proto":
        return [proto(rng, r["depth"], r["fields"], r["wide"]) for _ in range(n)]
    if k == "example":
        return [example(rng) for _ in range(n)]
    if k == "proto_mixed":  # proto, random bytes, empty and almost-proto mixed
        out = []
        for i in range(n):
            c = rng.below(6)
            if c < 3:
                out.append(proto(rng, 3, 6, 12))
            elif c == 3:
                out.append(rng.bytes(rng.below(40)))
            elif c == 4:
                out.append(b"")
            else:  # non-canonical varint value: not a canonical proto
                out.append(b"\x08\x81\x00")
        return out
    if k == "proto_edge":  # hand-picked wire-format corner cases
        deep = b""
        for _ in range(120):
            deep = f_bytes(1, deep)
        gdeep = b""
        for _ in range(105):
            gdeep = f_group(2, gdeep)
        big = (1 << 29) - 1
        return [
            b"",
            f_varint(1, 0),
            f_varint(1, 3),
            f_varint(1, 4),
            f_varint(1, 127),
            f_varint(1, 128),
            f_varint(1, (1 << 64) - 1),
            f_varint(big, 5),
            f_fixed32(big, b"abcd"),
            f_fixed64(16, b"abcdefgh"),
            f_bytes(2, b""),
            f_bytes(2, b"plain"),
            f_bytes(2, f_varint(1, 7)),
            f_bytes(2, f_bytes(2, f_bytes(2, b""))),
            f_group(3, b""),
            f_group(3, f_varint(1, 9) + f_group(4, b"")),
            b"\x1b",
            b"\x1c",
            b"\x1b\x24",
            f_bytes(5, b"\xff" * 300),
            b"\x0a\x05ab",
            b"\x07",
            b"\x06",
            b"\x00",
            b"\x08",
            b"\x88\x00\x01",
            b"\x08\x80\x00",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
            deep,
            gdeep,
            f_varint(1, 1) * 50,
            b"".join(f_varint(i + 1, 1 << (i * 7)) for i in range(9)),
            f_bytes(15, b"".join(f_varint(7, v) for v in range(140))),
        ]
    if k == "proto_wide":  # many distinct fields -> state machine far above 64 states
        out = []
        for i in range(n):
            b = b""
            for j in range(r["per"]):
                num = 1 + (i * r["per"] + j * 7 + rng.below(3)) % r["wide"]
                c = num % 4
                if c == 0:
                    b += f_varint(num, rng.below(1 << 20))
                elif c == 1:
                    b += f_fixed32(num, rng.bytes(4))
                elif c == 2:
                    b += f_bytes(num, b"v%d" % rng.below(1000))
                else:
                    b += f_bytes(num, f_varint(1 + rng.below(3), rng.below(5)))
            out.append(b)
        return out
    raise ValueError(k)
