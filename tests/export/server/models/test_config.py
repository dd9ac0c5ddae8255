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
        (f"model_config_list {{ {one()} {one()} }}", "lists model 'm' twice"),
        (f"model_config_list {{ {one(name='')} }}", "without a name"),
        (f"model_config_list {{ {one(path='m')} }}", "absolute path"),
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
    with pytest.raises(ServerError, match='runs "tensorflow"'):
        config.read(file)


def test_a_mistake_in_a_config_is_named_by_line_and_column(file):
    file.write_text('model_config_list {\n  config { nam: "m" }\n}')
    with pytest.raises(ServerError, match=r'2:12 .*no field named "nam"'):
        config.read(file)


def test_a_missing_config_is_named(file):
    with pytest.raises(ServerError, match=r"models\.config does not exist"):
        config.read(file)


def test_versions_are_integers_whose_saved_model_is_there(tmp_path, file):
    for name in ("1", "9", "10", "11", "_staging-12", "tmp"):
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
