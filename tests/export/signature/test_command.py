"""`podway keys`, `sign` and `promote --verify-with`."""

from etils import epath

from podway.export import layout
from podway.export.signature import signed
from podway.export.signature.minisign import PublicKey
from tests.export.versions.test_publish import model, put, versions  # noqa: F401
from tests.launch.test_cli import podway


def test_a_version_is_signed_and_then_promoted(model, tmp_path):  # noqa: F811
    key, workdir = str(tmp_path / "publisher.key"), str(tmp_path / "w")
    done = podway("keys", "--key", key)
    assert done.returncode == 0
    assert PublicKey.read(f"{key}.pub").text.splitlines()[1] in done.stdout
    again = podway("keys", "--key", key)
    assert again.returncode == 1
    assert f"{key} is there already; give another --key" in again.stderr

    for _ in range(2):
        put(model, workdir, "shop")
    only = ("--verify-with", f"{key}.pub", "--workdir", workdir)
    refused = podway("promote", "shop", "1", *only)
    assert refused.returncode == 1
    assert "shop/1 is not signed" in refused.stderr
    assert versions(workdir, "shop") == (2,)

    done = podway("sign", "shop", "1", "--key", key, "--workdir", workdir)
    assert "export.json.minisig: signed as shop/1" in done.stdout
    signed.check(epath.Path(workdir) / "models/shop/1", "shop/1", PublicKey.read(f"{key}.pub"))
    assert podway("promote", "shop", "1", *only).returncode == 0
    assert versions(workdir, "shop") == (1,)


def test_what_is_not_whole_is_not_signed(model, tmp_path):  # noqa: F811
    key, workdir = str(tmp_path / "k"), str(tmp_path / "w")
    podway("keys", "--key", key)
    version = put(model, workdir, "shop")
    (version / "saved_model.pb").write_text("another")
    for number, said in (("1", "saved_model.pb has 7 bytes"), ("2", "shop/2 does not exist")):
        done = podway("sign", "shop", number, "--key", key, "--workdir", workdir)
        assert done.returncode == 1
        assert said in done.stderr
    assert not (version / layout.SIGNATURE).exists()
    done = podway("export", "movielens_sasrec", "--sign", str(tmp_path / "none"))
    assert done.returncode == 1
    assert "none cannot be read as a secret key: it does not exist" in done.stderr
