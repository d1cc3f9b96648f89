"""One row of the tables that say what a run file holds."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One field of a record: its name, type, SI unit and meaning.

    A type is `text`, `int`, `number`, `bool`, `any`, `verdict` or the name of a record; `[x]` is a list of x, `{x}` an object
    whose values are x, a final `?` allows null. A field that is not `required` is absent where there is nothing to say. `since` is the schema
    that has it: files of an older one get it, null or empty, as they are read.
    """

    name: str
    type: str
    unit: str
    meaning: str
    required: bool = True
    since: int = 1
