"""The checks that all settings share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from mien._core.settings import check_choices, check_limits, check_names, check_types


@dataclass(frozen=True)
class Kettle:
    litres: float = 1.5
    cups: int = 4
    color: str = "red"
    boils: bool = True
    owner: str | None = None
    minutes: int | None = None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"litres": "many"}, "litres='many': expected a number"),
        ({"litres": True}, "litres=True: expected a number"),
        ({"cups": 2.0}, "cups=2.0: expected a whole number"),
        ({"color": 3}, "color=3: expected a word"),
        ({"color": None}, "color=None: expected a word"),
        ({"boils": 1}, "boils=1: expected true or false"),
        ({"owner": 7}, "owner=7: expected a word"),
    ],
)
def test_types(values: dict, words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words}$"):
        check_types(Kettle(**values))


def test_what_fits_is_no_error() -> None:
    for kettle in (Kettle(), Kettle(litres=2, owner="Zoë", minutes=3)):
        check_types(kettle)
        check_limits(kettle, {"litres": (0, 2), "cups": (4, math.inf), "minutes": (1, 3)})
        check_limits(kettle, {"litres": (0, math.inf)}, inside=True)
        check_choices(kettle, {"color": ("red", "blue")})
    check_names({"cups": 3}, Kettle, "")


@pytest.mark.parametrize(
    ("values", "limits", "inside", "words"),
    [
        ({"litres": 3}, (0, 2), False, "litres=3: expected a number from 0 to 2"),
        ({"litres": 2}, (0, 2), True, "litres=2: expected a number between 0 and 2"),
        ({"litres": 0}, (0, math.inf), True, "litres=0: expected a number above 0"),
        ({"litres": math.nan}, (0, 2), False, "litres=nan: expected a number from 0 to 2"),
        ({"litres": math.inf}, (0, math.inf), False, "litres=inf: expected a number from 0 on"),
        ({"cups": 0}, (1, 9), False, "cups=0: expected a whole number from 1 to 9"),
        ({"minutes": 0}, (1, math.inf), False, "minutes=0: expected a whole number from 1 on"),
    ],
)
def test_limits(values: dict, limits: tuple[float, float], inside: bool, words: str) -> None:
    (name,) = values
    with pytest.raises(ValueError, match=f"^{words}$"):
        check_limits(Kettle(**values), {name: limits}, inside=inside)


def test_choices_and_names() -> None:
    with pytest.raises(ValueError, match="color='red': expected one of blue, green"):
        check_choices(Kettle(), {"color": ("blue", "green")})
    with pytest.raises(ValueError, match=r"unknown setting kettle\.lid: expected litres, cups, "):
        check_names({"lid": 1}, Kettle, "kettle.")
