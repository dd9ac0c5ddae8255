"""Raw data in packages: which the images have, and what is said of the others."""

import dataclasses

import pytest

from podway.framework.config import Component, Csv, Mlflow, Parquet, SideTable, Tracking
from podway.launch import experiments
from podway.launch.targets import packages
from podway.launch.targets.cloud_run.job import Job
from podway.launch.targets.cloud_run.target import CloudRunJob
from podway.launch.targets.frozen import freeze
from podway.launch.targets.kubernetes.schedule import Schedule
from podway.launch.verbs.launch import cloud_run, retrain
from tests.launch.targets.kubernetes.conftest import a_launch


def lacking(**changes):
    """The demo's experiment with other data."""
    demo = experiments.load("movielens_sasrec")
    return dataclasses.replace(demo, data=dataclasses.replace(demo.data, **changes))


OTHERS = {"recbole": "a framework of its own, with PyTorch"}
"""Packages of shipped configs that the images lack, and why."""


@pytest.mark.parametrize("name", experiments.names())
def test_the_images_have_what_shipped_configs_are_read_from(name):
    notes = packages.notes(experiments.load(name))
    assert [note for note in notes if not any(f"package {each}," in note for each in OTHERS)] == []


def test_another_package_is_named_once_with_what_to_do():
    table = SideTable("item", "package://shop_data/items.csv", "id", (), keep=("title",))
    found = lacking(path="package://shop_data/events.parquet", format=Parquet(), tables=(table,))
    (note,) = packages.notes(found)
    assert note == (
        "'movielens' is read from the package shop_data, which the images of images/ lack: build"
        " images that have it, or copy its files to where machines see them"
    )


def test_mixtures_count():
    demo = experiments.load("movielens_sasrec")
    other = dataclasses.replace(demo.data, name="b", path="package://other/b.csv", format=Csv())
    mixed = dataclasses.replace(demo, mixture=(Component(other),))
    assert [note.partition(",")[0] for note in packages.notes(mixed)] == [
        "'b' is read from the package other"
    ]


def test_a_tracked_launch_needs_mlflow_in_its_image():
    demo = experiments.load("movielens_sasrec")
    for tracking in (Mlflow(), Tracking("postgresql://me@host/db")):
        (note,) = packages.notes(dataclasses.replace(demo, tracking=tracking))
        assert note.startswith("tracking needs MLflow, which the images of images/ lack")


def test_every_plan_has_the_notes():
    found = lacking(path="package://shop_data/events.csv", format=Csv())
    launch = dataclasses.replace(a_launch(), experiment=found)
    job = Job(found, freeze(found), CloudRunJob(), "gs://bucket/w")
    assert launch.notes() == job.notes() != []
    for plan in (retrain.plan(launch, Schedule()), cloud_run.plan(job)):
        assert f"  note       {job.notes()[0]}" in plan
