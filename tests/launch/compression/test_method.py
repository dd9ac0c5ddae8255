import pytest

from podway.framework.compression.distil import Distil
from podway.framework.compression.quantize import Int8
from podway.framework.error import ConfigError
from podway.launch.compression import method


def test_a_step_is_typed_as_its_name_and_fields():
    assert method.parse("int8") == Int8()
    assert method.parse("Int8:paths=item/embedding") == Int8(("item/embedding",))
    assert method.parse('int8:paths=["item/.*","a{1,2}"]') == Int8(("item/.*", "a{1,2}"))


def test_what_is_described_can_be_typed():
    for step in (Int8(), Int8(("item/embedding",)), Distil(width=8, top=None)):
        text = method.described(step).replace("'", '"').replace(",)", ")")
        assert method.parse(text) == step


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("int9", "perhaps you meant 'int8'"),
        ("int8:path=x", "'path=x' is no FIELD=VALUE of int8; its fields are .*paths"),
        ("int8:paths", "'paths' is no FIELD=VALUE"),
        ("int8:paths=[1]", "paths: expected str, found 1"),
    ],
)
def test_what_cannot_be_a_step_is_said(text, words):
    with pytest.raises(ConfigError, match=words):
        method.parse(text)


def test_the_list_names_each_step_and_each_field():
    text = method.listing()
    for name, cls in method.methods().items():
        assert f"\n{name}" in f"\n{text}"
        assert all(f"  {field}=" in text for field in method.options_of(cls))
