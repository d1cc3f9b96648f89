"""Writing limits into the text of a file of budgets: comments, order and everything else stay as they are."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from typing import TYPE_CHECKING, Any

from pytest_gpuperf.budgets.file import BUDGET, read_rows
from pytest_gpuperf.budgets.globs import exactly
from pytest_gpuperf.budgets.tables import Part, parts
from pytest_gpuperf.errors import BadBudget

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_gpuperf.budgets.plans import Fresh

#: How the comments begin that this module writes, and may therefore replace.
MEASURED = "measured "


def edited(text: str, name: str, fresh: Sequence[Fresh]) -> str:
    """Return the text with limits written into it: those of a table in their place, new ones in tables at the end.

    BadBudget where that cannot be done without touching anything else.
    """
    own = parts(text)
    lines = {part.line: number for number, part in enumerate(own) if part.name == BUDGET}
    changed: dict[int, list[Fresh]] = {}
    added: dict[tuple[str, str, str | None], list[Fresh]] = {}
    for one in fresh:
        if one.row is None:
            added.setdefault((one.nodeid, one.device, one.of), []).append(one)
        elif one.row.line in lines:
            changed.setdefault(lines[one.row.line], []).append(one)
        else:
            message = f"{one.row.origin}: this table has no header [[budget]] of its own: write it under one"
            raise BadBudget(message)
    for number, limits in changed.items():
        own[number] = dataclasses.replace(own[number], text=_changed(own[number], limits))
    new = "".join(part.text for part in own)
    if added and new:
        new = new.rstrip("\n") + "\n\n"
    new += "\n".join(_table(key, limits) for key, limits in added.items())
    _refuse_damage(text, new, name, {own[number].index for number in changed}, len(added))
    return new


def _changed(part: Part, limits: Sequence[Fresh]) -> str:
    """Return the text of one table with its limits."""
    import tomlkit

    document: Any = tomlkit.parse(part.text)
    table = document[BUDGET][0]
    for one in limits:
        place = table
        if one.quantity not in table and one.quantity in table.get("metrics", {}):
            place = table["metrics"]
        if one.old is None:
            _add(place, one)
        else:
            _replace(place, one.quantity, one.old.glob, one.old.limit.text, one.text)
        item = place.item(one.quantity)
        comment = item.trivia.comment
        # A table of its own would take the comment for its header's.
        if (not comment or comment.startswith(f"# {MEASURED}")) and not isinstance(item, tomlkit.items.Table):
            item.comment("; ".join(same.measured for same in limits if same.quantity == one.quantity))
            item.trivia.comment_ws = "  "
        if one.toolchain and one.toolchain != table.get("toolchain"):
            table["toolchain"] = tomlkit.parse(f"toolchain = {_inline(one.toolchain)}")["toolchain"]
    return str(tomlkit.dumps(document))


def _add(table: Any, one: Fresh) -> None:
    """Add a limit to a table, beside those that its quantity has."""
    if one.quantity not in table:
        # Before the blank lines that part it from the next one.
        table.append(one.quantity, one.text)
        return
    given = table[one.quantity]
    if isinstance(given, list):
        given.append(one.text)
    else:
        table[one.quantity] = [str(given), one.text]


def _replace(place: Any, key: str, glob: str, old: str, new: str) -> None:
    """Replace one limit where it stands: a text, a list, or either by device glob."""
    given = place[key]
    if isinstance(given, dict):
        _replace(given, glob, glob, old, new)
    elif isinstance(given, list):
        index = next(number for number, text in enumerate(given) if " ".join(str(text).split()) == old)
        given[index] = new
    else:
        place[key] = new


def _table(key: tuple[str, str, str | None], limits: Sequence[Fresh]) -> str:
    """Return the text of a new table."""
    nodeid, device, of = key
    name = device.removeprefix("NVIDIA ")
    lines = [f"[[{BUDGET}]]", f"test = {_quoted(exactly(nodeid))}", f"device = {_quoted(_device_glob(name))}"]
    lines += [f"of = {_quoted(of)}"] if of is not None else []
    by_quantity: dict[str, list[Fresh]] = {}
    for one in limits:
        by_quantity.setdefault(one.quantity, []).append(one)
    for quantity, own in by_quantity.items():
        texts = [_quoted(one.text) for one in own]
        value = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        lines.append(f"{quantity if quantity.isidentifier() else _quoted(quantity)} = {value}  # {'; '.join(one.measured for one in own)}")
    toolchain = next((one.toolchain for one in limits if one.toolchain), None)
    if toolchain:
        lines.append(f"toolchain = {_inline(toolchain)}")
    return "\n".join(lines) + "\n"


def _inline(texts: Mapping[str, str]) -> str:
    return f"{{ {', '.join(f'{word} = {_quoted(text)}' for word, text in texts.items())} }}"


def _device_glob(name: str) -> str:
    return name.replace("[", "[[]").replace("*", "[*]").replace("?", "[?]")


def _quoted(text: str) -> str:
    r"""Write a text in quotes: plain ones where it has a backslash and nothing else that speaks against them.

    >>> print(_quoted('a[1]'), _quoted(r't[\u00b5]'), _quoted("it's \\ x"))
    "a[1]" 't[\u00b5]' "it's \\ x"
    """
    plain = "\\" in text and "'" not in text and text.isprintable()
    return f"'{text}'" if plain else json.dumps(text, ensure_ascii=not text.isprintable())


def _refuse_damage(before: str, after: str, name: str, touched: set[int], added: int) -> None:
    """Refuse a text that is no file of budgets, or in which another table is not what it was."""
    read_rows(after, name)
    old, new = tomllib.loads(before), tomllib.loads(after)
    tables, fresh = old.get(BUDGET, []), new.get(BUDGET, [])
    same = all(table == fresh[index] for index, table in enumerate(tables) if index not in touched)
    if not same or len(fresh) != len(tables) + added or {**old, BUDGET: 0} != {**new, BUDGET: 0}:
        message = f"{name}: writing the limits would have changed something else; nothing was written"
        raise BadBudget(message)
