"""A device identity of the protocol: an Ed25519 key (RFC 8032) and what it signs of a `connect`.

Rule: for tests. Not in constant time, so never for a key that protects anything.
"""

import base64
import hashlib
import secrets
import time


class Device:
    """A key of its own. `id` is what a gateway knows the device by."""

    def __init__(self, seed: bytes = b""):
        wide = hashlib.sha512(seed or secrets.token_bytes(32)).digest()
        self._scalar = (int.from_bytes(wide[:32], "little") & ((1 << 254) - 8)) | (1 << 254)
        self._prefix = wide[32:]
        self.key = packed(times(self._scalar, BASE))
        self.id = hashlib.sha256(self.key).hexdigest()

    def sign(self, text: bytes) -> bytes:
        nonce = number(self._prefix, text)
        point = packed(times(nonce, BASE))
        proof = (nonce + number(point, self.key, text) * self._scalar) % ORDER
        return point + proof.to_bytes(32, "little")

    def proof(self, nonce: str, connect: dict) -> dict:
        """The `device` of a `connect` that holds everything else."""
        client, signed = connect["client"], int(time.time() * 1000)
        auth = connect.get("auth", {})
        words = ("v2", self.id, client["id"], client["mode"], connect["role"], ",".join(connect["scopes"]), str(signed),
                 auth.get("token") or auth.get("deviceToken") or "", nonce)
        signature = self.sign("|".join(words).encode())
        return {"id": self.id, "publicKey": text(self.key), "signature": text(signature), "signedAt": signed,
                "nonce": nonce}


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def number(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % ORDER


def packed(point: tuple) -> bytes:
    x, y, z, _ = point
    inverse = pow(z, PRIME - 2, PRIME)
    x, y = x * inverse % PRIME, y * inverse % PRIME
    return (y | (x & 1) << 255).to_bytes(32, "little")


def times(factor: int, point: tuple) -> tuple:
    total = (0, 1, 1, 0)
    while factor:
        if factor & 1:
            total = plus(total, point)
        point = plus(point, point)
        factor >>= 1
    return total


def plus(one: tuple, two: tuple) -> tuple:
    """The sum in extended coordinates (RFC 8032, 5.1.4)."""
    a = (one[1] - one[0]) * (two[1] - two[0]) % PRIME
    b = (one[1] + one[0]) * (two[1] + two[0]) % PRIME
    c = 2 * one[3] * two[3] * CURVE % PRIME
    d = 2 * one[2] * two[2] % PRIME
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % PRIME, g * h % PRIME, f * g % PRIME, e * h % PRIME


PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
CURVE = -121665 * pow(121666, PRIME - 2, PRIME) % PRIME
BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
BASE_Y = 4 * pow(5, PRIME - 2, PRIME) % PRIME
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % PRIME)
