"""What the API takes and answers, as pydantic models: FastAPI checks answers by them and describes them in OpenAPI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

STDIN = "-"
"""The name of a picture without one, like that of the command's standard input."""

Share = Annotated[float, Field(ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class EncodedPicture(_Strict):
    """A picture inside JSON."""

    source: str = STDIN
    data: str = Field(json_schema_extra={"format": "byte"})


class EncodedPictures(_Strict):
    """The JSON body of `POST /v1/recognize`."""

    # How many, is checked for every type of body in one place.
    pictures: list[EncodedPicture] = Field(json_schema_extra={"minItems": 1})


class Status(_Strict):
    """The answer of `/health` and `/ready`."""

    status: Literal["ok", "ready"]


class Model(_Strict):
    """A model of this installation."""

    name: str
    labels: list[str]
    input_size: int
    sha256: str
    served: bool


class ClipState(_Strict):
    """A clip that is analysed: how far it is, and in the end its page."""

    href: str
    name: str
    state: Literal["running", "done", "failed", "stopped"]
    done: float
    total: float | None
    frames: int
    people: int
    page: str | None
    error: str | None


class Unreadable(_Strict):
    """A picture that could not be read, and why."""

    source: str
    error: str


class ProblemDetails(BaseModel):
    """Any answer that is no success (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "about:blank",
                "title": "Unprocessable Entity",
                "status": 422,
                "detail": "no picture could be read",
                "pictures": [
                    {"source": "-", "error": "picture of 5 bytes: not a picture; expected one of ..."}
                ],
            }
        }
    )

    type: str
    title: str
    status: int
    detail: str
    pictures: list[Unreadable] = []


class _Face(_Strict):
    """A face: its box in pixels, and the probability of each expression."""

    source: str
    frame: int | None
    time: float | None
    track: int | None
    x1: float
    y1: float
    x2: float
    y2: float
    detection_score: Share
    confidence: Share
    uncertain: bool
    quality_score: Share
    quality_issues: list[str]


def result_model(labels: Sequence[str]) -> type[BaseModel]:
    """The model of one picture's result, whose faces have a probability for each of the `labels`."""
    # By alias: a label may be any text, such as "not sure" or the name of a method of pydantic's.
    probabilities: dict[str, Any] = {
        f"probability_{n}": (Share, Field(alias=label)) for n, label in enumerate(labels)
    }
    emotion: Any = Literal[tuple(labels)]
    face = create_model("Face", __base__=_Face, emotion=(emotion, ...), **probabilities)
    return create_model(
        "Result",
        __base__=_Strict,
        __doc__="A picture and its faces.",
        source=(str, ...),
        width=(int | None, ...),
        height=(int | None, ...),
        faces=(list[face], ...),  # type: ignore[valid-type]
        error=(str | None, ...),
    )


def example_result(labels: Sequence[str]) -> dict[str, Any]:
    """One picture's result, as `mien image --format json` prints it."""
    shown = dict.fromkeys(labels, 0.01) | {labels[0]: 1 - 0.01 * (len(labels) - 1)}
    place = {"source": "photo.jpg", "frame": None, "time": None, "track": None}
    box = {"x1": 160.0, "y1": 118.0, "x2": 372.0, "y2": 330.0, "detection_score": 0.99}
    answer = {"emotion": labels[0], "confidence": shown[labels[0]], "uncertain": False}
    quality = {"quality_score": 0.98, "quality_issues": []}
    face = place | box | answer | quality | shown
    return {"source": "photo.jpg", "width": 512, "height": 600, "faces": [face], "error": None}
