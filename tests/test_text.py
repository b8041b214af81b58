"""Numbers and tables as text."""

from __future__ import annotations

from mien._core.text import Table, percent

FRUIT = Table(("fruit", "n", "price"), [("apple", "2", "10.50"), ("fig", "1,200", "")], "Fruit")


def test_shares() -> None:
    assert percent(0.1234) == "12.3 %"
    assert percent(0.5, (0.25, 1)) == "50.0 %  (95 %: 25.0 to 100.0 %)"


def test_the_first_column_stands_left_the_others_right() -> None:
    assert FRUIT.text().split("\n") == ["fruit      n  price", "apple      2  10.50", "fig    1,200"]


def test_wider_columns_and_other_sides() -> None:
    lines = FRUIT.text(align="<<", gap=1, widths=(7,)).split("\n")
    assert lines == ["fruit   n     price", "apple   2     10.50", "fig     1,200"]


def test_without_headings_and_without_rows() -> None:
    assert Table((), [("a", "1"), ("bc", "23")]).text() == "a    1\nbc  23"
    assert Table(("a", "b"), []).text() == "a  b"


def test_markdown_keeps_a_bar_inside_its_cell() -> None:
    table = Table(("name", "n"), [("a|b", "1")])
    assert table.markdown() == "| name | n |\n| --- | --- |\n| a\\|b | 1 |"
