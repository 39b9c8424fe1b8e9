"""The production checklist of a good image: as its owner runs it, and by another program."""

from image.checklist import check, structure
from image.engine import Image


def test_good_image_passes(image: Image) -> None:
    report = check(image.root, image.tag, "image")
    assert {each["id"]: each["words"] for each in report if each["verdict"] != "passed"} == {}
    assert len(report) == 8


def test_another_program_agrees(image: Image) -> None:
    assert structure(image.tag) == {}
