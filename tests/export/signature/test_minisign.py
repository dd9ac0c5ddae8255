"""minisign's formats: read and written as the program itself does."""

import base64
import dataclasses
import os
import re
import shutil
import subprocess

import pytest

from podway.export.error import ExportError
from podway.export.signature import minisign
from podway.export.signature.minisign import PublicKey, SecretKey

CONTENT = b"the manifest of a version\n"


@pytest.fixture
def program():
    found = shutil.which("minisign")
    if found is None:
        pytest.skip("minisign is not installed: apt-get install minisign")

    def run(*arguments, code=0):
        done = subprocess.run([found, *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode == code, done
        return done.stdout + done.stderr

    return run


@pytest.fixture
def key():
    return SecretKey.new()


def signed(tmp_path, key, comment="shop/3"):
    path = tmp_path / "file.minisig"
    path.write_text(key.sign(CONTENT, comment))
    return path


def test_what_is_signed_is_found_and_its_comment_with_it(tmp_path, key):
    assert minisign.check(CONTENT, signed(tmp_path, key), key.public) == "shop/3"


def test_nothing_can_be_altered(tmp_path, key):
    path = signed(tmp_path, key)
    lines = path.read_text().splitlines()
    with pytest.raises(ExportError, match="altered"):
        minisign.check(CONTENT + b" ", path, key.public)
    for number, line in ((2, "trusted comment: shop/4"), (1, lines[3]), (3, lines[1])):
        path.write_text("\n".join([*lines[:number], line, *lines[number + 1 :]]))
        with pytest.raises(ExportError, match=re.escape(str(path))):
            minisign.check(CONTENT, path, key.public)
    both = bytearray(base64.b64decode(lines[1]))
    for at in (0, 1, 5, 20, 70):
        wrong = bytearray(both)
        wrong[at] ^= 1
        path.write_text("\n".join([lines[0], base64.b64encode(wrong).decode(), *lines[2:]]))
        with pytest.raises(ExportError):
            minisign.check(CONTENT, path, key.public)


def test_another_key_is_named(tmp_path, key):
    other = SecretKey.new()
    with pytest.raises(ExportError, match=r"is signed by key [0-9A-F]{16}, not by [0-9A-F]{16}"):
        minisign.check(CONTENT, signed(tmp_path, key), other.public)
    same_id = dataclasses.replace(other, id=key.id)
    with pytest.raises(ExportError, match="altered"):
        minisign.check(CONTENT, signed(tmp_path, key), same_id.public)


def test_a_pair_is_written_once_and_its_secret_is_its_owners(tmp_path):
    path = tmp_path / "publisher.key"
    public = minisign.write_pair(path)
    assert path.stat().st_mode & 0o777 == 0o600
    key = SecretKey.read(path)
    assert PublicKey.read(f"{path}.pub") == key.public == public
    assert "seed" not in repr(key)
    with pytest.raises(FileExistsError):
        minisign.write_pair(path)
    assert SecretKey.read(path) == key


def test_the_program_checks_what_is_signed_here(tmp_path, program):
    public = tmp_path / "key.pub"
    minisign.write_pair(tmp_path / "key")
    (tmp_path / "key.pub").replace(public)
    (tmp_path / "file").write_bytes(CONTENT)
    key = SecretKey.read(tmp_path / "key")
    (tmp_path / "file.minisig").write_text(key.sign(CONTENT, "shop/3"))
    assert "Trusted comment: shop/3" in program("-Vm", tmp_path / "file", "-p", public)
    (tmp_path / "file").write_bytes(CONTENT + b"!")
    program("-Vm", tmp_path / "file", "-p", public, code=1)
    # It signs with our key, too.
    program("-Sm", tmp_path / "file", "-s", tmp_path / "key", "-t", "shop/4")
    said = minisign.check(CONTENT + b"!", tmp_path / "file.minisig", key.public)
    assert said == "shop/4"


def test_what_the_program_signs_is_checked_here(tmp_path, program):
    file, own, public = tmp_path / "file", tmp_path / "own", tmp_path / "own.pub"
    program("-G", "-W", "-s", own, "-p", public)
    file.write_bytes(CONTENT)
    program("-Sm", file, "-s", own, "-t", "shop/3")
    key = PublicKey.read(public)
    assert minisign.check(CONTENT, f"{file}.minisig", key) == "shop/3"
    assert SecretKey.read(own).public == key
    assert SecretKey.read(own).text == own.read_text()
    os.remove(f"{file}.minisig")
    program("-Slm", file, "-s", own)
    with pytest.raises(ExportError, match="old kind"):
        minisign.check(CONTENT, f"{file}.minisig", key)


def test_what_is_no_key_is_named_and_not_quoted(tmp_path, key):
    path = tmp_path / "k"
    with pytest.raises(ExportError, match=r"k cannot be read as a public key: it does not exist"):
        PublicKey.read(path)
    for text in ("", "hello\nworld\n", "untrusted comment: x\n!!\n", key.text):
        path.write_text(text)
        with pytest.raises(ExportError, match=r"is no public key of minisign"):
            PublicKey.read(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ExportError, match="is no secret key of minisign"):
        SecretKey.read(path)
    comment, content = key.text.splitlines()
    locked = bytearray(base64.b64decode(content))
    locked[2:4] = b"Sc"
    path.write_text(f"{comment}\n{base64.b64encode(locked).decode()}\n")
    with pytest.raises(ExportError, match="has a password") as raised:
        SecretKey.read(path)
    assert content[:20] not in str(raised.value)
