"""Ed25519 against the test vectors of RFC 8032 and against OpenSSL."""

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from viewer.signature import is_signature, public_key_of, sign

RFC_8032 = [  # section 7.1: secret, public key, message, signature
    pytest.param(
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        id="test-1",
    ),
    pytest.param(
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        id="test-2",
    ),
    pytest.param(
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        id="test-3",
    ),
]


@pytest.mark.parametrize(("secret", "public", "message", "signature"), RFC_8032)
def test_the_vectors_of_the_rfc(secret, public, message, signature):
    seed, key, text, signed = (bytes.fromhex(one) for one in (secret, public, message, signature))
    assert public_key_of(seed) == key
    assert sign(seed, text) == signed
    assert is_signature(key, text, signed)
    assert not is_signature(key, text + b"!", signed)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.binary(min_size=32, max_size=32),
    message=st.binary(max_size=80),
    place=st.integers(0, 63),
    bit=st.integers(0, 7),
)
def test_no_bit_of_a_signature_can_be_flipped(seed, message, place, bit):
    signed = bytearray(sign(seed, message))
    key = public_key_of(seed)
    assert is_signature(key, message, bytes(signed))
    signed[place] ^= 1 << bit
    assert not is_signature(key, message, bytes(signed))


@pytest.mark.parametrize("signature", [b"", b"x" * 63, b"\xff" * 64, bytes(64)])
def test_what_is_no_signature_is_refused(signature):
    assert not is_signature(public_key_of(b"s" * 32), b"text", signature)
    assert not is_signature(b"short", b"text", signature)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl: bash tests/system-packages.sh")
def test_openssl_finds_the_signature_good(tmp_path):
    """`openssl pkeyutl -verify -rawin`, the public key wrapped as RFC 8410 says."""
    seed, message = bytes(range(32)), b"I am reader A."
    wrapped = bytes.fromhex("302a300506032b6570032100") + public_key_of(seed)
    files = {"key.der": wrapped, "text": message, "signature": sign(seed, message)}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    command = "openssl pkeyutl -verify -pubin -keyform DER -inkey key.der -rawin -in text -sigfile signature"
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "Signature Verified Successfully", done.stderr
