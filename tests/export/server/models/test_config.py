import pytest

from podway.export.server.error import ServerError
from podway.export.server.models import config

CONFIG = """
model_config_list {
  config { name: "a" base_path: "/models/a" model_platform: "tensorflow"
           model_version_policy { specific { versions: [3, 5] } }
           version_labels { key: "stable" value: 3 } }
  config { name: "b" base_path: "gs://bucket/b" model_platform: "tensorflow" }
  config { name: "c" base_path: "/models/c" model_platform: "tensorflow"
           model_version_policy { latest { num_versions: 2 } } }
  config { name: "d" base_path: "/models/d" model_platform: "tensorflow"
           model_version_policy { all {} } }
}
"""


@pytest.fixture
def file(tmp_path):
    return tmp_path / "models.config"


def test_reads_every_policy(file):
    file.write_text(CONFIG)
    models = config.read(file)
    assert [(m.versions, m.latest) for m in models.values()] == [
        ((3, 5), 1),
        (None, 1),
        (None, 2),
        (None, None),
    ]
    assert models["a"].labels == {"stable": 3}
    assert str(models["b"].base_path) == "gs://bucket/b"


def one(name="m", path="/m", platform="tensorflow", more=""):
    return f'config {{ name: "{name}" base_path: "{path}" model_platform: "{platform}" {more} }}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model_config_list { config {", "not a model server configuration"),
        ("", "no model_config_list"),
        (
            f"model_config_list {{ {one()} {one()} }}",
            "Illegal to list model m multiple times in config list",
        ),
        (f"model_config_list {{ {one(name='')} }}", "without a name"),
        (
            f"model_config_list {{ {one(path='m')} }}",
            r"Expected model m to have an absolute path or URI; got base_path\(\)=m",
        ),
        (
            f"model_config_list {{ {one(more='model_type: TENSORFLOW')} }}",
            "Illegal setting both ModelServerConfig::model_type .* model name is m",
        ),
        (f"model_config_list {{ {one(platform='onnx')} }}", "'onnx'"),
        (
            f"model_config_list {{ {one(more='model_version_policy { specific {} }')} }}",
            "has no versions",
        ),
    ],
)
def test_a_config_that_cannot_be_used_is_one_sentence(file, text, said):
    file.write_text(text)
    with pytest.raises(ServerError, match=said) as raised:
        config.read(file)
    assert str(file) in str(raised.value)


def test_the_old_spelling_of_the_platform(file):
    file.write_text(
        'model_config_list { config { name: "m" base_path: "/m" model_type: TENSORFLOW } }'
    )
    assert list(config.read(file)) == ["m"]
    file.write_text('model_config_list { config { name: "m" base_path: "/m" } }')
    with pytest.raises(ServerError, match="Illegal setting neither ModelServerConfig::model_type"):
        config.read(file)


def test_a_mistake_in_a_config_is_named_by_line_and_column(file):
    file.write_text('model_config_list {\n  config { nam: "m" }\n}')
    with pytest.raises(ServerError, match=r'2:12 .*no field named "nam"'):
        config.read(file)


def test_a_missing_config_is_named(file):
    with pytest.raises(ServerError, match=r"models\.config does not exist"):
        config.read(file)


def test_versions_are_integers_whose_saved_model_is_there(tmp_path, file):
    odd = ("_staging-12", "tmp", "-13", "+14", " 15", "16 ", "١٧", "1e9", str(1 << 63))
    for name in ("1", "9", "10", "11", *odd):
        (tmp_path / "m" / name).mkdir(parents=True)
        if name != "11":  # still being copied: saved_model.pb comes last
            (tmp_path / "m" / name / "saved_model.pb").touch()

    def versions(policy):
        more = f"model_version_policy {{ {policy} }}"
        file.write_text(f"model_config_list {{ {one(path=tmp_path / 'm', more=more)} }}")
        return config.available_versions(config.read(file)["m"])

    assert versions("latest {}") == (10,)
    assert versions("latest { num_versions: 2 }") == (9, 10)
    assert versions("all {}") == (1, 9, 10)
    assert versions("specific { versions: [9, 1, 11, 4] }") == (1, 9)


def test_zeros_in_front_of_a_version_are_taken_as_tensorflow_serving_takes_them(tmp_path, file):
    """Of several folders of one number the last is served, as their names are sorted."""
    for name in ("00000123", "7", "07", "007", "0008", "08"):
        (tmp_path / "m" / name).mkdir(parents=True)
        if name != "08":  # still being copied
            (tmp_path / "m" / name / "saved_model.pb").touch()
    for policy, expected in (
        ("latest {}", {123: "00000123"}),
        ("all {}", {7: "7", 8: "0008", 123: "00000123"}),
        ("specific { versions: [123, 8] }", {8: "0008", 123: "00000123"}),
        ("specific { versions: [7, 9] }", {7: "7"}),
    ):
        more = f"model_version_policy {{ {policy} }}"
        file.write_text(f"model_config_list {{ {one(path=tmp_path / 'm', more=more)} }}")
        model = config.read(file)["m"]
        found = {at: config.folder(model, at).name for at in config.available_versions(model)}
        assert found == expected, policy
