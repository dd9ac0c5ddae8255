"""A student's lineage names whoever taught it: runs, fitted models, published ones."""

import dataclasses
import shutil

import pytest

from podway.framework.compression.distil import Distil
from podway.framework.compression.distillation import teachers
from podway.framework.config import compressed
from podway.framework.models.ease import Ease
from podway.launch import cli, stages
from podway.launch.lineage import read
from tests.launch import world


@pytest.fixture(scope="module")
def taught(shop, folder):
    """The student's run, and that of its fitted teacher."""
    workdir = str(folder / "w")
    fitted = dataclasses.replace(world.shop(folder), name="simple", model=Ease())
    _, simple = stages.train(fitted, workdir)
    names = (teachers.FIRST, f"simple/{simple.name}", "shop/1")
    step = Distil(width=4, steps=2, teachers=names, top=4)
    _, student = stages.train(compressed(world.shop(folder), step), workdir)
    return student, simple


def test_a_student_leads_to_each_of_its_teachers(taught, shop, folder, capsys):
    student, simple = taught
    cli.main(["lineage", str(student), "--workdir", str(folder / "w")])
    said = capsys.readouterr().out
    assert f"─ teacher: run shop {shop.run.name}" in said
    assert f"─ teacher: run simple {simple.name}  model Ease" in said
    assert "─ teacher: model shop 1" in said
    assert "no longer there" not in said


def test_a_teacher_leads_to_its_students(taught, folder, capsys):
    student, simple = taught
    cli.main(["lineage", str(simple), "--down", "--workdir", str(folder / "w")])
    assert f"run shop {student.name}" in capsys.readouterr().out


def test_a_teacher_that_is_gone_is_named_all_the_same(taught, folder, tmp_path):
    student, simple = taught
    home = tmp_path / "runs" / "shop"
    shutil.copytree(student, home / student.name)
    graph = read.graph(tmp_path)
    told = [graph.nodes[edge.source] for edge in graph.edges if edge.how == "teacher"]
    assert {(each.kind, each.version) for each in told} >= {("run", simple.name), ("model", "1")}
    assert not any(each.there for each in told)


def test_lineage_and_training_mean_the_same_by_first():
    assert read.FIRST == teachers.FIRST
